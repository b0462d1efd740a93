"""Masks of whole videos as packed runs, so that all overlaps of a video are counted at once.

One mask is the list of its foreground runs as (start, end) positions in column order; the lists of all frames of all
tracks stand in one array. The loops are compiled: single-threaded, because data loading forks worker processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Int
from numba import njit

from maskreel.geometry.rle import MAX_PIXELS, Rle, RleError, parse


def compiled(function: Any) -> Any:
    """Machine code, kept on disk for the next process where some cache folder is writable."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedTracks:
    """Tracks of one video (n) over its frames (t), decoded to runs."""

    bounds: Int[np.ndarray, " r"]
    """start, end, start, end, ... of the foreground runs of every mask, tracks in order, frame after frame."""
    first: Int[np.ndarray, " m"]
    """Where each mask (track * t + frame) begins in `bounds`; one entry more than masks."""
    areas: Int[np.ndarray, "n t"]
    """Foreground pixels, 0 where the track is absent."""
    size_code: Int[np.ndarray, "n t"]
    """0 for the video's frame size, -1 where the file holds null; masks of different codes share no pixel."""
    lengths: Int[np.ndarray, " n"]
    """Frames that each track lists; t is the longest."""

    @property
    def is_present(self) -> Bool[np.ndarray, "n t"]:
        """False where the file holds null; a mask that is present may be empty all the same."""
        return self.size_code >= 0

    def overlaps(self, pairs: Int[np.ndarray, "p 2"]) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """Intersection and union of pairs of tracks, each summed over the frames that both list."""
        common, union = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64)
        _sum_overlaps(self.bounds, self.first, self.areas, self.size_code, self.lengths, pairs, common, union)
        return common, union

    def overlaps_per_frame(self, pairs: Int[np.ndarray, "p 2"]) -> Int[np.ndarray, "p t"]:
        """Pixels that the tracks of each pair share, frame by frame."""
        common = np.zeros((len(pairs), self.areas.shape[1]), np.int32)
        _list_overlaps(self.bounds, self.first, self.size_code, pairs, common)
        return common


def pack_tracks(
    tracks: Sequence[Sequence[Any]],
    *,
    height: int,
    width: int,
    place: Callable[[int, int], str],
    any_size: bool = False,
) -> PackedTracks:
    """Decode the masks of several tracks: `Rle` objects or whatever a JSON file may hold (see `parse`).

    `place(track, frame)` words an error. With `any_size`, masks of another size than the video's are kept; they overlap
    with nothing but masks of their own size.
    """
    num_frames = max((len(masks) for masks in tracks), default=0)
    shape = (len(tracks), num_frames)
    size_code = np.full(shape, -1, dtype=np.int64)
    sizes = {(height, width): 0}
    strings: list[str] = []
    for row, masks in enumerate(tracks):
        for frame, mask in enumerate(masks):
            counts = _fast_counts(mask, height, width)
            code = 0
            if counts is None:
                size = (_declared_size(mask) if any_size else None) or (height, width)
                counts = _checked_counts(mask, size, place(row, frame))
                code = sizes.setdefault(size, len(sizes))
            if counts:
                size_code[row, frame] = code
            strings.append(counts)
        strings.extend([""] * (num_frames - len(masks)))
    pixels = np.array([rows * columns for rows, columns in sizes], dtype=np.int64)[size_code.reshape(-1)]
    bounds, first, areas, failed = _decode(strings, pixels)
    if failed >= 0:
        row, frame = divmod(failed, num_frames)
        size = list(sizes)[size_code[row, frame]]
        _checked_counts(tracks[row][frame], size, place(row, frame))
        raise RleError(f"{place(row, frame)}: the mask cannot be decoded")
    return PackedTracks(
        bounds=bounds,
        first=first,
        areas=areas.reshape(shape),
        size_code=size_code,
        lengths=np.array([len(masks) for masks in tracks], dtype=np.int64),
    )


def _fast_counts(mask: Any, height: int, width: int) -> str | None:
    """Compressed string of a mask that looks sound, "" for null; None where `parse` has to look."""
    if mask is None:
        return ""
    if type(mask) is dict and mask.get("size") == [height, width]:
        counts = mask.get("counts")
        if type(counts) is str and counts and counts.isascii():
            return counts
        if type(counts) is list and set(map(type, counts)) == {int} and min(counts) >= 0 and max(counts) <= MAX_PIXELS:
            return _compress(np.array(counts, dtype=np.int64)).tobytes().decode("ascii")
    if type(mask) is Rle and (mask.height, mask.width) == (height, width) and mask.counts.isascii():
        return mask.counts.decode("ascii") or None
    return None


def _checked_counts(mask: Any, size: tuple[int, int], where: str) -> str:
    obj = {"size": [mask.height, mask.width], "counts": mask.counts} if type(mask) is Rle else mask
    rle = parse(obj, height=size[0], width=size[1], where=where)
    return rle.counts.decode("ascii") if rle else ""


