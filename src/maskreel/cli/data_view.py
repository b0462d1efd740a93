"""`maskreel data view`: filmstrips and overlay videos of what a data set or a results file holds."""

import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from maskreel.cli.options import out_folder, report_json
from maskreel.cli.records.data import View
from maskreel.config import suggestion
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.evaluation.results import Predictions, read_predictions
from maskreel.geometry.masklets import Masklets, is_masklet_file
from maskreel.video.frame_folders import FRAME_RATE
from maskreel.video.sources import MAX_DENOMINATOR, open_video
from maskreel.visualize.filmstrips import (
    ShownTrack,
    annotated_tracks,
    write_filmstrip,
    write_masklet_filmstrip,
    write_track_video,
)
from maskreel.visualize.video import write_overlay

DATASET_RATE = Fraction(6)
"""Frames per second at which videos of a data set are shown, which knows no times."""


def run(args: View) -> None:
    """Draw every video that was asked for.

    Raises UsageError for options and videos that there are not, DataError for files that are wrong.
    """
    if args.frames < 1:
        raise UsageError(f"--frames {args.frames}: a filmstrip needs at least one")
    written = _of_video(args) if _is_one_video(args) else _of_dataset(args)
    report_json(
        args.json, {"out": str(written[0].parent) if written else None, "files": [str(path) for path in written]}
    )


def _is_one_video(args: View) -> bool:
    """Whether a video and the JSON of predict were given; UsageError for a video without them."""
    is_masklets = args.results is not None and args.results.is_file() and is_masklet_file(args.results)
    if args.root.is_file() and not is_masklets:
        raise UsageError(f"{args.root}: to draw a video, give the JSON that predict wrote for it with --results")
    return is_masklets


def _of_video(args: View) -> list[Path]:
    """Draw what predict found in one video."""
    assert args.results is not None, "a video comes with its results"
    masklets = Masklets.load(args.results)
    frame_rate = _typed_rate(args) or _rate(masklets.timestamps)
    kept = tuple(masklet for masklet in masklets.masklets if masklet.score >= args.min_score)
    masklets = replace(masklets, masklets=kept)
    folder = out_folder(args.out, Path("runs/view") / args.root.stem)
    paths = [folder / f"{args.root.stem}.jpg"]
    write_masklet_filmstrip(paths[0], open_video(args.root, frame_rate=frame_rate), masklets, num_frames=args.frames)
    if args.video:
        paths.append(folder / f"{args.root.stem}_results.mp4")
        if paths[-1].resolve() == args.root.resolve():
            raise UsageError(f"{paths[-1]}: is the video itself; choose another --out")
        write_overlay(paths[-1], open_video(args.root, frame_rate=frame_rate), masklets)
    return _listed(args, paths)


def _typed_rate(args: View) -> Fraction | None:
    return None if args.frame_rate is None else Fraction(args.frame_rate).limit_denominator(MAX_DENOMINATOR)


def _rate(times: Sequence[float]) -> Fraction:
    """Frames per second of images that were predicted, some of which may have been left out."""
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return FRAME_RATE
    count = round((times[-1] - times[0]) / min(steps))
    return Fraction(count / (times[-1] - times[0])).limit_denominator(MAX_DENOMINATOR)


def _of_dataset(args: View) -> list[Path]:
    dataset = YouTubeVIS.load(args.root, args.split)
    chosen = chosen_videos(dataset, args.videos)
    predictions = None if args.results is None else read_predictions(args.results, dataset.truth)
    if predictions is None and not dataset.has_annotations:
        raise UsageError(f"{dataset.annotation_path}: annotations are held back (null); give --results to draw")
    folder = out_folder(args.out, Path("runs/view") / args.split)
    written: list[Path] = []
    for index in chosen:
        rows = {"truth": annotated_tracks(dataset, index)} if dataset.has_annotations else {}
        if predictions is not None:
            rows["results"] = _shown(predictions, dataset, index, args.min_score)
        written += _listed(args, _draw(args, dataset, index, rows, folder))
    return written


def _listed(args: View, paths: list[Path]) -> list[Path]:
    """Print the names, as they come, unless JSON is all that is wanted."""
    if args.json != "-":
        print("\n".join(map(str, paths)), flush=True)
    return paths


def chosen_videos(dataset: YouTubeVIS, words: str | None) -> list[int]:
    """Positions of the videos that `--videos` names by id or by folder; UsageError for one that is not there."""
    if words is None:
        return list(range(min(4, len(dataset.videos))))
    if words == "all":
        return list(range(len(dataset.videos)))
    places = {str(video.id): index for index, video in enumerate(dataset.videos)}
    places |= {_name(dataset, index): index for index in range(len(dataset.videos))}
    chosen = []
    for word in (word.strip() for word in words.split(",")):
        if word not in places:
            hint = suggestion(word, places, f"ids begin with {', '.join(list(places)[:5])}")
            raise UsageError(f"--videos {word!r}: not in {dataset.annotation_path}; {hint}")
        chosen.append(places[word])
    return list(dict.fromkeys(chosen))


def _name(dataset: YouTubeVIS, index: int) -> str:
    return Path(dataset.videos[index].file_names[0]).parent.name or str(dataset.videos[index].id)


def _shown(predictions: Predictions, dataset: YouTubeVIS, index: int, min_score: float) -> list[ShownTrack]:
    names = dataset.truth.class_names
    found = predictions.tracks.get(dataset.videos[index].id, ())
    return [
        ShownTrack(
            track_id=number,
            caption=f"{names[track.category_id]} {track.score:.2f}",
            segmentations=track.segmentations,
            where=predictions.place(track),
        )
        for number, track in enumerate((track for track in found if track.score >= min_score), start=1)
    ]


def _draw(args: View, dataset: YouTubeVIS, index: int, rows: dict[str, list[ShownTrack]], folder: Path) -> list[Path]:
    stem = re.sub(r"[^\w.-]", "_", _name(dataset, index))
    if [_name(dataset, other) for other in range(len(dataset.videos))].count(_name(dataset, index)) > 1:
        stem = f"{stem}_{dataset.videos[index].id}"
    paths = [folder / f"{stem}.jpg"]
    captions = {"truth": "truth", "results": f"results with a score of {args.min_score:g} or more"}
    strips = {f"{captions[kind]} ({len(tracks)} objects)": tracks for kind, tracks in rows.items()}
    write_filmstrip(paths[0], dataset, index, strips, num_frames=args.frames)
    if args.video:
        frame_rate = _typed_rate(args) or DATASET_RATE
        for kind, tracks in rows.items():
            paths.append(folder / f"{stem}_{kind}.mp4")
            write_track_video(paths[-1], dataset, index, tracks, frame_rate=frame_rate)
    return paths
