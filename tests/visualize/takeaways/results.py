"""A small result with all that is odd: overlaps, absences, an empty mask, odd sides, uneven times, two classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.video.files import Frame
from maskreel.video.sources import open_video

HEIGHT, WIDTH = 33, 47
TIMES = (2.0, 2.1, 2.4)
CLASSES = ((7, "block"), (3, "a, b"))


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def masklet(track_id: int, label: int, score: float, masks: Sequence[np.ndarray | None]) -> Masklet:
    return Masklet(
        track_id=track_id,
        label=label,
        category_id=CLASSES[label][0],
        score=score,
        segmentations=tuple(None if mask is None else rle.encode(mask) for mask in masks),
    )


def result(*, first_id: int = 1) -> Masklets:
    """Three objects: the second overlaps the first with a higher score; the third comes late, after an empty mask."""
    return Masklets(
        source="clip",
        width=WIDTH,
        height=HEIGHT,
        classes=CLASSES,
        declared=None,
        timestamps=TIMES,
        masklets=(
            masklet(first_id, 0, 0.5, [box(2, 2, 12, 12), box(4, 2, 14, 12), None]),
            masklet(first_id + 1, 1, 0.9, [box(8, 8, 20, 20), None, box(30, 10, 47, 33)]),
            masklet(first_id + 4, 0, 0.4, [None, box(0, 0, 0, 0), box(0, 25, 3, 33)]),
        ),
    )


class Clip:
    """Frames of `result`, whose pixels tell their place; may be read again and again."""

    name = "clip"
    size = (HEIGHT, WIDTH)
    declared = None
    skipped = ()

    def __init__(self, num_frames: int = len(TIMES), shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
        self.frame_rate = open_video(np.zeros((1, 2, 2, 3), dtype=np.uint8)).frame_rate
        self._frames = [picture(index, shape) for index in range(num_frames)]

    def __iter__(self):
        for index, pixels in enumerate(self._frames):
            yield Frame(index=index, time=TIMES[min(index, 2)] + max(0, index - 2), pixels=pixels)


def picture(index: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.stack((rows * 5, columns * 5, np.full(shape, 60 + 60 * index)), axis=-1).astype(np.uint8)


def without_objects() -> Masklets:
    return replace(result(), masklets=())
