"""Reader of YouTube-VIS 2019, 2021, 2022 and OVIS: a JSON file of mask tracks beside folders of frames.

The whole annotation file is read and checked at once; frames and masks are decoded for the clip that is asked for.
Categories keep the ids of the file, gaps included; inside the project a class is its position in the list of
categories sorted by id.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from maskreel.data.layouts import LEAVES_ROOT, find_annotations, find_frames
from maskreel.data.records import crowd_mark, field_of, frame_rate, identified, listing, read_document, shortened
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.masks import boxes_from_masks
from maskreel.structures import ClipTarget
from maskreel.video.pictures import UNREADABLE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A class as the file names it."""

    id: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Video:
    """One video of a split; sizes in pixels, file names relative to the folder of frames."""

    id: int
    width: int
    height: int
    length: int
    file_names: tuple[str, ...]
    dials: tuple[str, ...] = ()
    """Names of the difficulties that a rendered video shows; empty for other data."""
    frame_numbers: tuple[int, ...] | None = None
    """Positions of the frames in the video that they were taken from, where the file tells."""
    fps: float | None = None
    """Frames per second that `frame_numbers` count, where the file tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One object of a video, masks still in the form of the file."""

    id: int
    label: int
    """Contiguous class index."""
    is_crowd: bool
    segmentations: list[Any]
    """One entry per frame; null where the object is absent."""
    areas: list[Any] | None
    """Pixels per frame as the file states them; None where it does not."""
    occlusion: list[Any] | None
    """OVIS's word for how hidden the object is, one entry per frame; None where the file has none."""
    track_id: int
    """Names the object within its video; `id`, unless the file tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What identifies the data of a run."""

    annotation_file: str
    sha256: str
    num_videos: int
    num_frames: int
    num_tracks: int
    num_masks: int
    categories: tuple[str, ...]


