"""Cutting a video of any length into clips that overlap, while its frames come in."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Window(Generic[Item]):
    """Frames that follow each other."""

    start: int
    """Position of the first one in the video."""
    frames: list[Item]


class WindowCutter(Generic[Item]):
    """Cuts windows that together hold every frame; no more than two of them are in memory.

    Neighbours share `overlap` frames. The last window is moved back until it is full, so it may share more. A video of
    up to `clip_frames` frames is one window, however short.
    """

    def __init__(self, *, clip_frames: int, overlap: int) -> None:
        if not 0 <= overlap < clip_frames:
            raise ValueError(f"overlap {overlap}: must be at least 0 and below the {clip_frames} frames of a clip")
        self._clip_frames = clip_frames
        self._stride = clip_frames - overlap
        self._held: list[Item] = []
        """Frames of the last window and those behind it."""
        self._start = 0
        """Of the last window, or of the one to come first."""
        self._is_cut = False

    @property
    def num_final(self) -> int:
        """Frames at the beginning of the video that no later window can show, even if the video ends here."""
        return max(0, self._start + len(self._held) - self._clip_frames)

    def push(self, frame: Item) -> Window[Item] | None:
        """The window that this frame fills, None where it fills none."""
        self._held.append(frame)
        if not self._is_cut and len(self._held) == self._clip_frames:
            self._is_cut = True
        elif len(self._held) == self._clip_frames + self._stride:
            del self._held[: self._stride]
            self._start += self._stride
        else:
            return None
        return Window(start=self._start, frames=list(self._held))

    def finish(self) -> Window[Item] | None:
        """The last window, None where every frame has been in one."""
        if not self._is_cut and self._held:
            return Window(start=0, frames=self._held)
        if len(self._held) > self._clip_frames:
            start = self._start + len(self._held) - self._clip_frames
            return Window(start=start, frames=self._held[-self._clip_frames :])
        return None
