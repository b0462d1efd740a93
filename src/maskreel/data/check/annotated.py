"""Faults of a data set in any format, as its reader gives it: images, frames, tracks, and what the reader says."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from maskreel.data.check.frames import image_fault
from maskreel.data.check.problems import Problems
from maskreel.data.formats.annotations import AnnotatedVideo, Annotations
from maskreel.data.records import listing
from maskreel.left_out import LeftOut
from maskreel.video.frame_order import misplaced
from maskreel.video.images import is_image

SHOWN = 3


@contextmanager
def told_by_reader(left_out: LeftOut, problems: Problems) -> Iterator[None]:
    """Note what a reader leaves out as faults, and what it warns of as notes, in place of the log."""
    log, notes = logging.getLogger("maskreel"), _Notes(problems)
    handlers, propagate = log.handlers, log.propagate
    log.handlers, log.propagate = [notes], False
    try:
        yield
    finally:
        log.handlers, log.propagate = handlers, propagate
        for one in left_out.omissions:
            problems.note("content", f"{Path(one.file).name}, {one.item}" if one.item else one.file, one.reason)


class _Notes(logging.Handler):
    def __init__(self, problems: Problems) -> None:
        super().__init__(logging.WARNING)
        self._problems = problems

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "maskreel.left_out":
            self._problems.note("doubt", "annotations", record.getMessage())


def check_annotations(annotations: Annotations, problems: Problems) -> None:
    """Note every fault of what a reader gave; images are decoded."""
    used = Counter(track.category_id for video in annotations.videos for track in video.tracks)
    if unused := [category.name for category in annotations.categories if not used[category.id]]:
        where = f"{len(unused)} of {len(annotations.categories)} categories"
        problems.note("category-unused", where, listing(unused, SHOWN))
    if unlabelled := [video.name for video in annotations.videos if not video.tracks]:
        where = f"{len(unlabelled)} of {len(annotations.videos)} videos"
        problems.note("video-unlabelled", where, listing(unlabelled, SHOWN))
    if not any(_is_object(video) for video in annotations.videos):
        problems.note("no-objects", "annotations", "nothing to learn from or to score against")
    for video in annotations.videos:
        _check_frames(video, problems)
        _check_tracks(video, problems)
    if all(image is None for video in annotations.videos for image in video.images):
        problems.note("frames-folder", "images", "none was found for any frame; --images DIR names their folder")
    else:
        _check_images(annotations, problems)


def _is_object(video: AnnotatedVideo) -> bool:
    return any(not track.is_crowd and any(track.segmentations) for track in video.tracks)


def _check_frames(video: AnnotatedVideo, problems: Problems) -> None:
    where = f"video {video.name}"
    repeated = [name for name, count in Counter(video.file_names).items() if count > 1]
    if repeated:
        problems.note("frame-repeated", where, f"{repeated[0]} is listed {video.file_names.count(repeated[0])} times")
    elif places := misplaced(video.file_names):
        problems.note("frame-order", where, f"{places[0]} stands where {places[1]} belongs")
    _check_steps(video, where, problems)


def _check_steps(video: AnnotatedVideo, where: str, problems: Problems) -> None:
    """Numbers in unequal steps: a fault where there is an image of what is left out, and a note elsewhere."""
    numbers = video.frame_numbers
    steps = Counter(after - before for before, after in pairwise(numbers))
    usual = min(steps, key=lambda step: (-steps[step], step), default=1)
    gaps = [(before, after) for before, after in pairwise(numbers) if after - before > usual]
    surplus = _numbers_beside(video)
    holes = [(before, after) for before, after in gaps if any(before < number < after for number in surplus)]
    for kind, found in (("frame-hole", holes), ("frame-gap", gaps if not holes else [])):
        if found:
            words = f"frame {found[0][0] + usual} is missing after {found[0][0]}; {len(found)} such places"
            problems.note(kind, where, words)


def _numbers_beside(video: AnnotatedVideo) -> set[int]:
    """Last numbers in the names of images that lie beside the frames, and are none."""
    listed = {image for image in video.images if image is not None}
    beside = (path for folder in {image.parent for image in listed} for path in folder.iterdir() if path not in listed)
    digits = (re.findall("[0-9]+", path.stem) for path in beside if is_image(path))
    return {int(found[-1]) for found in digits if found}


def _check_tracks(video: AnnotatedVideo, problems: Problems) -> None:
    seen: dict[object, int] = {}
    for track in video.tracks:
        where = f"video {video.name}, track {track.id}"
        masks = tuple(mask and mask.counts for mask in track.segmentations)
        if not any(masks):
            problems.note("track-empty", where, f"has no pixel in any of {len(masks)} frames")
        elif seen.setdefault((track.category_id, masks), track.id) != track.id:
            twin = seen[track.category_id, masks]
            problems.note("track-repeated", where, f"has the class and the masks of track {twin}")


def _check_images(annotations: Annotations, problems: Problems) -> None:
    listed = {image for video in annotations.videos for image in video.images if image is not None}
    for video in annotations.videos:
        where = f"video {video.name}"
        absent = [number for number, image in zip(video.frame_numbers, video.images, strict=True) if image is None]
        if absent:
            words = f"{len(absent)} of {len(video.images)} frames have no image: {listing(absent, SHOWN)}"
            problems.note("frame-missing", where, words)
        for image in video.images:
            fault = None if image is None else image_fault(image, (video.width, video.height))
            if image is not None and fault is not None:
                problems.note(fault[0], f"{where}, {image.name}", fault[1])
    for folder in sorted({image.parent for image in listed}):
        _note_unlisted(folder, [path for path in folder.iterdir() if is_image(path) and path not in listed], problems)


def _note_unlisted(folder: Path, surplus: Sequence[Path], problems: Problems) -> None:
    if surplus:
        words = f"{len(surplus)} images more, such as {min(surplus).name}"
        problems.note("frame-unlisted", f"folder {folder.name}", words)
