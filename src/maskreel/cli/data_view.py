"""`maskreel data view`: filmstrips and overlay videos of what a data set or a results file holds."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import tyro

from maskreel.cli.options import write_json
from maskreel.config import nearest
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import UsageError
from maskreel.evaluation.results import PredictedTrack, Predictions, read_predictions, read_videos
from maskreel.files import numbered_folder
from maskreel.visualize.filmstrips import ShownTrack, annotated_tracks, write_filmstrip, write_track_video


@dataclass(frozen=True, kw_only=True)
class View:
    """Draw the tracks of videos of a data set: NAME.jpg, a filmstrip with truth above results, and one overlay video
    of each, NAME_truth.mp4 and NAME_results.mp4."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder of the data set."""
    split: str = "train"
    """Name of the split."""
    videos: str | None = None
    """Ids or folder names of videos, comma-separated, or all; default the first four."""
    results: Path | None = None
    """Results file in the YouTube-VIS layout; draws its predictions too."""
    min_score: float = 0.3
    """Leave out predictions below this score."""
    frames: int = 8
    """Frames in a filmstrip."""
    frame_rate: float = 6.0
    """Frames per second of the videos; the data set's files know no time."""
    video: bool = True
    """Write overlay videos beside the filmstrips."""
    out: Path | None = None
    """Folder for the pictures; default runs/view/SPLIT, then SPLIT-2 and so on."""
    json: str | None = None
    """Also write the names of the files as JSON here; without a path, JSON alone on stdout."""


def run(args: View) -> None:
    """Draw every video that was asked for.

    Raises UsageError for options and videos that there are not, DataError for files that are wrong.
    """
    if not (math.isfinite(args.frame_rate) and 0.001 <= args.frame_rate <= 1000):
        raise UsageError(f"--frame-rate {args.frame_rate}: must lie between 0.001 and 1000")
    if args.frames < 1:
        raise UsageError(f"--frames {args.frames}: a filmstrip needs at least one")
    dataset = YouTubeVIS.load(args.root, args.split)
    chosen = chosen_videos(dataset, args.videos)
    predictions = None if args.results is None else _predictions(args.results, dataset)
    if predictions is None and not dataset.has_annotations:
        raise UsageError(f"{dataset.annotation_path}: annotations are held back (null); give --results to draw")
    folder = args.out or numbered_folder(Path("runs/view") / args.split)
    written: list[str] = []
    for index in chosen:
        rows = {"truth": annotated_tracks(dataset, index)} if dataset.has_annotations else {}
        if predictions is not None:
            rows["results"] = _shown(predictions, dataset, index, args.min_score)
        for path in _draw(args, dataset, index, rows, folder):
            written.append(str(path))
            if args.json != "-":
                print(path, flush=True)
    write_json(args.json, {"out": str(folder), "files": written})


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
            close = nearest(word, places)
            hint = f"did you mean {close!r}?" if close else f"ids begin with {', '.join(list(places)[:5])}"
            raise UsageError(f"--videos {word!r}: not in {dataset.annotation_path}; {hint}")
        chosen.append(places[word])
    return list(dict.fromkeys(chosen))


def _name(dataset: YouTubeVIS, index: int) -> str:
    return Path(dataset.videos[index].file_names[0]).parent.name or str(dataset.videos[index].id)


def _predictions(path: Path, dataset: YouTubeVIS) -> Predictions:
    """Results that fit the videos and classes of the data, whether or not its truth is held back."""
    return read_predictions(path, read_videos(dataset.annotation_path))


def _shown(predictions: Predictions, dataset: YouTubeVIS, index: int, min_score: float) -> list[ShownTrack]:
    names = {category.id: category.name for category in dataset.categories}
    entries: Sequence[tuple[int, PredictedTrack]] = [
        (place, track)
        for place, track in enumerate(predictions.tracks)
        if track.video_id == dataset.videos[index].id and track.score >= min_score
    ]
    return [
        ShownTrack(
            track_id=number,
            caption=f"{names[track.category_id]} {track.score:.2f}",
            segmentations=track.segmentations,
            where=f"{predictions.source}: entry {place}",
        )
        for number, (place, track) in enumerate(entries, start=1)
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
        frame_rate = Fraction(args.frame_rate).limit_denominator(1001)
        for kind, tracks in rows.items():
            paths.append(folder / f"{stem}_{kind}.mp4")
            write_track_video(paths[-1], dataset, index, tracks, frame_rate=frame_rate)
    return paths