def _declared_size(mask: Any) -> tuple[int, int] | None:
    size = mask.get("size") if isinstance(mask, dict) else None
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side <= MAX_PIXELS for side in size):
        return size[0], size[1]
    return None


def _decode(
    strings: list[str], pixels: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " k"], Int[np.ndarray, " m"], int]:
    """Bounds, first bound of each mask, areas, and the first mask that is malformed (-1 when all are sound)."""
    lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
    text = "".join(strings)
    data = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    bounds = np.empty(data.size + 1, dtype=np.int32)
    first = np.zeros(len(strings) + 1, dtype=np.int64)
    areas = np.zeros(len(strings), dtype=np.int64)
    failed = _decode_strings(data, offsets, pixels, bounds, first, areas)
    return bounds[: first[-1]].copy(), first, areas, int(failed)


@compiled
@no_type_check
def _decode_strings(data, offsets, pixels, bounds, first, areas):
    written = 0
    for mask in range(len(pixels)):
        at, stop = offsets[mask], offsets[mask + 1]
        begin, position, index, last, before_last = written, 0, 0, 0, 0
        while at < stop:
            code = np.int64(data[at]) - 48
            at += 1
            if code < 0 or code > 63:
                return mask
            value, shift = code & 31, 5
            while code & 32:
                if at == stop or shift > 30:
                    return mask
                code = np.int64(data[at]) - 48
                at += 1
                if code < 0 or code > 63:
                    return mask
                value |= (code & 31) << shift
                shift += 5
            if code & 16:
                value -= np.int64(1) << shift
            if index > 2:
                value += before_last
            if value < 0 or value > pixels[mask] - position:
                return mask
            if index & 1 and value > 0:
                if written > begin and bounds[written - 1] == position:
                    bounds[written - 1] = position + value
                else:
                    bounds[written] = position
                    bounds[written + 1] = position + value
                    written += 2
                areas[mask] += value
            position += value
            before_last, last = last, value
            index += 1
        if index > 0 and position != pixels[mask]:
            return mask
        first[mask + 1] = written
    return -1


@compiled
@no_type_check
def _compress(lengths):
    out = np.empty(7 * len(lengths) + 7, np.uint8)
    written = 0
    for index in range(len(lengths)):
        value = lengths[index]
        if index > 2:
            value -= lengths[index - 2]
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != -1 if code & 16 else value != 0
            out[written] = code + 48 + (32 if more else 0)
            written += 1
    return out[:written]


@compiled
@no_type_check
def _common(bounds, at, stop, other, other_stop):
    """Pixels shared by two masks, given where their bounds begin and end."""
    if at == stop or other == other_stop or bounds[stop - 1] <= bounds[other] or bounds[other_stop - 1] <= bounds[at]:
        return 0
    at = _skip(bounds, at, stop, bounds[other])
    other = _skip(bounds, other, other_stop, bounds[at])
    total = 0
    while at < stop and other < other_stop:
        end, other_end = bounds[at + 1], bounds[other + 1]
        total += max(min(end, other_end) - max(bounds[at], bounds[other]), 0)
        at += 2 * (end <= other_end)
        other += 2 * (other_end <= end)
    return total


@compiled
@no_type_check
def _skip(bounds, at, stop, position):
    """First run that ends after a position, by bisection."""
    low, high = 0, (stop - at) // 2
    while low < high:
        middle = (low + high) // 2
        if bounds[at + 2 * middle + 1] <= position:
            low = middle + 1
        else:
            high = middle
    return at + 2 * low


@compiled
@no_type_check
def _sum_overlaps(bounds, first, areas, size_code, lengths, pairs, common, union):
    num_frames = areas.shape[1]
    for pair in range(len(pairs)):
        a, b = pairs[pair, 0], pairs[pair, 1]
        for frame in range(min(lengths[a], lengths[b])):
            in_a, in_b = a * num_frames + frame, b * num_frames + frame
            code_a, code_b = size_code[a, frame], size_code[b, frame]
            if code_a != code_b and code_a >= 0 and code_b >= 0:
                continue
            shared = _common(bounds, first[in_a], first[in_a + 1], first[in_b], first[in_b + 1])
            common[pair] += shared
            union[pair] += areas[a, frame] + areas[b, frame] - shared


@compiled
@no_type_check
def _list_overlaps(bounds, first, size_code, pairs, common):
    num_frames = common.shape[1]
    for pair in range(len(pairs)):
        a, b = pairs[pair, 0], pairs[pair, 1]
        for frame in range(num_frames):
            if size_code[a, frame] == size_code[b, frame]:
                in_a, in_b = a * num_frames + frame, b * num_frames + frame
                common[pair, frame] = _common(bounds, first[in_a], first[in_a + 1], first[in_b], first[in_b + 1])
