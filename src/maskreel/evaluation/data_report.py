"""`evaluate --report`: how good a model is on a data set, as one page that needs nothing else.

Below `LIMIT` whatever the data set: plots and tables are small, and of the videos only the best and the worst are
shown, with `FRAMES` frames each.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.curves import SHOWN_SCORE
from maskreel.evaluation.evaluate import SHOWN, Evaluation
from maskreel.evaluation.plots import PLOTS
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.visualize.filmstrips import ShownTrack, annotated_tracks, write_filmstrip
from maskreel.visualize.report import tables_page

LIMIT = 30 * 10**6
RESAMPLINGS = 1000
FRAMES, EXTREMES = 6, 3
"""Frames of a filmstrip; videos shown of the best, and of the worst."""

ERRORS = {
    "wrong_class": "covers an object of another class",
    "weak_mask": "is on the object, but not well enough",
    "identity": "loses the object or passes to another",
    "duplicate": "covers an object that a better score has taken",
    "missed": "nothing was on the object",
    "spurious": "nothing of the kind is there",
}


def report(path: Path, name: str, dataset: YouTubeVIS, evaluation: Evaluation, plots: Path) -> None:
    """Write the page; `name` is that of the model, `plots` the folder in which `draw_plots` has written."""
    options = ScoreOptions(per_video=True, bootstrap=RESAMPLINGS, errors=True)
    scored = score(dataset.truth, evaluation.predictions, options)["ap"]
    num_objects = sum(len(dataset.tracks(index)) for index in range(len(dataset.videos)))
    facts = f"{name} on {dataset.annotation_path}: {len(dataset.videos)} videos, {num_objects} objects"
    with tempfile.TemporaryDirectory() as folder:
        extremes = _extremes(Path(folder), dataset, evaluation, scored["per_video"])
        sections = [
            _overall(scored),
            *_groups(evaluation),
            _errors(scored["errors"]),
            tables_page.pictures(
                "Curves",
                f"At an IoU of 0.5 over whole videos. The matrix counts predictions from a score of {SHOWN_SCORE} on.",
                {shows: plots / file for file, shows in PLOTS.items()},
            ),
            *extremes,
        ]
        path.write_text(tables_page.page(f"How good is {name}", facts, sections), encoding="utf-8", newline="\n")


def _overall(scored: Mapping[str, Any]) -> str:
    rows = [
        [figure, percent(scored[figure]), *map(percent, scored["confidence"][figure])]
        for figure in scored["stat_names"]
    ]
    about = (
        f"In percent, with the bounds of the 95 % interval from {RESAMPLINGS} resamplings of the videos. "
        "s, m, l: mean area of a track below 128 x 128 pixels, up to 256 x 256, above."
    )
    return tables_page.table("Average precision and recall", about, ["figure", "value", "from", "to"], rows)


def _groups(evaluation: Evaluation) -> Iterator[str]:
    groups = {
        "By class": evaluation.per_class,
        "By size": evaluation.per_size,
        "By difficulty": evaluation.per_dial,
    }
    for title, rows in groups.items():
        if rows:
            lines = [[name, *(percent(figures[figure]) for figure in SHOWN)] for name, figures in rows.items()]
            yield tables_page.table(title, "In percent; - where nothing can be measured.", ["", *SHOWN], lines)


def _errors(errors: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [f"{kind.replace('_', ' ')}: {ERRORS[kind]}", str(cost["count"]), percent(cost["AP"]), percent(cost["AP50"])]
        for kind, cost in sorted(errors.items(), key=lambda one: -(one[1]["AP"] or 0.0))
    ]
    about = (
        "Why AP is not higher: how often each error occurs, and the percent points that repairing it alone would gain."
    )
    return tables_page.table("What is lost to which error", about, ["error", "count", "AP", "AP50"], rows)


def _extremes(
    folder: Path, dataset: YouTubeVIS, evaluation: Evaluation, per_video: Mapping[str, Mapping[str, float | None]]
) -> Iterator[str]:
    """Filmstrips of the videos with the highest and the lowest AP, no video twice."""
    known = {index: per_video[str(video.id)]["AP"] for index, video in enumerate(dataset.videos)}
    order = sorted((index for index, ap in known.items() if ap is not None), key=lambda index: -(known[index] or 0.0))
    best = order[: min(EXTREMES, (len(order) + 1) // 2)]
    worst = [index for index in reversed(order[-EXTREMES:]) if index not in best]
    for title, chosen in (("Best videos", best), ("Worst videos", worst)):
        shown = {}
        for index in chosen:
            path = folder / f"{index}.jpg"
            rows = {"truth": annotated_tracks(dataset, index), "found": found_tracks(dataset, index, evaluation)}
            write_filmstrip(path, dataset, index, rows, num_frames=FRAMES)
            video = dataset.videos[index]
            shown[f"{video.name}, AP {percent(known[index])}"] = path
        if shown:
            about = f"Truth above, below it what was found with a score of {SHOWN_SCORE} or more."
            yield tables_page.pictures(title, about, shown, is_wide=True)


def found_tracks(dataset: YouTubeVIS, index: int, evaluation: Evaluation) -> list[ShownTrack]:
    """What was found in a video, as filmstrips take it."""
    video = dataset.videos[index]
    found = (track for track in evaluation.tracks(video.id) if track.score >= SHOWN_SCORE)
    return [
        ShownTrack(
            track_id=number,
            caption=f"{evaluation.class_names[track.category_id]} {track.score:.2f}",
            segmentations=track.segmentations,
            where=f"prediction {number} of video {video.id}",
        )
        for number, track in enumerate(found, start=1)
    ]


def percent(value: float | None) -> str:
    """One digit; `-` where nothing could be measured."""
    return "-" if value is None else f"{100 * value:.1f}"
