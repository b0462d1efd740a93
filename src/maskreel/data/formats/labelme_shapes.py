"""Shapes of LabelMe and their masks; RleError, beginning with `where`, for one that cannot be made."""

import base64
import binascii
import io
import logging
import math
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from maskreel.data.formats.images import pixels_of
from maskreel.data.formats.shapes import box_corners, ellipse_corners, polygon_mask
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError
from maskreel.video.images import MAX_PIXELS, UNREADABLE

logger = logging.getLogger(__name__)

BOXES = 4
"""Frames that a mask may cover; what lies outside is cut."""
POLYGONS = ("polygon", "rotation", "quadrilateral", "oriented_rectangle")
"""Types whose points are corners; the latter are those of tools that go on from LabelMe."""

KINDS = (*POLYGONS, "rectangle", "circle", "mask")
"""What has an area."""

Record = dict[str, Any]


def has_area(shape: Record) -> bool:
    """Whether a shape is of a type that can be a mask, unlike points and lines."""
    return (shape.get("shape_type") or "polygon") in KINDS


def shape_mask(shape: Record, size: tuple[int, int], where: str) -> Rle:
    """Pixels of a shape in a frame of `size` (height, width)."""
    sides = {"height": size[0], "width": size[1], "where": where}
    kind = shape.get("shape_type") or "polygon"
    points = _points(shape, where)
    if kind in POLYGONS or (kind == "rectangle" and len(points) > 2):
        return polygon_mask([value for point in points for value in point], **sides)
    if not has_area(shape):
        raise RleError(f"{where}: a {kind} has no mask; polygons, rectangles, circles and masks have")
    if kind == "mask":
        return _mask(shape, points[0], size, where)
    if len(points) != 2:
        raise RleError(f"{where}: a {kind} of {len(points)} points; expected 2")
    (left, top), (right, bottom) = points
    if kind == "rectangle":
        return polygon_mask(box_corners(left, top, right, bottom), **sides)
    radius = math.hypot(right - left, bottom - top)
    return polygon_mask(ellipse_corners(left, top, radius, radius), **sides)


def mask_text(mask: Bool[np.ndarray, "h w"]) -> str:
    """Pixels as a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _points(shape: Record, where: str) -> list[list[float]]:
    points = shape.get("points")
    is_flat = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and all(map(_is_finite, point)) for point in points
    )
    if not points or not is_flat:
        raise RleError(f"{where}: points are {points!r:.60}; expected pairs of numbers")
    return [[float(value) for value in point] for point in points]


def _is_finite(value: Any) -> bool:
    return (type(value) is int and abs(value) < 2**31) or (type(value) is float and math.isfinite(value))


def _mask(shape: Record, corner: list[float], size: tuple[int, int], where: str) -> Rle:
    """A mask of a box, cut to the frame."""
    box = _decode_png(shape.get("mask"), size, where)
    (height, width), (rows, columns) = size, box.shape
    left, top = (round(coordinate) for coordinate in corner)
    x, y, right, bottom = max(left, 0), max(top, 0), min(left + columns, width), min(top + rows, height)
    if x >= right or y >= bottom:
        raise RleError(f"{where}: a mask of {columns}x{rows} at {left},{top} lies outside the frame")
    if (right - x, bottom - y) != (columns, rows):
        logger.warning("%s: a mask of %dx%d at %d,%d is cut to the frame", where, columns, rows, left, top)
    inside = box[y - top : bottom - top, x - left : right - left]
    return rle.encode_box(inside, left=x, top=y, height=height, width=width)


def _decode_png(text: Any, size: tuple[int, int], where: str) -> Bool[np.ndarray, "h w"]:
    if not isinstance(text, str):
        raise RleError(f"{where}: its mask is {text!r:.40}; expected a PNG image in base64")
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.width * image.height > min(MAX_PIXELS, BOXES * size[0] * size[1]):
                raise RleError(f"{where}: a mask of {image.width}x{image.height} pixels")
            return pixels_of(image if image.mode in ("1", "L") else image.convert("L")) > 0
    except RleError:
        raise
    except (binascii.Error, *UNREADABLE) as error:
        raise RleError(f"{where}: its mask is not a PNG image in base64 ({error})") from error
