"""Cutting a video of any length into clips that overlap, holding no more than two clips in memory."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def cut_windows(frames: Iterable[Item], *, clip_frames: int, overlap: int) -> Iterator[tuple[int, list[Item]]]:
    """(first frame's index, frames) of windows that together hold every frame.

    Neighbours share `overlap` frames. The last window is moved back until it is full, so it may share more. A video of
    up to `clip_frames` frames is one window, however short.
    """
    if not 0 <= overlap < clip_frames:
        raise ValueError(f"overlap {overlap}: must be at least 0 and below the {clip_frames} frames of a clip")
    stride = clip_frames - overlap
    held: list[Item] = []
    start = 0
    is_first = True
    for frame in frames:
        held.append(frame)
        if is_first and len(held) == clip_frames:
            yield 0, list(held)
            is_first = False
        elif len(held) == clip_frames + stride:
            del held[:stride]
            start += stride
            yield start, list(held)
    if is_first and held:
        yield 0, held
    elif len(held) > clip_frames:
        yield start + len(held) - clip_frames, held[-clip_frames:]
