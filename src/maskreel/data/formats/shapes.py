"""What tools draw beside polygons, as polygons: boxes, turned boxes, ellipses; coordinates in pixels.

And what becomes of a shape, or of a whole file among others, that cannot be used.
"""

import math
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path

from maskreel.data.formats.annotations import ReadOptions
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

CORNERS = 64
"""Of an ellipse, at least: its area is then right to 0.2 %."""


def box_corners(left: float, top: float, right: float, bottom: float, *, rotation: float = 0.0) -> list[float]:
    """Flat corners of a box, its opposite corners in any order, turned clockwise about its centre by degrees."""
    x, y = (left + right) / 2, (top + bottom) / 2
    return _turned([left, top, right, top, right, bottom, left, bottom], x, y, rotation)


def ellipse_corners(x: float, y: float, across: float, down: float, *, rotation: float = 0.0) -> list[float]:
    """Flat corners of an ellipse about a centre, with its two radii, turned clockwise by degrees."""
    count = max(CORNERS, min(1024, int(across + down)))
    angles = [2 * math.pi * number / count for number in range(count)]
    flat = [value for angle in angles for value in (x + across * math.cos(angle), y + down * math.sin(angle))]
    return _turned(flat, x, y, rotation)


@contextmanager
def odd_shapes(options: ReadOptions, path: Path, item: str) -> Iterator[str]:
    """Around the reading of one shape, or one track: what is wrong with it is left out, as the options say.

    Gives the place for messages.
    """
    where = f"{path}: {item}"
    try:
        yield where
    except DataError as error:
        reason = str(error).removeprefix(where).lstrip(": ").removesuffix(".")
        options.left_out.leave_out("shape", path, item, reason)


@contextmanager
def odd_files(options: ReadOptions, path: Path, *, among: Sized) -> Iterator[None]:
    """Around the reading of one annotation file: it stops, or is left out where it is one of several."""
    try:
        yield
    except DataError as error:
        if len(among) < 2:
            raise
        reason = str(error).removeprefix(f"{path}: ").removesuffix(".")
        options.left_out.leave_out("annotations", path, "", reason)


def polygon_mask(corners: Sequence[float], *, height: int, width: int, where: str) -> Rle:
    """Pixels of one polygon; RleError for fewer than three corners, and for one far outside the frame."""
    mask = rle.parse([list(corners)], height=height, width=width, where=where)
    assert mask is not None, "a polygon with corners"
    return mask


def united(masks: Sequence[Rle]) -> Rle:
    """Pixels that any of the masks covers; they are of one size, and at least one."""
    return masks[0] if len(masks) == 1 else rle.union(masks)


def _turned(flat: list[float], x: float, y: float, rotation: float) -> list[float]:
    if not rotation:
        return flat
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    turned = []
    for across, down in zip(flat[::2], flat[1::2], strict=True):
        turned += [
            x + (across - x) * cosine - (down - y) * sine,
            y + (across - x) * sine + (down - y) * cosine,
        ]
    return turned
