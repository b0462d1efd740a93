"""Cutting a video of any length into clips that overlap, while its frames come in."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Window(Generic[Item]):
    """Frames that follow each other."""

    start: int
    """Position of the first one in the video."""
    frames: list[Item]


@runtime_checkable
class Windows(Protocol[Item]):
    """Cuts the frames of a video into windows; each frame is in at least one of them."""

    @property
    def num_final(self) -> int:
        """Frames at the beginning of the video that no later window changes, even if the video ends here."""
        ...

    def push(self, frame: Item) -> Window[Item] | None:
        """The window that is due with this frame, None where none is."""
        ...

    def finish(self) -> Window[Item] | None:
        """The last window, None where every frame has been in one."""
        ...


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


class SlidingWindows(Generic[Item]):
    """Windows for those who cannot wait: a frame is final when `latency` frames have come after it.

    A window holds the latest `frames` frames, fewer at the beginning. The first is cut when the first frame has to be
    final, the next ones every max(latency, 1) frames, or so often that neighbours share a frame.
    """

    def __init__(self, *, frames: int, latency: int) -> None:
        self._frames = frames
        self._latency = latency
        self._stride = max(1, min(latency, frames - 1))
        self._held: list[Item] = []
        self._count = 0
        self._next = 1 + min(latency, frames - 1)
        """Frames that have come when the next window is cut."""
        self._seen = 0
        """Frames that have been in a window."""

    @property
    def num_final(self) -> int:
        return max(0, self._count - self._latency)

    def push(self, frame: Item) -> Window[Item] | None:
        self._held = [*self._held[1 - self._frames :], frame] if self._frames > 1 else [frame]
        self._count += 1
        if self._count < self._next:
            return None
        self._next += self._stride
        return self._cut()

    def finish(self) -> Window[Item] | None:
        return self._cut() if self._count > self._seen else None

    def _cut(self) -> Window[Item]:
        self._seen = self._count
        return Window(start=self._count - len(self._held), frames=list(self._held))
