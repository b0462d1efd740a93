"""Frames between the key frames of a CVAT track, where an export holds key frames alone.

CVAT shows a shape until the next key frame of its track, and moves the corners of polygons and boxes on the way there.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, MutableMapping
from itertools import pairwise

from maskreel.geometry.rle import Rle

MOVED = {"polygon": ("points",), "box": ("xtl", "ytl", "xbr", "ybr")}
"""Shapes that move between key frames, and the attributes that do."""

ReadShape = Callable[[ET.Element, int], Rle | None]
"""Mask of a shape at a place among the frames."""


def fill_between(
    masks: MutableMapping[int, Rle | None], keys: Mapping[int, ET.Element], read: ReadShape, length: int
) -> tuple[list[int], list[int]]:
    """Give masks to the frames between key frames (by their places among `length`) and after the last.

    Returns the places that were filled, and those that could not be, between polygons of different numbers of corners.
    """
    filled: list[int] = []
    left: list[int] = []
    ends = [*sorted(keys), length]
    for start, end in pairwise(ends):
        if end - start == 1 or is_outside(keys[start]):
            continue
        between = range(start + 1, end)
        if end == length or is_outside(keys[end]) or keys[start].tag not in MOVED:
            for place in between:
                masks[place] = masks[start]
        elif (moves := _numbers(keys[start], keys[end])) is not None:
            for place in between:
                masks[place] = read(_moved(keys[start], moves, (place - start) / (end - start)), place)
        else:
            left += between
            continue
        filled += between
    return filled, left


def is_outside(shape: ET.Element) -> bool:
    return shape.get("outside", "0") != "0"


def _numbers(before: ET.Element, after: ET.Element) -> dict[str, list[tuple[float, float]]] | None:
    """Coordinates at both ends by attribute; None where the shapes are not alike."""
    if before.tag != after.tag:
        return None
    result = {}
    for key in MOVED[before.tag]:
        try:
            one, other = (
                [float(word) for word in shape.get(key, "").replace(";", ",").split(",")] for shape in (before, after)
            )
        except ValueError:
            return None
        if len(one) != len(other):
            return None
        result[key] = list(zip(one, other, strict=True))
    return result


def _moved(shape: ET.Element, moves: Mapping[str, list[tuple[float, float]]], share: float) -> ET.Element:
    """The shape at a share of the way, 0 to 1."""
    moved = ET.Element(shape.tag, shape.attrib)
    for key, pairs in moves.items():
        words = [f"{one + (other - one) * share:.2f}" for one, other in pairs]
        moved.set(
            key, ";".join(map(",".join, zip(words[::2], words[1::2], strict=True))) if key == "points" else words[0]
        )
    return moved
