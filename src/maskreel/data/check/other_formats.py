"""Checks a data set in another format than YouTube-VIS: its reader reads it, and what it gave is looked at."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from maskreel.data.check.annotated import check_annotations, told_by_reader
from maskreel.data.check.problems import Problems
from maskreel.data.check.splits import CheckedSplit
from maskreel.data.formats.annotations import Annotations, ReadOptions
from maskreel.data.formats.catalog import FormatName
from maskreel.data.formats.reading import read_annotations
from maskreel.errors import DataError
from maskreel.left_out import LeftOut


def check_format(given: Path, read_as: FormatName | None, options: ReadOptions) -> CheckedSplit:
    """Read a file or folder and note everything that is wrong; UsageError where there is nothing of this format, or,
    without `read_as`, of none that is recognised.

    Odd things that a reader leaves out when it is told to are faults here, all of them; what it cannot go on after is
    the last of them.
    """
    problems, left_out = Problems(), LeftOut("skip")
    counts: dict[str, int] = {}
    try:
        with ExitStack() as stack:
            with told_by_reader(left_out, problems):
                reading = read_annotations(given, read_as, replace(options, left_out=left_out), wants_images=True)
                annotations, _ = stack.enter_context(reading)
            check_annotations(annotations, problems)
            counts = _counts(annotations)
    except DataError as error:
        problems.note("content", given.name, str(error).removeprefix(f"{given}: "))
    return CheckedSplit(split=options.split, path=given, counts=counts, problems=problems, is_layout=False)


def _counts(annotations: Annotations) -> dict[str, int]:
    tracks = [track for video in annotations.videos for track in video.tracks]
    return {
        "videos": len(annotations.videos),
        "frames": sum(len(video.images) for video in annotations.videos),
        "tracks": len(tracks),
        "masks": sum(mask is not None for track in tracks for mask in track.segmentations),
    }
