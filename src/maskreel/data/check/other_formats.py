"""Checks a data set in another format than YouTube-VIS: its reader reads it, and what it gave is looked at."""

from pathlib import Path

from maskreel.data.check.annotated import check_annotations, told_by_reader
from maskreel.data.check.problems import Problems
from maskreel.data.check.splits import CheckedSplit
from maskreel.data.formats.annotations import Annotations, ReadOptions
from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.errors import DataError
from maskreel.left_out import LeftOut


def check_format(given: Path, read_as: FormatName, options: ReadOptions) -> CheckedSplit:
    """Read a file or folder and note everything that is wrong; UsageError where there is nothing of this format.

    Odd things that a reader leaves out when it is told to are faults here, all of them; what it cannot go on after is
    the last of them.
    """
    problems, left_out = Problems(), LeftOut("skip")
    options = ReadOptions(split=options.split, images=options.images, classes=options.classes, left_out=left_out)
    counts: dict[str, int] = {}
    try:
        with told_by_reader(left_out, problems):
            annotations = FORMATS[read_as].read(given, options)
    except DataError as error:
        problems.note("content", given.name, str(error).removeprefix(f"{given}: "))
    else:
        check_annotations(annotations, problems)
        counts = _counts(annotations)
    return CheckedSplit(split=options.split, path=given, counts=counts, problems=problems, read_as=read_as)


def _counts(annotations: Annotations) -> dict[str, int]:
    tracks = [track for video in annotations.videos for track in video.tracks]
    return {
        "videos": len(annotations.videos),
        "frames": sum(len(video.images) for video in annotations.videos),
        "tracks": len(tracks),
        "masks": sum(mask is not None for track in tracks for mask in track.segmentations),
    }
