"""A split of YouTube-VIS 2019, 2021, 2022 or OVIS: an annotation file beside folders of frames.

Frames and masks are decoded for the clip that is asked for.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from maskreel.data.annotation_file import parse_annotations
from maskreel.data.clip_runs import ClipRuns
from maskreel.data.layouts import find_annotations, find_frames
from maskreel.data.listed_frames import warn_of_order
from maskreel.data.packed import PackedFrames, is_packed, packed_folder
from maskreel.data.records import read_document
from maskreel.data.tracks import AnnotatedTrack, GroundTruth, Video
from maskreel.errors import DataError, VideoReadError
from maskreel.geometry import rle
from maskreel.geometry.rle import RleError
from maskreel.geometry.runs import pack_tracks
from maskreel.left_out import CanBeLeftOut, LeftOut
from maskreel.structures import ClipTarget
from maskreel.video.images import UNREADABLE, draft, open_image, size_words, upright, upright_size

FrameChange = Callable[[UInt8[Tensor, "1 3 _ _"]], UInt8[Tensor, "1 3 _ _"]]
"""What becomes of one frame."""

_LARGE = 2**24
"""Pixels of a frame whose masks are not drawn on trust."""


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

    def __init__(self, truth: GroundTruth, *, annotation_path: Path, frames_folder: Path, sha256: str) -> None:
        self.truth = truth
        self.annotation_path = annotation_path
        self.frames_folder = frames_folder
        self.categories = truth.categories
        self.videos = truth.videos
        self.has_annotations = truth.tracks is not None
        self.packed: PackedFrames | None = None
        """Where the frames lie in shards."""
        self._sha256 = sha256
        self._sizes_seen: set[int] = set()
        """Videos of large frames, one of which has been decoded."""

    @classmethod
    def load(cls, root: Path, split: str) -> "YouTubeVIS":
        """Find and read a split below `root`.

        Raises UsageError when the folder or the split does not exist, DataError when the file's content is wrong.
        """
        dataset = cls.read_file(find_annotations(root, split))
        videos = dataset.videos
        if is_packed(root, split):
            dataset.frames_folder = packed_folder(root, split)
            dataset.packed = PackedFrames(dataset.frames_folder, videos)
            return dataset
        dataset.frames_folder = find_frames(root, split, videos[0].file_names[0] if videos else None)
        return dataset

    @classmethod
    def read_file(cls, annotation_path: Path) -> "YouTubeVIS":
        """Read an annotation file whose frames, if they are asked for, lie beside it; DataError as above."""
        document, content = read_document(annotation_path)
        truth = parse_annotations(document, annotation_path, faults="refuse")
        warn_of_order(annotation_path, ((video.id, video.file_names) for video in truth.videos))
        return cls(
            truth,
            annotation_path=annotation_path,
            frames_folder=annotation_path.parent,
            sha256=hashlib.sha256(content).hexdigest(),
        )

    def tracks(self, video_index: int) -> list[AnnotatedTrack]:
        """All tracks of a video, crowds included; empty where the file's annotations are null."""
        return list(self.truth.tracks_of(video_index))

    def frame_path(self, video_index: int, frame: int) -> Path:
        """Where a frame lies; raises DataError when a link leads out of the data set."""
        if self.packed is not None:
            raise DataError(f"{self.frames_folder}: frames in shards have no files; use the data set that was packed")
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
        if self.packed is not None:
            return tuple(range(video.length))
        return tuple(t for t in range(video.length) if os.path.isfile(self.frames_folder / video.file_names[t]))

    def decode_frames(
        self,
        video_index: int,
        frame_index: Sequence[int],
        *,
        at_least: tuple[int, int] | None = None,
        change: FrameChange | None = None,
    ) -> UInt8[Tensor, "t 3 h w"]:
        """RGB frames, in the order asked for; a frame asked for twice is decoded once.

        They have the size that the annotations state. Where frames of `at_least` (height, width) will do and all are
        JPEG, they may come at a half, a quarter or an eighth of it, as the format decodes them with less work.
        `change` is made to each as soon as it is decoded, so that no two are held as they were.

        Raises DataError for a file that is missing, unreadable, or of another size than the annotations state.
        """
        distinct, place = np.unique(np.asarray(frame_index, dtype=np.int64), return_inverse=True)
        sizes: set[tuple[int, ...]] = set()

        def changed(frame: int) -> Tensor:
            pixels = torch.from_numpy(self._decode_frame(video_index, frame, at_least))
            sizes.add(pixels.shape)
            decoded = rearrange(pixels, "h w c -> 1 c h w")
            return decoded if change is None else change(decoded)

        frames = [changed(int(frame)) for frame in distinct]
        if at_least is not None and len(sizes) > 1:
            return self.decode_frames(video_index, frame_index, change=change)
        return torch.cat([frames[number] for number in place])

    def clip_target(self, video_index: int, frame_index: Sequence[int], left_out: LeftOut | None = None) -> ClipTarget:
        """Every track of the video but crowds, at the video's own size, also those absent from all of the frames.

        Boxes are drawn around the masks (`boxes_from_masks`); the boxes in the file are not read. A mask that cannot be
        read is a DataError, or absent where `left_out` takes it.
        """
        return self.clip_runs(video_index, frame_index, left_out).target()

    def clip_runs(self, video_index: int, frame_index: Sequence[int], left_out: LeftOut | None = None) -> ClipRuns:
        """As `clip_target`, with the masks not drawn yet."""
        video = self.videos[video_index]
        self._check_stated_size(video_index, int(next(iter(frame_index), 0)))
        tracks = [track for track in self.tracks(video_index) if not track.is_crowd]
        distinct, place = np.unique(np.asarray(frame_index, dtype=np.int64), return_inverse=True)
        masks = [[track.segmentations[frame] for frame in distinct] for track in tracks]

        def where(track: int, frame: int) -> str:
            return f"{self.truth.place(video_index, tracks[track])}, frame {distinct[frame]}"

        try:
            packed = pack_tracks(masks, height=video.height, width=video.width, place=where)
        except RleError:
            self._leave_out_faulty(masks, video, where, left_out)
            packed = pack_tracks(masks, height=video.height, width=video.width, place=where)
        return ClipRuns(
            labels=torch.tensor([track.label for track in tracks], dtype=torch.int64),
            track_id=torch.tensor([track.id for track in tracks], dtype=torch.int64),
            tracks=packed,
            frames=place,
            size=(video.height, video.width),
        )

    def _leave_out_faulty(
        self, masks: list[list[Any]], video: Video, place: Callable[[int, int], str], left_out: LeftOut | None
    ) -> None:
        """Make every mask that cannot be read absent, or raise the first RleError where nothing takes it."""
        for n, of_track in enumerate(masks):
            for t, mask in enumerate(of_track):
                where = place(n, t)
                try:
                    rle.parse(mask, height=video.height, width=video.width, where=where)
                except RleError as error:
                    if left_out is None:
                        raise
                    item = where.removeprefix(f"{self.annotation_path}: ")
                    left_out.leave_out("shape", self.annotation_path, item, str(error).removeprefix(f"{where}: "))
                    of_track[t] = None

    def fingerprint(self) -> Fingerprint:
        tracks = [track for per_video in self.truth.tracks or () for track in per_video]
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

    def _check_stated_size(self, video_index: int, frame: int) -> None:
        """Before masks of a large frame are drawn, see that there is such a frame: a file can state any size."""
        video = self.videos[video_index]
        if video.width * video.height <= _LARGE or video_index in self._sizes_seen:
            return
        self._decode_frame(video_index, frame)
        self._sizes_seen.add(video_index)

    def _decode_frame(self, video_index: int, frame: int, at_least: tuple[int, int] | None = None) -> np.ndarray:
        video, content = self.videos[video_index], None
        if self.packed is None:
            path = self.frame_path(video_index, frame)
        else:
            path, content = self.packed.place(video_index, frame), self.packed.read(video_index, frame)
        item = f"frame {frame} of video {video.id}"
        try:
            with open_image(path, content) as image:
                size, stored = upright_size(image), image.size
                if at_least is not None:
                    draft(image, at_least)
                pixels = upright(image) if size == (video.width, video.height) else None
        except FileNotFoundError as error:
            raise CanBeLeftOut(
                "image", path, item, "is missing", "Extract the frames again or pass --on-bad skip."
            ) from error
        except (VideoReadError, *UNREADABLE) as error:
            reason = error.reason if isinstance(error, VideoReadError) else error
            advice = "Extract it again or pass --on-bad skip."
            raise CanBeLeftOut("image", path, item, f"cannot be decoded ({reason})", advice) from error
        if pixels is None:
            stated = f"{self.annotation_path.name} states {video.width}x{video.height}"
            reason = f"has {size_words(size, stored)} (width x height) but {stated}"
            raise CanBeLeftOut("image", path, item, reason, "Extract the frames at that size or pass --on-bad skip.")
        return pixels
