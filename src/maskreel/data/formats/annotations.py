"""What every annotation format is read into and written from: videos with their frames, tracks and masks."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt

from maskreel.data.layouts import ANNOTATIONS, LEAVES_ROOT, Folders
from maskreel.data.records import listing
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.files import is_beside_results
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle
from maskreel.left_out import LeftOut
from maskreel.video.frame_order import in_frame_order
from maskreel.video.images import is_image

logger = logging.getLogger(__name__)

MAX_FRAMES = 100_000
"""Of a video, where a file may claim any number in a few bytes."""


MAX_NAME = 1000
"""Characters of a file's name that are looked at for numbers."""

SHOWN = 3
"""Names of lost things in a message, of each sort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedVideo:
    """One video; an image alone is a video of one frame."""

    id: int
    name: str
    """Tells it from the others; a relative path."""
    width: int
    height: int
    frame_numbers: tuple[int, ...]
    """Position of each frame in the video that the frames were taken from."""
    file_names: tuple[str, ...]
    """Of the frames, with their folder."""
    images: tuple[Path | None, ...] = field(compare=False)
    """Where each frame lies; None where no image was found."""
    tracks: tuple[AnnotatedTrack, ...]
    """Their ids name them within the video, and their masks are as `tidy` gives them."""
    fps: float | None = None
    """Frames per second that the numbers count, where known."""

    @property
    def plain_fps(self) -> dict[str, int | float]:
        """The rate as an entry of a JSON record, none where it is not known; whole rates are written as such."""
        if self.fps is None:
            return {}
        return {"fps": int(self.fps) if self.fps.is_integer() else self.fps}

    def __post_init__(self) -> None:
        where = f"video {self.name!r}"
        for name in (self.name, *self.file_names):
            check_name(name, where)
        pairs = zip((-1, *self.frame_numbers[:-1]), self.frame_numbers, strict=True)
        for before, after in pairs:
            if after <= before:
                raise DataError(f"{where}: frame number {after} after {before}; numbers must rise, from 0 at least.")
        seen: set[int] = set()
        for track in self.tracks:
            if track.id in seen:
                raise DataError(f"{where}: track id {track.id} stands twice.")
            seen.add(track.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotations:
    """A split: everything that a format is asked to keep."""

    categories: tuple[Category, ...]
    videos: tuple[AnnotatedVideo, ...]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a reader may be told beside the place of the annotations."""

    split: str = "train"
    """Of a YouTube-VIS folder."""
    images: Path | None = None
    """Folder of the images; None looks where the format keeps them."""
    classes: str | None = None
    """Class map for images of COCO, by the name in `coco_clips.CLASS_MAPS`."""
    scratch: Path | None = None
    """A private folder for images that lie inside other files, gone after the conversion; None takes none out."""
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)
    """Told of everything that is not read."""


def annotation_file(given: Path, kind: str, split: str, *patterns: str) -> Path:
    """The file that `given` is, or that of the split in it, or the only one that a pattern finds.

    UsageError where it is not to be told.
    """
    if given.is_dir():
        named = [given / pattern.format(split=split) for pattern in ANNOTATIONS]
        given = next((path for path in named if path.is_file()), given)
    if given.is_dir():
        every = {path for pattern in patterns for path in given.glob(pattern) if not path.name.startswith(".")}
        found = sorted(path for path in every if not is_beside_results(path))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise UsageError(f"{given}: name the annotation file itself; found {names}")
        given = found[0]
    if not given.is_file():
        raise UsageError(f"{given}: no such file; expected a {kind} annotation file")
    return given


def tidy(mask: Rle | None) -> Rle | None:
    """The one form of a mask that formats are compared in: no empty runs, None for a mask without pixels."""
    if mask is None:
        return None
    start, end = rle.foreground(mask)
    if not start.size:
        return None
    return rle.from_runs(start, end, height=mask.height, width=mask.width)


def numbers_of(names: Iterable[str]) -> tuple[int, ...]:
    """Frame numbers that file names tell, with endings or without, where they rise, else the positions from 0.

    The last number of each name, or that in which the names differ.
    """
    paths = [Path(name[:MAX_NAME] if is_image(Path(name)) else f"{name[:MAX_NAME]}.png") for name in names]
    found = [re.findall(r"\d+", path.stem, re.ASCII) for path in paths]
    last = tuple(int(digits[-1]) if digits else -1 for digits in found)
    order = in_frame_order(paths)
    varying = order.numbers if order.paths == tuple(paths) else None
    for numbers in (last, varying):
        if numbers is not None and -1 not in numbers and all(before < after for before, after in pairwise(numbers)):
            return numbers
    return tuple(range(len(paths)))


def check_name(name: str, where: str) -> str:
    """A relative path from a file; DataError when it would lead elsewhere."""
    if not name or LEAVES_ROOT.search(name):
        raise DataError(f"{where}: the name {name!r} leaves the folder; expected a relative path without '..'.")
    return name


