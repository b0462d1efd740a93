"""COCO run-length codec of our own: validating, and byte for byte what pycocotools writes.

A mask is read column by column; its runs alternate between background and foreground and start with background. The
compressed string stores each run (from the fourth on, its difference to the run two before) in groups of five bits,
lowest first, as the characters 48 to 111: bit 5 says that more groups follow, bit 4 of the last group is the sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from maskreel.errors import DataError
from maskreel.geometry.polygons import polygon_runs

MAX_PIXELS = 2**27
"""Largest frame accepted (16384 x 8192); a larger declared size is taken for a damaged file."""

_LONGEST_CODE = 7
"""Characters of one run; 35 bits hold every run and difference of a frame of `MAX_PIXELS`."""


_STRIP = 2**20
"""Pixels that are looked at together."""


class RleError(DataError):
    """A mask in run-length or polygon form is malformed."""


@dataclass(frozen=True, slots=True)
class Rle:
    """One mask as a compressed COCO string."""

    height: int
    width: int
    counts: bytes

    def to_json(self) -> dict[str, Any]:
        """The form that COCO and YouTube-VIS files use."""
        return {"size": [self.height, self.width], "counts": self.counts.decode("ascii")}


def encode(mask: Bool[np.ndarray, "h w"]) -> Rle:
    """Compress one mask."""
    height, width = mask.shape
    pixels = height * width
    if not pixels:
        return Rle(height, width, compress(np.zeros(1, np.int64)))
    # Columns follow one another, but rows lie side by side in memory: changes are looked for there and put in order.
    row, column = np.divmod(np.flatnonzero(mask[1:] != mask[:-1]), width)
    within = column * height + row + 1
    across = (np.flatnonzero(mask[0, 1:] != mask[-1, :-1]) + 1) * height
    changes = np.sort(np.concatenate((within, across)))
    leading = [0, 0] if mask[0, 0] else [0]
    return Rle(height, width, compress(np.diff(np.concatenate((leading, changes, [pixels])))))


def encode_box(box: Bool[np.ndarray, "rows columns"], *, left: int, top: int, height: int, width: int) -> Rle:
    """Compress a mask of a frame, all of whose pixels lie in a box with this corner; the frame is not drawn."""
    rows, columns = box.shape
    starts, ends = [], []
    step = max(_STRIP // max(rows, 1), 1)
    for first in range(0, columns, step):
        strip = np.zeros((min(step, columns - first), rows + 2), dtype=np.int8)
        strip[:, 1:-1] = box[:, first : first + step].T
        change = np.diff(strip, axis=1)
        for bounds, sign in ((starts, 1), (ends, -1)):
            column, row = np.nonzero(change == sign)
            bounds.append((left + first + column) * height + top + row)
    return from_runs(np.concatenate(starts), np.concatenate(ends), height=height, width=width)


def from_runs(start: Int[np.ndarray, " n"], end: Int[np.ndarray, " n"], *, height: int, width: int) -> Rle:
    """A mask of foreground runs, first pixels and ends (exclusive) in column order; runs that touch become one."""
    pixels = height * width
    if not start.size:
        return Rle(height, width, compress(np.array([pixels], dtype=np.int64)))
    is_first = np.append(True, start[1:] != end[:-1])
    bounds = np.stack((start[is_first], end[np.append(is_first[1:], True)]), axis=1).reshape(-1)
    lengths = np.diff(np.concatenate(([0], bounds, [pixels] if bounds[-1] < pixels else [])))
    return Rle(height, width, compress(lengths.astype(np.int64)))


def union(masks: Sequence[Rle]) -> Rle:
    """Pixels that any of the masks covers, counted on runs; they are of one size, and at least one."""
    height, width = masks[0].height, masks[0].width
    runs = [foreground(mask) for mask in masks]
    steps = np.concatenate([np.full(side.size, sign) for run in runs for side, sign in zip(run, (1, -1), strict=True)])
    places = np.concatenate([side for run in runs for side in run])
    position, inverse = np.unique(places, return_inverse=True)
    is_covered = np.cumsum(np.bincount(inverse, weights=steps, minlength=position.size)) > 0
    flips = position[is_covered != np.append(False, is_covered[:-1])]
    return from_runs(flips[0::2], flips[1::2], height=height, width=width)


def decode(rle: Rle) -> Bool[np.ndarray, "h w"]:
    """Dense mask; raises RleError when the runs do not fill the frame exactly."""
    counts = run_lengths(rle)
    flat = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(rle.width, rle.height).T)


def area(rle: Rle) -> int:
    """Number of foreground pixels."""
    return int(run_lengths(rle)[1::2].sum())


def bounding_box(rle: Rle) -> tuple[float, float, float, float]:
    """Smallest box around the mask as (x, y, width, height) in pixels; all zero for an empty mask."""
    start, end = foreground(rle)
    if not start.size:
        return (0.0, 0.0, 0.0, 0.0)
    last = end - 1
    left, right = int(start[0]) // rle.height, int(last[-1]) // rle.height
    if np.any(start // rle.height != last // rle.height):
        top, bottom = 0, rle.height - 1
    else:
        top, bottom = int((start % rle.height).min()), int((last % rle.height).max())
    return (float(left), float(top), float(right - left + 1), float(bottom - top + 1))


def intersection(a: Rle, b: Rle) -> int:
    """Pixels that both masks cover, counted on runs; raises RleError when their sizes differ."""
    if (a.height, a.width) != (b.height, b.width):
        raise RleError(f"masks of {a.height}x{a.width} and {b.height}x{b.width} pixels cannot be intersected")
    start, end = foreground(a)
    counts = run_lengths(b)
    bounds = np.concatenate(([0], np.cumsum(counts)))
    covered = np.concatenate(([0], np.cumsum(np.where(np.arange(counts.size) % 2 == 1, counts, 0))))
    # Foreground of b before a position grows linearly inside a run, so interpolation is exact (below 2^53).
    return int(np.interp(end, bounds, covered).sum() - np.interp(start, bounds, covered).sum())


def iou(a: Rle, b: Rle) -> float:
    """Intersection over union; 0 for two empty masks."""
    common = intersection(a, b)
    union = area(a) + area(b) - common
    return common / union if union else 0.0


def parse(obj: Any, *, height: int, width: int, where: str) -> Rle | None:
    """Mask from what a JSON file holds: compressed string, run list, polygons; null or [] is no mask.

    `height` and `width` are those of the video; a mask of another size, or whose runs do not fill it, raises RleError
    that begins with `where`.
    """
    if obj is None or (isinstance(obj, list) and not obj):
        return None
    if isinstance(obj, list):
        _check_pixels(height, width, where)
        try:
            return Rle(height, width, compress(polygon_runs(obj, height=height, width=width)))
        except DataError as error:
            raise RleError(f"{where}: {error}") from None
    if not isinstance(obj, dict) or "counts" not in obj or "size" not in obj:
        raise RleError(
            f"{where}: a mask must be null, polygons, or an object with 'size' and 'counts', not {_short(obj)}"
        )
    check_size(obj["size"], height=height, width=width, where=where)
    counts = obj["counts"]
    if isinstance(counts, list):
        lengths = _checked_list(counts, pixels=height * width, where=where)
        return Rle(height, width, compress(lengths))
    if isinstance(counts, str) and counts[:2] in ("b'", 'b"') and counts[-1:] == counts[1]:
        # The text of Python bytes, as str() instead of decode() makes it.
        counts = counts[2:-1].replace("\\\\", "\\")
    if not isinstance(counts, str | bytes):
        raise RleError(f"{where}: counts must be a string or a list of runs, not {_short(counts)}")
    _check_length(counts, height * width, where)
    try:
        data = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError as error:
        raise RleError(
            f"{where}: counts hold {_short(counts[error.start])}, which is not ASCII, at {error.start}"
        ) from None
    rle = Rle(height, width, data)
    run_lengths(rle, where=where)
    return rle


def check_size(size: Any, *, height: int, width: int, where: str) -> None:
    """Raise RleError unless `size` is [height, width] of the video and not absurdly large."""
    if size != [height, width] and tuple(size if isinstance(size, list | tuple) else ()) != (height, width):
        swapped = " (rows and columns look swapped)" if size == [width, height] else ""
        raise RleError(
            f"{where}: mask size {_short(size)} differs from the video's [height, width] = [{height}, {width}]{swapped}"
        )
    _check_pixels(height, width, where)


def run_lengths(rle: Rle, where: str = "RLE") -> Int[np.ndarray, " r"]:
    """Lengths of the alternating runs, the first one background; raises RleError unless they fill the frame."""
    _check_pixels(rle.height, rle.width, where)
    pixels = rle.height * rle.width
    _check_length(rle.counts, pixels, where)
    lengths = _expand(rle.counts, where)
    _check_runs(lengths, pixels, where)
    return lengths


def foreground(rle: Rle) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """First pixel and end (exclusive) of each non-empty foreground run, in column order."""
    lengths = run_lengths(rle)
    ends = np.cumsum(lengths)
    end, length = ends[1::2], lengths[1::2]
    kept = length > 0
    return (end - length)[kept], end[kept]


def compress(lengths: Int[np.ndarray, " r"]) -> bytes:
    """COCO string of run lengths."""
    values = lengths.astype(np.int64)
    values[3:] -= lengths[1:-2]
    alive = np.ones(values.shape, dtype=bool)
    groups, present = [], []
    while alive.any():
        group = values & 31
        values = values >> 5
        more = np.where(group & 16, values != -1, values != 0)
        groups.append(group + 48 + 32 * more)
        present.append(alive)
        alive = alive & more
    if not groups:
        return b""
    return np.stack(groups, axis=1)[np.stack(present, axis=1)].astype(np.uint8).tobytes()


def _expand(data: bytes, where: str) -> Int[np.ndarray, " r"]:
    """Run lengths of a COCO string, without looking at what they add up to."""
    if not data:
        raise RleError(f"{where}: counts are empty; a mask without pixels is null")
    # Characters below 48 wrap around, so that one comparison finds both kinds of strangers.
    codes = np.frombuffer(data, dtype=np.uint8) - np.uint8(48)
    if codes.max() > 63:
        at = int((codes > 63).argmax())
        raise RleError(
            f"{where}: counts hold {data[at : at + 1]!r} at position {at}, which is not part of an RLE string"
        )
    is_last = (codes & 32) == 0
    if not is_last[-1]:
        raise RleError(f"{where}: counts end in the middle of a run (unterminated string)")
    last = np.flatnonzero(is_last)
    sizes = np.diff(last, prepend=-1)
    longest = int(sizes.argmax())
    if sizes[longest] > _LONGEST_CODE:
        raise RleError(f"{where}: run {longest} takes {sizes[longest]} characters, more than any frame needs")
    # Five bits at a time, the highest first; they carry the sign.
    lengths = ((codes[last] & 31).astype(np.int64) ^ 16) - 16
    for before in range(1, int(sizes[longest])):
        longer = np.flatnonzero(sizes > before)
        lengths[longer] = (lengths[longer] << 5) | (codes[last[longer] - before] & 31)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths


def _check_length(counts: str | bytes, pixels: int, where: str) -> None:
    """Refuse absurdly long strings before anything is allocated for them."""
    if len(counts) > 3 * (pixels + 2):
        raise RleError(f"{where}: {len(counts)} characters of counts, more than {pixels} pixels can need")


def _check_runs(lengths: Int[np.ndarray, " r"], pixels: int, where: str) -> None:
    negative = np.flatnonzero(lengths < 0)
    if negative.size:
        raise RleError(f"{where}: run {int(negative[0])} has the negative length {int(lengths[negative[0]])}")
    total = int(lengths.sum())
    if total != pixels:
        relation = "only" if total < pixels else "more than"
        raise RleError(f"{where}: runs cover {total} pixels, {relation} the frame's {pixels}")


def _checked_list(counts: list[Any], *, pixels: int, where: str) -> Int[np.ndarray, " r"]:
    if not counts:
        raise RleError(f"{where}: counts are empty; a mask without pixels is null")
    if len(counts) > 2 * (pixels + 2):
        raise RleError(f"{where}: {len(counts)} runs, more than {pixels} pixels can need")
    if set(map(type, counts)) != {int} or max(counts) > MAX_PIXELS or min(counts) < -MAX_PIXELS:
        _refuse_strange_run(counts, pixels=pixels, where=where)
    lengths = np.array(counts, dtype=np.int64)
    _check_runs(lengths, pixels, where)
    return lengths


def _refuse_strange_run(counts: list[Any], *, pixels: int, where: str) -> None:
    for position, count in enumerate(counts):
        if type(count) is not int:
            raise RleError(f"{where}: run {position} is {_short(count)}, not a whole number")
        if abs(count) > MAX_PIXELS:
            raise RleError(f"{where}: run {position} has the length {_short(count)}, the frame has {pixels} pixels")


def _check_pixels(height: int, width: int, where: str) -> None:
    if height < 0 or width < 0 or height * width > MAX_PIXELS:
        raise RleError(f"{where}: a frame of {height}x{width} pixels; at most {MAX_PIXELS} are supported")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
