"""Outlines that define the classes of the rendered set; texture and colour say nothing about the class."""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

CLASS_NAMES = ("disc", "star", "box", "ring", "triangle", "cross", "crescent", "arrow")
"""The first ones are the easiest to tell apart."""

REACH = 1.6
"""Object coordinates of a silhouette lie in [-REACH, REACH]; a disc has radius 1."""
STENCIL_CELLS = 512


@lru_cache(maxsize=len(CLASS_NAMES))
def stencil(label: int) -> Bool[np.ndarray, "cells cells"]:
    """Which cells of the square [-REACH, REACH]^2 a class covers (rows = second coordinate)."""
    centres = ((np.arange(STENCIL_CELLS) + 0.5) / STENCIL_CELLS * 2 - 1) * REACH
    x, y = centres[None, :], centres[:, None]
    squared = x * x + y * y
    match CLASS_NAMES[label]:
        case "disc":
            return squared < 1.0
        case "ring":
            return (squared < 1.12) & (squared > 0.3)
        case "crescent":
            return (squared < 1.32) & ((x - 0.62) * (x - 0.62) + y * y > 0.8)
        case name:
            return inside_polygon(x, y, _OUTLINES[name])


@lru_cache(maxsize=len(CLASS_NAMES))
def extent(label: int) -> float:
    """Distance of a class's farthest covered cell from the centre."""
    centres = ((np.arange(STENCIL_CELLS) + 0.5) / STENCIL_CELLS * 2 - 1) * REACH
    squared = centres[None, :] * centres[None, :] + centres[:, None] * centres[:, None]
    return float(np.sqrt(squared[stencil(label)].max()))


def is_inside(
    label: int, x: Float[np.ndarray, "*points"], y: Float[np.ndarray, "*points"]
) -> Bool[np.ndarray, "*points"]:
    """Whether points in object coordinates belong to the silhouette."""
    scale = STENCIL_CELLS / (2 * REACH)
    column = np.clip((x + REACH) * scale, 0, STENCIL_CELLS - 1).astype(np.int64)
    row = np.clip((y + REACH) * scale, 0, STENCIL_CELLS - 1).astype(np.int64)
    return stencil(label).ravel()[row * STENCIL_CELLS + column]


def inside_polygon(
    x: Float[np.ndarray, "1 w"], y: Float[np.ndarray, "h 1"], corners: tuple[tuple[float, float], ...]
) -> Bool[np.ndarray, "h w"]:
    """Even-odd rule on a grid of points."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < (x1 - x0) / (y1 - y0) * (y - y0) + x0)
    return inside


def _corner(radius: float, turn: float) -> tuple[float, float]:
    """A point on a circle; rounded, so that the last bit of a C library's sine cannot matter."""
    angle = 2 * math.pi * turn
    return round(radius * math.sin(angle) * 4096) / 4096, round(-radius * math.cos(angle) * 4096) / 4096


_OUTLINES = {
    "star": tuple(_corner(1.32 if k % 2 == 0 else 0.58, k / 10) for k in range(10)),
    "box": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": tuple(_corner(1.32, k / 3) for k in range(3)),
    "cross": (
        *((-0.38, -1.15), (0.38, -1.15), (0.38, -0.38), (1.15, -0.38), (1.15, 0.38), (0.38, 0.38)),
        *((0.38, 1.15), (-0.38, 1.15), (-0.38, 0.38), (-1.15, 0.38), (-1.15, -0.38), (-0.38, -0.38)),
    ),
    "arrow": (*((0.0, -1.3), (1.0, -0.1), (0.4, -0.1), (0.4, 1.15), (-0.4, 1.15), (-0.4, -0.1), (-1.0, -0.1)),),
}
