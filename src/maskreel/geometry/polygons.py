"""Polygons to runs, with the same pixels as the COCO tools.

Their rule: the outline is drawn on a grid five times finer, as a chain of grid points; wherever the chain steps over
the centre line of a pixel column, the column flips between outside and inside from the crossing point downwards.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from maskreel.errors import DataError

_SCALE = 5


def polygon_runs(polygons: Sequence[Any], *, height: int, width: int) -> Int[np.ndarray, " r"]:
    """Run lengths (column by column, background first) of the union of flat [x0, y0, x1, y1, ...] polygons.

    Raises DataError for anything but numbers, for fewer than three corners, and for a corner more than one frame size
    outside the frame.
    """
    positions, steps = [], []
    for index, polygon in enumerate(polygons):
        crossings = np.sort(
            _crossings(_corners(polygon, index, height=height, width=width), height=height, width=width)
        )
        positions.append(crossings)
        steps.append(np.where(np.arange(crossings.size) % 2 == 0, 1, -1))
    position, inverse = np.unique(np.concatenate(positions), return_inverse=True)
    change = np.bincount(inverse, weights=np.concatenate(steps), minlength=position.size)
    covered = np.cumsum(change) > 0
    flips = position[covered != np.concatenate(([False], covered[:-1]))]
    pixels = height * width
    bounds = np.concatenate(([0], flips, [] if flips.size and flips[-1] == pixels else [pixels])).astype(np.int64)
    return np.diff(bounds)


def _corners(polygon: Any, index: int, *, height: int, width: int) -> Float[np.ndarray, "n 2"]:
    try:
        flat = np.array(polygon, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"polygon {index} is not a list of numbers") from error
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        raise DataError(f"polygon {index} has {flat.size} coordinates; at least three (x, y) corners are needed")
    corners = flat.reshape(-1, 2)
    limit = np.array([width, height], dtype=np.float64)
    is_far = ~((corners >= -limit) & (corners <= 2 * limit)).all(axis=1)
    if is_far.any():
        x, y = corners[int(is_far.argmax())]
        raise DataError(f"polygon {index} has the corner ({x:g}, {y:g}), far outside the frame of {width}x{height}")
    return corners


def _crossings(corners: Float[np.ndarray, "n 2"], *, height: int, width: int) -> Int[np.ndarray, " m"]:
    """Positions in column order at which the outline crosses the centre line of a column."""
    u, v = _outline(np.trunc(_SCALE * corners + 0.5).astype(np.int64))
    is_step = u[1:] != u[:-1]
    left = np.minimum(u[1:], u[:-1])[is_step]
    upper = np.minimum(v[1:], v[:-1])[is_step]
    half = _SCALE // 2
    column = (left - half) // _SCALE
    is_centre = ((left - half) % _SCALE == 0) & (column >= 0) & (column < width)
    row = np.clip((upper + half) // _SCALE, 0, height)
    return (column * height + row)[is_centre]


def _outline(corners: Int[np.ndarray, "n 2"]) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Grid points along the closed outline, edge after edge, both ends of each edge included."""
    start, delta = corners, np.roll(corners, -1, axis=0) - corners
    length = np.abs(delta).max(axis=1)
    is_flat = np.abs(delta[:, 0]) >= np.abs(delta[:, 1])
    main, cross = np.where(is_flat, 0, 1), np.where(is_flat, 1, 0)
    edges = np.arange(len(corners))
    # Rounding is not symmetric, so that both directions of an edge are walked from its smaller end.
    is_reversed = delta[edges, main] < 0
    origin = np.where(is_reversed[:, None], start + delta, start)
    direction = np.where(is_reversed[:, None], -delta, delta)
    slope = np.divide(direction[edges, cross], length, out=np.zeros(len(edges)), where=length > 0)
    edge = np.repeat(edges, length + 1)
    step = np.arange(edge.size) - np.repeat(np.cumsum(length + 1) - (length + 1), length + 1)
    step = np.where(is_reversed[edge], length[edge] - step, step)
    along = origin[edge, main[edge]] + step
    across = np.trunc(origin[edge, cross[edge]] + slope[edge] * step + 0.5).astype(np.int64)
    return np.where(is_flat[edge], along, across), np.where(is_flat[edge], across, along)