class YouTubeVIS:
    """One split of a data set: `load` it, then ask for videos, tracks, frames and clip targets by video index."""

    def __init__(
        self,
        *,
        annotation_path: Path,
        frames_folder: Path,
        categories: tuple[Category, ...],
        videos: list[Video],
        tracks: list[list[Track]] | None,
        sha256: str,
    ) -> None:
        self.annotation_path = annotation_path
        self.frames_folder = frames_folder
        self.categories = categories
        self.videos = videos
        self.has_annotations = tracks is not None
        self._tracks = tracks if tracks is not None else [[] for _ in videos]
        self._sha256 = sha256

    @classmethod
    def load(cls, root: Path, split: str) -> "YouTubeVIS":
        """Find and read a split below `root`.

        Raises UsageError when the folder or the split does not exist, DataError when the file's content is wrong.
        """
        dataset = cls.read_file(find_annotations(root, split))
        videos = dataset.videos
        dataset.frames_folder = find_frames(root, split, videos[0].file_names[0] if videos else None)
        return dataset

    @classmethod
    def read_file(cls, annotation_path: Path) -> "YouTubeVIS":
        """Read an annotation file whose frames, if they are asked for, lie beside it; DataError as above."""
        document, sha256 = _read(annotation_path)
        categories = tuple(_read_categories(document, annotation_path))
        videos = list(_read_videos(document, annotation_path))
        return cls(
            annotation_path=annotation_path,
            frames_folder=annotation_path.parent,
            categories=categories,
            videos=videos,
            tracks=_read_tracks(document, annotation_path, categories, videos),
            sha256=sha256,
        )

    def tracks(self, video_index: int) -> list[Track]:
        """All tracks of a video, crowds included; empty where the file's annotations are null."""
        return self._tracks[video_index]

    def frame_path(self, video_index: int, frame: int) -> Path:
        """Where a frame lies; raises DataError when a link leads out of the data set."""
        path = self.frames_folder / self.videos[video_index].file_names[frame]
        target = Path(os.path.realpath(path))
        if not any(target.is_relative_to(folder) for folder in self._allowed_folders):
            raise DataError(
                f"{self.annotation_path}: video {self.videos[video_index].id}: frame {frame} ({path}) is a link out of "
                "the data set; put the file itself there."
            )
        return path

    def available_frames(self, video_index: int) -> tuple[int, ...]:
        """Positions of the frames whose files exist."""
        video = self.videos[video_index]
        return tuple(t for t in range(video.length) if os.path.isfile(self.frames_folder / video.file_names[t]))

    def decode_frames(self, video_index: int, frame_index: Sequence[int]) -> UInt8[Tensor, "t 3 h w"]:
        """RGB frames, in the order asked for; a frame asked for twice is decoded once.

        Raises DataError for a file that is missing, unreadable, or of another size than the annotations state.
        """
        distinct, place = np.unique(np.asarray(frame_index, dtype=np.int64), return_inverse=True)
        frames = np.stack([self._decode_frame(video_index, int(frame)) for frame in distinct])
        return rearrange(torch.from_numpy(frames[place]), "t h w c -> t c h w")

    def clip_target(self, video_index: int, frame_index: Sequence[int]) -> ClipTarget:
        """Every track of the video but crowds, at the video's own size, also those absent from all of the frames.

        Boxes are drawn around the masks (`boxes_from_masks`); the boxes in the file are not read.
        """
        video = self.videos[video_index]
        tracks = [track for track in self.tracks(video_index) if not track.is_crowd]
        distinct, place = np.unique(np.asarray(frame_index, dtype=np.int64), return_inverse=True)
        masks = np.zeros((len(tracks), len(distinct), video.height, video.width), dtype=bool)
        for n, track in enumerate(tracks):
            for t, frame in enumerate(distinct):
                self._decode_mask(masks[n, t], video, track, int(frame))
        clip_masks = torch.from_numpy(masks[:, place])
        boxes = boxes_from_masks(clip_masks)
        return ClipTarget(
            labels=torch.tensor([track.label for track in tracks], dtype=torch.int64),
            boxes=boxes,
            masks=clip_masks,
            is_visible=boxes[..., 2] > 0,
            track_id=torch.tensor([track.id for track in tracks], dtype=torch.int64),
        )

    def fingerprint(self) -> Fingerprint:
        tracks = [track for per_video in self._tracks for track in per_video]
        return Fingerprint(
            annotation_file=self.annotation_path.name,
            sha256=self._sha256,
            num_videos=len(self.videos),
            num_frames=sum(video.length for video in self.videos),
            num_tracks=len(tracks),
            num_masks=sum(mask is not None for track in tracks for mask in track.segmentations),
            categories=tuple(category.name for category in self.categories),
        )

    @cached_property
    def _allowed_folders(self) -> tuple[Path, Path]:
        return self.frames_folder.resolve(), self.annotation_path.parent.resolve()

    def _decode_mask(self, mask: np.ndarray, video: Video, track: Track, frame: int) -> None:
        where = f"{self.annotation_path}: video {video.id}, annotation {track.id}, frame {frame}"
        encoded = rle.parse(track.segmentations[frame], height=video.height, width=video.width, where=where)
        if encoded is not None:
            mask[:] = rle.decode(encoded)

    def _decode_frame(self, video_index: int, frame: int) -> np.ndarray:
        video, path = self.videos[video_index], self.frame_path(video_index, frame)
        try:
            with Image.open(path) as image:
                size = image.size
                pixels = np.asarray(image.convert("RGB")) if size == (video.width, video.height) else None
        except FileNotFoundError as error:
            raise DataError(
                f"{path}: frame {frame} of video {video.id} is missing. "
                "Extract the frames again or pass --data.on-missing-frames skip."
            ) from error
        except UNREADABLE as error:
            raise DataError(
                f"{path}: frame {frame} of video {video.id} cannot be decoded ({error}). Extract it again."
            ) from error
        if pixels is None:
            raise DataError(
                f"{path}: frame {frame} of video {video.id} has {size[0]}x{size[1]} pixels (width x height) but "
                f"{self.annotation_path.name} states {video.width}x{video.height}; extract the frames at that size."
            )
        return pixels


def _read(path: Path) -> tuple[dict[str, Any], str]:
    document, content = read_document(path)
    if not isinstance(document, dict) or "videos" not in document:
        is_coco = isinstance(document, dict) and "images" in document
        what, hint = (
            ("COCO images", "; maskreel data convert --from coco imports it") if is_coco else ("something else", "")
        )
        raise DataError(
            f"{path}: not a YouTube-VIS file but {what}; "
            f'expected an object with "videos", "categories", "annotations"{hint}.'
        )
    return document, hashlib.sha256(content).hexdigest()