def flat_name(video: AnnotatedVideo) -> str:
    """The name as that of a single file or folder."""
    parts = (part for part in video.name.replace("\\", "/").split("/") if part not in ("", "."))
    return "__".join(parts) or f"video_{video.id}"


def with_distinct_names(videos: Iterable[AnnotatedVideo], *, folders: Folders = "nested") -> tuple[AnnotatedVideo, ...]:
    """The same videos under names that are told apart where `folders` are named after them.

    Of those that would share one, all but the first get the id behind it; a warning lists old and new names.
    """
    videos = tuple(videos)
    wanted = [flat_name(video) if folders == "flat" else video.name for video in videos]
    reserved, taken = set(wanted), set[str]()
    renamed, result = [], []
    for video, name in zip(videos, wanted, strict=True):
        number = video.id
        place = flat_name(video) if folders == "titled" else name
        base = name
        while place in taken or (name != base and place in reserved):
            name = f"{base}_{number}"
            place = name.replace("/", "__") if folders == "titled" else name
            number += 1
        taken.add(place)
        if name != video.name:
            renamed.append(f"{video.name!r} is now named {name!r}")
        result.append(video if name == video.name else replace(video, name=name))
    if renamed:
        logger.warning("videos renamed: %s", listing(renamed, SHOWN))
    return tuple(result)


def label_map(video: AnnotatedVideo, frame: int) -> UInt[np.ndarray, "h w"]:
    """For formats where a pixel belongs to one object: position of its track from 1, 0 for none.

    Where tracks overlap, the later one wins.
    """
    labels = np.zeros((video.height, video.width), dtype=np.min_scalar_type(len(video.tracks)))
    for position, track in enumerate(video.tracks, start=1):
        mask = track.segmentations[frame]
        if mask is not None:
            labels[rle.decode(mask)] = position
    return labels


def differences(before: Annotations, after: Annotations) -> list[str]:
    """What came back changed: classes, videos, frame times, track ids, marks and masks of tracks; a phrase for each."""
    found = _class_differences(before, after)
    by_name = {video.name: video for video in after.videos}
    own = {video.name for video in before.videos}
    # A format that makes names of its own keeps ids.
    by_id = {video.id: video for video in after.videos if video.name not in own}
    twins = [(video, by_name.get(video.name) or by_id.get(video.id)) for video in before.videos]
    missing = [video.name for video, twin in twins if twin is None]
    if missing:
        found.append(f"videos {listing(missing, SHOWN)}")
    pairs = [(video, twin) for video, twin in twins if twin is not None]
    for what, name in (("sizes", "size"), ("ids", "id"), ("frame times", "frame_numbers"), ("frame rates", "fps")):
        changed = [
            one.name
            for one, other in pairs
            if (_size(one) != _size(other) if name == "size" else getattr(one, name) != getattr(other, name))
        ]
        if changed:
            found.append(f"{what} of videos {listing(changed, SHOWN)}")
    return found + _track_differences(
        [pair for pair in pairs if len(pair[0].frame_numbers) == len(pair[1].frame_numbers)]
    )


def _size(video: AnnotatedVideo) -> tuple[int, int]:
    return video.width, video.height


def _class_differences(before: Annotations, after: Annotations) -> list[str]:
    own, other = ({c.id: c.name for c in annotations.categories} for annotations in (before, after))
    changed = [f"{name!r} ({number})" for number, name in own.items() if other.get(number) != name]
    return [f"classes {listing(changed, SHOWN)}"] if changed else []


def _track_differences(pairs: Sequence[tuple[AnnotatedVideo, AnnotatedVideo]]) -> list[str]:
    ids: list[str] = []
    changed: dict[str, list[str]] = {"classes": [], "crowd marks": [], "occlusion labels": [], "masks": []}
    for video, other in pairs:
        back = {track.id: track for track in other.tracks}
        for track in video.tracks:
            place = f"{track.id} of {video.name}"
            if track.id not in back:
                ids.append(place)
                continue
            twin = back[track.id]
            if track.category_id != twin.category_id:
                changed["classes"].append(place)
            if track.is_crowd != twin.is_crowd:
                changed["crowd marks"].append(place)
            if track.occlusion != twin.occlusion:
                changed["occlusion labels"].append(place)
            masks = zip(track.segmentations, twin.segmentations, strict=True)
            frames = [t for t, (mask, other_mask) in enumerate(masks) if mask != other_mask]
            if frames:
                changed["masks"].append(f"{place} (frame {video.frame_numbers[frames[0]]})")
        known = {track.id for track in video.tracks}
        ids += [f"{track.id} of {video.name}" for track in other.tracks if track.id not in known]
    found = [f"tracks {listing(ids, SHOWN)}"] if ids else []
    return found + [f"{what} of tracks {listing(places, SHOWN)}" for what, places in changed.items() if places]
