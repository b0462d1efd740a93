"""`maskreel data view`: filmstrips and overlay videos of what a data set or a results file holds."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from maskreel.cli.options import STDOUT, outputs_for, report_json
from maskreel.cli.records.data import View
from maskreel.config import suggestion
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.evaluation.results import Predictions, read_predictions
from maskreel.geometry.masklets import Masklets, is_masklet_file
from maskreel.outputs import Outputs, told_apart
from maskreel.video.frame_folders import FRAME_RATE
from maskreel.video.sources import MAX_DENOMINATOR, open_video
from maskreel.visualize.filmstrips import (
    ShownTrack,
    annotated_tracks,
    write_filmstrip,
    write_masklet_filmstrip,
    write_masklet_gif,
    write_sheet,
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
    with outputs_for(args, *args.results) as outputs:
        written = _of_video(args, outputs) if _is_one_video(args) else _of_dataset(args, outputs)
        report = {"out": str(written[0].parent) if written else None, "files": [str(path) for path in written]}
        report_json(args.json, report, outputs)


def _is_one_video(args: View) -> bool:
    """Whether a video and the JSON of predict were given; UsageError for a video without them."""
    is_masklets = len(args.results) == 1 and args.results[0].is_file() and is_masklet_file(args.results[0])
    if args.root.is_file() and not is_masklets:
        raise UsageError(f"{args.root}: to draw a video, give the JSON that predict wrote for it with --results")
    return is_masklets


def _of_video(args: View, outputs: Outputs) -> list[Path]:
    """Draw what predict found in one video."""
    if args.sheet:
        raise UsageError("--sheet has a row per video of a data set; of one video there is the filmstrip")
    masklets = Masklets.load(args.results[0])
    frame_rate = _typed_rate(args) or _rate(masklets.timestamps)
    kept = tuple(masklet for masklet in masklets.masklets if masklet.score >= args.min_score)
    masklets = replace(masklets, masklets=kept)
    outputs.add_inputs([args.root])
    (stem,) = told_apart([args.root.stem])
    folder = outputs.claim_folder(args.out, Path("runs/view") / stem)
    endings = (".jpg", *(f"_results{ending}" for ending in _endings(args)))
    strip, *videos = (outputs.claim(folder / f"{stem}{ending}") for ending in endings)
    with outputs.writing(strip) as new:
        source = open_video(args.root, frame_rate=frame_rate)
        write_masklet_filmstrip(new, source, masklets, num_frames=args.frames)
    for path in videos:
        with outputs.writing(path) as new:
            source = open_video(args.root, frame_rate=frame_rate)
            if path.suffix == ".gif":
                write_masklet_gif(new, source, masklets)
            else:
                write_overlay(new, source, masklets)
    return _listed(args, [strip, *videos])


def _typed_rate(args: View) -> Fraction | None:
    return None if args.frame_rate is None else Fraction(args.frame_rate).limit_denominator(MAX_DENOMINATOR)


def _rate(times: Sequence[float]) -> Fraction:
    """Frames per second of images that were predicted, some of which may have been left out."""
    steps = [after - before for before, after in pairwise(times) if after > before]
    if not steps:
        return FRAME_RATE
    count = round((times[-1] - times[0]) / min(steps))
    return Fraction(count / (times[-1] - times[0])).limit_denominator(MAX_DENOMINATOR)


def _of_dataset(args: View, outputs: Outputs) -> list[Path]:
    dataset = YouTubeVIS.load(args.root, args.split)
    chosen = chosen_videos(dataset, args.videos)
    predictions = {
        kind: read_predictions(path, dataset.truth)
        for kind, path in zip(_kinds(args.results), args.results, strict=True)
    }
    if not predictions and not dataset.has_annotations:
        raise UsageError(f"{dataset.annotation_path}: annotations are held back (null); give --results to draw")
    outputs.add_inputs([dataset.annotation_path, dataset.frames_folder])
    folder = outputs.claim_folder(args.out, Path("runs/view") / args.split)
    kinds = [*["truth"] * dataset.has_annotations, *predictions]
    endings = [".jpg", *(f"_{kind}{ending}" for ending in _endings(args) for kind in kinds)]
    stems = _stems(dataset)
    for index in chosen:
        for ending in endings:
            outputs.claim(folder / f"{stems[index]}{ending}")
    sheets: dict[str, dict[int, list[ShownTrack]]] = {kind: {} for kind in kinds if args.sheet}
    for kind in sheets:
        outputs.claim(folder / f"sheet_{kind}.jpg")
    written: list[Path] = []
    for index in chosen:
        rows = {"truth": annotated_tracks(dataset, index)} if dataset.has_annotations else {}
        rows |= {kind: _shown(found, dataset, index, args.min_score) for kind, found in predictions.items()}
        written += _listed(args, _draw(args, dataset, index, rows, folder / stems[index], outputs))
        for kind in sheets:
            sheets[kind][index] = rows[kind]
    for kind, videos in sheets.items():
        path = folder / f"sheet_{kind}.jpg"
        with outputs.writing(path) as new:
            write_sheet(new, dataset, videos, num_frames=args.frames)
        written += _listed(args, [path])
    return written


def _kinds(results: Sequence[Path]) -> list[str]:
    """A word for each results file, for captions and names: "results" for a single one, else what tells them apart.

    UsageError where two files cannot be told apart by their names and those of their folders.
    """
    if len(results) == 1:
        return ["results"]
    words = [path.stem for path in results]
    if len(set(words)) < len(words):
        words = [f"{path.resolve().parent.name}_{path.stem}" for path in results]
    words = [re.sub(r"[^\w.-]", "_", word) for word in words]
    for word in words:
        if words.count(word) > 1 or word == "truth":
            raise UsageError(f"--results: two files would be called {word!r}; rename one, or its folder")
    return words


def _listed(args: View, paths: list[Path]) -> list[Path]:
    """Print the names, as they come, unless JSON is all that is wanted."""
    if args.json != STDOUT:
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


def _stems(dataset: YouTubeVIS) -> list[str]:
    """A name for the files of each video; those that share one have their ids behind it."""
    names = [_name(dataset, index) for index in range(len(dataset.videos))]
    shared = Counter(names)
    ids = [f"_{video.id}" if shared[name] > 1 else "" for name, video in zip(names, dataset.videos, strict=True)]
    return told_apart([re.sub(r"[^\w.-]", "_", name) + number for name, number in zip(names, ids, strict=True)])


def _draw(
    args: View, dataset: YouTubeVIS, index: int, rows: dict[str, list[ShownTrack]], base: Path, outputs: Outputs
) -> list[Path]:
    paths = [base.with_name(f"{base.name}.jpg")]
    captions = {kind: f"{kind} with a score of {args.min_score:g} or more" for kind in rows} | {"truth": "truth"}
    strips = {f"{captions[kind]} ({len(tracks)} objects)": tracks for kind, tracks in rows.items()}
    with outputs.writing(paths[0]) as new:
        write_filmstrip(new, dataset, index, strips, num_frames=args.frames)
    frame_rate = _typed_rate(args) or DATASET_RATE
    for ending in _endings(args):
        for kind, tracks in rows.items():
            paths.append(base.with_name(f"{base.name}_{kind}{ending}"))
            with outputs.writing(paths[-1]) as new:
                write_track_video(new, dataset, index, tracks, frame_rate=frame_rate)
    return paths


def _endings(args: View) -> list[str]:
    return [".mp4"] * args.video + [".gif"] * args.gif