def _read_categories(document: dict[str, Any], path: Path) -> Iterator[Category]:
    records = identified(document, "categories", f"{path}: category")
    if not records:
        raise DataError(f'{path}: "categories" is empty; list at least one class with an id and a name.')
    for category_id, record in sorted(records.items()):
        yield Category(id=category_id, name=field_of(record, "name", str, f"{path}: category {category_id}"))


def _read_videos(document: dict[str, Any], path: Path) -> Iterator[Video]:
    for video_id, record in identified(document, "videos", f"{path}: video").items():
        where = f"{path}: video {video_id}"
        names = field_of(record, "file_names", list, where)
        length = field_of({"length": len(names), **record}, "length", int, where)
        if not names or length != len(names):
            raise DataError(f'{where}: {len(names)} "file_names" but "length" {length}; they must agree, at least 1.')
        for name in names:
            if not isinstance(name, str) or not name or LEAVES_ROOT.search(name):
                raise DataError(
                    f"{where}: file name {shortened(name)} leaves the folder of frames; "
                    "expected a relative path without '..', such as 'video/00000.jpg'."
                )
        width, height = (field_of(record, side, int, where) for side in ("width", "height"))
        if min(width, height) < 1 or width * height > rle.MAX_PIXELS:
            raise DataError(f"{where}: size {width}x{height}; expected 1 to {rle.MAX_PIXELS} pixels.")
        dials = field_of({"dials": [], **record}, "dials", list, where)
        yield Video(
            id=video_id,
            width=width,
            height=height,
            length=length,
            file_names=tuple(names),
            dials=tuple(str(dial) for dial in dials),
            frame_numbers=_read_frame_numbers(record, length, where),
            fps=frame_rate(record, where),
        )


def _read_frame_numbers(record: dict[str, Any], length: int, where: str) -> tuple[int, ...] | None:
    if record.get("frame_numbers") is None:
        return None
    numbers = field_of(record, "frame_numbers", list, where)
    if len(numbers) != length or any(type(number) is not int for number in numbers):
        raise DataError(f'{where}: "frame_numbers" is {shortened(numbers)}; expected {length} whole numbers.')
    return tuple(numbers)


def _read_tracks(
    document: dict[str, Any], path: Path, categories: tuple[Category, ...], videos: list[Video]
) -> list[list[Track]] | None:
    """Tracks per video index; None where "annotations" is null, as in files whose truth is held back."""
    if "annotations" in document and document["annotations"] is None:
        return None
    labels = {category.id: label for label, category in enumerate(categories)}
    places = {video.id: place for place, video in enumerate(videos)}
    tracks: list[list[Track]] = [[] for _ in videos]
    for track_id, record in identified(document, "annotations", f"{path}: annotation").items():
        where = f"{path}: annotation {track_id}"
        video_id = field_of(record, "video_id", int, where)
        if video_id not in places:
            raise DataError(f'{where}: "video_id" {video_id} is not among the {len(videos)} videos.')
        where = f"{path}: video {video_id}, annotation {track_id}"
        category_id = field_of(record, "category_id", int, where)
        if category_id not in labels:
            raise DataError(
                f'{where}: "category_id" {category_id} is not among the categories ({listing(sorted(labels))}).'
            )
        place = places[video_id]
        track = Track(
            id=track_id,
            label=labels[category_id],
            is_crowd=crowd_mark(record, where),
            segmentations=_read_segmentations(record, videos[place].length, where),
            areas=record.get("areas"),
            occlusion=record.get("occlusion"),
            track_id=record["track_id"] if type(record.get("track_id")) is int else track_id,
        )
        tracks[place].append(track)
    return tracks


def _read_segmentations(record: dict[str, Any], length: int, where: str) -> list[Any]:
    segmentations = field_of(record, "segmentations", list, where)
    for key in ("segmentations", "bboxes", "areas", "occlusion"):
        if record.get(key) is not None and len(field_of(record, key, list, where)) != length:
            raise DataError(
                f'{where}: {len(record[key])} "{key}" for {length} frames; give one per frame, null where absent.'
            )
    for frame, segmentation in enumerate(segmentations):
        if segmentation is not None and not isinstance(segmentation, dict | list):
            raise DataError(
                f"{where}, frame {frame}: mask is {shortened(segmentation)}; expected RLE, polygons or null."
            )
    return segmentations
