"""Annotated videos: the one record of a class, a video, an object over time, and of all of a split.

Training, scoring and every annotation format speak these. What a model finds is a `geometry.masklets.Masklet`. Needs
numpy, not torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
    """Frames."""
    file_names: tuple[str, ...] = ()
    """One per frame; none where the file has none, which is enough for scoring."""
    dials: tuple[str, ...] = ()
    """Names of the difficulties that a rendered video shows; empty for other data."""
    frame_numbers: tuple[int, ...] | None = None
    """Positions of the frames in the video that they were taken from, where the file tells."""
    fps: float | None = None
    """Frames per second that `frame_numbers` count, where the file tells."""

    @property
    def name(self) -> str:
        """Folder of its frames, where the file tells."""
        folder = self.file_names[0].partition("/")[0] if self.file_names else ""
        return folder or f"video {self.id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedTrack:
    """One annotated object of a video."""

    id: int
    """Of the annotation; in formats where ids are those of objects, it names the object within its video."""
    category_id: int
    segmentations: Sequence[Any]
    """One per frame: `Rle`, None where the object is absent, or a mask as JSON files hold it."""
    is_crowd: bool = False
    areas: Sequence[int | float | None] | None = None
    """Pixels per frame as the file states them; None measures the masks instead."""
    occlusion: Sequence[str | None] | None = None
    """OVIS's word for how hidden the object is, one per frame; None where nobody labelled it."""
    label: int = -1
    """Position of its class among those of the set; -1 where no set is known."""
    track_id: int | None = None
    """Names the object within its video where the file tells so apart from `id`."""


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """All videos of a split with their annotated objects."""

    videos: tuple[Video, ...]
    categories: tuple[Category, ...]
    """By ascending id; a label is a position here."""
    tracks: tuple[tuple[AnnotatedTrack, ...], ...] | None
    """Of each video, in the order of the file, on which ties depend; None where they are held back."""
    source: str = "ground truth"
    """The file, for messages."""

    @property
    def class_names(self) -> dict[int, str]:
        """By class id, ascending."""
        return {category.id: category.name for category in self.categories}

    def tracks_of(self, video_index: int) -> tuple[AnnotatedTrack, ...]:
        """Of one video, crowds included; none where they are held back."""
        return () if self.tracks is None else self.tracks[video_index]

    def place(self, video_index: int, track: AnnotatedTrack) -> str:
        """Names a track in messages."""
        return f"{self.source}: video {self.videos[video_index].id}, annotation {track.id}"
