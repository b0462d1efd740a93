"""Shapes of CVAT's XML and their masks; RleError, beginning with `where`, for one that cannot be made."""

import logging
import math
import xml.etree.ElementTree as ET

import numpy as np
from jaxtyping import Bool

from maskreel.data.formats.shapes import box_corners, ellipse_corners, polygon_mask
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError

logger = logging.getLogger(__name__)

BOXES = 4
"""Frames that the box of a mask may cover; what lies outside is cut."""
BOX = ("xtl", "ytl", "xbr", "ybr")
ELLIPSE = ("cx", "cy", "rx", "ry")


def shape_mask(shape: ET.Element, size: tuple[int, int], where: str) -> Rle:
    """Pixels of a mask, polygon, box or ellipse in a frame of `size` (height, width)."""
    sides = {"height": size[0], "width": size[1], "where": where}
    turn = _number(shape.get("rotation", "0"), f"{where}: rotation")
    if shape.tag == "polygon":
        return polygon_mask(_points(shape, where), **sides)
    if shape.tag == "box":
        left, top, right, bottom = (_number(shape.get(key), f"{where}: {key}") for key in BOX)
        return polygon_mask(box_corners(left, top, right, bottom, rotation=turn), **sides)
    if shape.tag == "ellipse":
        x, y, across, down = (_number(shape.get(key), f"{where}: {key}") for key in ELLIPSE)
        return polygon_mask(ellipse_corners(x, y, across, down, rotation=turn), **sides)
    if shape.tag != "mask":
        raise RleError(f"{where}: a {shape.tag} has no mask; masks, polygons, boxes and ellipses have")
    return _mask(shape, size, where)


def decode_runs(counts: str, *, width: int, height: int, where: str) -> Bool[np.ndarray, "height width"]:
    """The box of a mask: runs row by row, background first."""
    words = [word.strip() for word in counts.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise RleError(f"{where}: rle is {counts!r:.60}; expected run lengths with commas between them")
    runs = np.array([int(word) for word in words], dtype=np.int64)
    if runs.sum() != width * height:
        raise RleError(f"{where}: runs cover {runs.sum()} pixels of a box of {width}x{height}")
    return np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(height, width)


def encode_runs(box: Bool[np.ndarray, "height width"]) -> str:
    """Inverse of `decode_runs`."""
    # The rows of a box are the columns of its transpose, which COCO counts.
    return ", ".join(map(str, rle.run_lengths(rle.encode(box.T))))


def box_of(mask: Rle) -> dict[str, str]:
    """Attributes of a mask element."""
    left, top, columns, rows = (int(side) for side in rle.bounding_box(mask))
    box = rle.decode(mask)[top : top + rows, left : left + columns]
    sides = {"left": left, "top": top, "width": columns, "height": rows}
    return {"rle": encode_runs(box), **{key: str(value) for key, value in sides.items()}}


def _mask(shape: ET.Element, size: tuple[int, int], where: str) -> Rle:
    """The box of a mask, cut to the frame."""
    height, width = size
    left, top, columns, rows = (
        math.floor(_number(shape.get(key), f"{where}: {key}")) for key in ("left", "top", "width", "height")
    )
    inside = max(0, min(left + columns, width) - max(left, 0)), max(0, min(top + rows, height) - max(top, 0))
    if columns < 1 or rows < 1 or columns * rows > min(rle.MAX_PIXELS, BOXES * height * width) or 0 in inside:
        raise RleError(f"{where}: box of {columns}x{rows} at {left},{top} lies outside the frame of {width}x{height}")
    box = decode_runs(shape.get("rle", ""), width=columns, height=rows, where=where)
    if inside != (columns, rows):
        logger.warning("%s: a mask of %dx%d at %d,%d is cut to the frame", where, columns, rows, left, top)
    x, y = max(left, 0), max(top, 0)
    kept = box[y - top :, x - left :][: inside[1], : inside[0]]
    return rle.encode_box(kept, left=x, top=y, height=height, width=width)


def _points(shape: ET.Element, where: str) -> list[float]:
    try:
        return [float(word) for pair in shape.get("points", "").split(";") for word in pair.split(",")]
    except ValueError as error:
        raise RleError(f"{where}: points are {shape.get('points')!r:.60}; expected x,y;x,y;...") from error


def _number(text: str | None, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not abs(number) < 2**31:
        raise RleError(f"{where} is {text!r}; expected a number")
    return number
