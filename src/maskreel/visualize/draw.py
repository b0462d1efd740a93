"""Pictures of masks: overlays on frames, and contact sheets of clips."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont

from maskreel.errors import DataError
from maskreel.files import complete_file
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.visualize.palette import Colour, text_colour, track_colour

OPACITY = 0.45
"""Of the colour that fills a mask."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnObject:
    """One object as it is to be drawn on one frame."""

    mask: Bool[np.ndarray, "h w"]
    track_id: int
    """Chooses the colour."""
    caption: str = ""


def draw(frame: UInt8[np.ndarray, "h w 3"], masklets: Masklets, frame_index: int) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of one decoded frame with the masklets seen in it: fill, outline, box, class and score."""
    objects = []
    for masklet in masklets.masklets:
        mask = masklet.segmentations[frame_index]
        if mask is not None:
            caption = f"{masklets.name(masklet)} {masklet.score:.2f}"
            objects.append(DrawnObject(mask=rle.decode(mask), track_id=masklet.track_id, caption=caption))
    return draw_objects(frame, objects)


def draw_objects(frame: UInt8[np.ndarray, "h w 3"], objects: Iterable[DrawnObject]) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of a frame with objects on it; captions lie above all masks and stay inside the picture."""
    height, width = frame.shape[:2]
    thickness = max(1, round(min(height, width) / 360))
    image = Image.fromarray(frame)
    placed: list[tuple[DrawnObject, tuple[int, int, int, int]]] = []
    for drawn in objects:
        if drawn.mask.shape != (height, width):
            rows, columns = drawn.mask.shape
            raise DataError(f"a mask of {rows}x{columns} pixels does not fit a frame of {height}x{width}")
        box = _extent(drawn.mask)
        if box is not None:
            _paint(image, drawn, box, thickness)
            placed.append((drawn, box))
    canvas = ImageDraw.Draw(image)
    font = _font(max(10, round(min(height, width) / 24)))
    for drawn, (left, top, right, bottom) in placed:
        colour = track_colour(drawn.track_id)
        canvas.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=thickness)
    taken: list[tuple[int, int, int, int]] = []
    for drawn, (left, top, _, bottom) in placed:
        if drawn.caption:
            taken.append(_write(canvas, drawn, (left, top, bottom), (width, height), font, taken))
    return np.asarray(image)


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    *,
    row_captions: Sequence[str] = (),
    cell_width: int = 320,
    gap: int = 4,
) -> UInt8[np.ndarray, "h w 3"]:
    """A filmstrip on black: one row per clip, one column per frame, each frame shrunk to at most `cell_width`."""
    if not rows or not all(len(row) for row in rows):
        raise ValueError(f"a contact sheet needs at least one frame in each row; got {[len(row) for row in rows]}")
    captions = list(row_captions) + [""] * (len(rows) - len(row_captions))
    lines = [[_shrunk(cell, cell_width) for cell in row] for row in rows]
    font = _font(13)
    band = 18 if any(captions) else 0
    heights = [max(cell.shape[0] for cell in line) + band + gap for line in lines]
    width = max(sum(cell.shape[1] + gap for cell in line) for line in lines) + gap
    sheet = np.zeros((sum(heights) + gap, width, 3), dtype=np.uint8)
    tops = np.cumsum([gap, *heights[:-1]]).tolist()
    for line, top in zip(lines, tops, strict=True):
        left = gap
        for cell in line:
            sheet[top + band : top + band + cell.shape[0], left : left + cell.shape[1]] = cell
            left += cell.shape[1] + gap
    image = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(image)
    for caption, top in zip(captions, tops, strict=True):
        canvas.text((gap, top), caption, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def evenly_spaced(length: int, count: int) -> list[int]:
    """At most `count` distinct positions spread over 0 ... length - 1, both ends among them."""
    return np.unique(np.linspace(0, length - 1, min(length, count)).round().astype(int)).tolist()


def save_picture(path: Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write PNG or JPEG, by the ending; the file appears when it is complete."""
    with complete_file(path) as new:
        Image.fromarray(picture).save(new, quality=90)


def _paint(image: Image.Image, drawn: DrawnObject, box: tuple[int, int, int, int], thickness: int) -> None:
    """Fill and outline of one mask, in place; only the pixels of its box are touched."""
    left, top, right, bottom = box
    mask = drawn.mask[top:bottom, left:right]
    alpha = np.where(mask, np.uint8(round(255 * OPACITY)), np.uint8(0))
    alpha[mask & ~_eroded(mask, thickness)] = 255
    image.paste(track_colour(drawn.track_id), box, Image.fromarray(alpha))


def _eroded(mask: Bool[np.ndarray, "h w"], steps: int) -> Bool[np.ndarray, "h w"]:
    """Mask without the pixels within `steps` of its border; outside of the array counts as border."""
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def _extent(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom), ends exclusive; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _write(
    canvas: ImageDraw.ImageDraw,
    drawn: DrawnObject,
    anchor: tuple[int, int, int],
    size: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int, int, int]:
    """Caption on a plate of the track's colour above its box, or where there is room; returns the plate."""
    left, top, bottom = anchor
    x0, y0, x1, y1 = (round(side) for side in canvas.textbbox((0, 0), drawn.caption, font=font))
    wide, tall = x1 - x0 + 4, y1 - y0 + 4
    x = max(0, min(left, size[0] - wide))
    candidates = [top - tall, bottom, top, bottom - tall]
    plates = [(x, y, x + wide, y + tall) for y in candidates if 0 <= y <= size[1] - tall]
    free = [plate for plate in plates if not any(_overlaps(plate, other) for other in taken)]
    plate = (free or plates or [(x, 0, x + wide, tall)])[0]
    colour: Colour = track_colour(drawn.track_id)
    canvas.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=colour)
    canvas.text((plate[0] + 2 - x0, plate[1] + 2 - y0), drawn.caption, fill=text_colour(colour), font=font)
    return plate


def _overlaps(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _shrunk(cell: UInt8[np.ndarray, "h w 3"], width: int) -> UInt8[np.ndarray, "_ _ 3"]:
    if cell.shape[1] <= width:
        return cell
    height = max(1, round(cell.shape[0] * width / cell.shape[1]))
    return np.asarray(Image.fromarray(cell).resize((width, height), Image.Resampling.LANCZOS))


@lru_cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
