"""Masks of whole videos as packed runs, so that all overlaps of a video are counted at once.

One mask is the list of its foreground runs as (start, end) positions in column order; the lists of all frames of all
tracks stand in one array, and compiled loops run over them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Int

from maskreel.geometry.rle import MAX_PIXELS, Rle, RleError, parse
from maskreel.kernels.compiled import compiled


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

    def overlaps(
        self, pairs: Int[np.ndarray, "p 2"], *, may_stop: Bool[np.ndarray, " p"] | None = None
    ) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """Intersection and union of pairs of tracks, each summed over the frames that both list.

        Pairs of `may_stop` matter only from an IoU of 0.5 on: counting stops when they cannot reach it, and their
        intersection is 0.
        """
        a, b = pairs[:, 0], pairs[:, 1]
        is_plain = bool((self.size_code <= 0).all() and (self.lengths == self.areas.shape[1]).all())
        shared = self._shared(pairs, may_stop if is_plain else None)
        common = shared.sum(axis=1, dtype=np.int64)
        if is_plain:
            total = self.areas.sum(axis=1)
            return common, total[a] + total[b] - common
        listed = np.arange(self.areas.shape[1]) < np.minimum(self.lengths[a], self.lengths[b])[:, None]
        code_a, code_b = self.size_code[a], self.size_code[b]
        listed &= (code_a == code_b) | (code_a < 0) | (code_b < 0)
        union = self.areas[a] + self.areas[b] - shared
        return common, np.where(listed, union, 0).sum(axis=1)

    def overlaps_per_frame(self, pairs: Int[np.ndarray, "p 2"]) -> Int[np.ndarray, "p t"]:
        """Pixels that the tracks of each pair share, frame by frame."""
        return self._shared(pairs, None)

    def _shared(self, pairs: Int[np.ndarray, "p 2"], may_stop: Bool[np.ndarray, " p"] | None) -> Int[np.ndarray, "p t"]:
        common = np.zeros((len(pairs), self.areas.shape[1]), np.int32)
        stops = np.zeros(len(pairs), dtype=np.uint8) if may_stop is None else may_stop.astype(np.uint8)
        pairs = np.ascontiguousarray(pairs, dtype=np.int64)
        _overlaps(
            self.bounds, self.first, self.size_code, self.areas, common.shape[1], pairs, len(pairs), stops, common
        )
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
    sizes = {(height, width): 0}
    foreign: dict[int, int] = {}
    strings: list[str] = []
    for row, masks in enumerate(tracks):
        counts = _plain_strings(masks, height, width)
        if counts is None:
            counts = []
            for frame, mask in enumerate(masks):
                size = (_declared_size(mask) if any_size else None) or (height, width)
                counts.append(_checked_string(mask, size, lambda row=row, frame=frame: place(row, frame)))
                if size != (height, width):
                    foreign[row * num_frames + frame] = sizes.setdefault(size, len(sizes))
        strings += counts
        strings += [""] * (num_frames - len(masks))
    lengths = np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
    size_code = np.where(lengths > 0, 0, -1)
    for mask, code in foreign.items():
        size_code[mask] = code
    pixels = np.array([rows * columns for rows, columns in sizes], dtype=np.int64)[size_code]
    bounds, first, areas, failed = _decode(strings, lengths, pixels)
    if failed >= 0:
        row, frame = divmod(failed, num_frames)
        size = list(sizes)[size_code[failed]]
        parse(_as_json(tracks[row][frame]), height=size[0], width=size[1], where=place(row, frame))
        raise RleError(f"{place(row, frame)}: the mask cannot be decoded")
    return PackedTracks(
        bounds=bounds,
        first=first,
        areas=areas.reshape(shape),
        size_code=size_code.reshape(shape),
        lengths=np.array([len(masks) for masks in tracks], dtype=np.int64),
    )


def load_decoder() -> None:
    """Load, or compile, the code that reads strings; processes forked from this one then have it."""
    _decode_strings.load()


def _plain_strings(masks: Sequence[Any], height: int, width: int) -> list[str] | None:
    """Compressed strings of a track, "" for null, when all its masks are what files mostly hold; else None."""
    size = [height, width]
    try:
        counts: list[Any] = ["" if mask is None else mask["counts"] if mask["size"] == size else None for mask in masks]
        text = "".join(counts)
        is_plain = counts.count("") == masks.count(None) and text.isascii() and not _is_quoted(text)
    except (TypeError, KeyError):
        return None
    return counts if is_plain else None


def _is_quoted(counts: str) -> bool:
    """Whether these may be the text of Python bytes, which `parse` reads: no code holds a quotation mark."""
    return "'" in counts or '"' in counts


def _checked_string(mask: Any, size: tuple[int, int], where: Callable[[], str]) -> str:
    """Compressed string of a mask in any form, "" for null; what strings hold is checked when they are decoded."""
    if mask is None:
        return ""
    if type(mask) is Rle and (mask.height, mask.width) == size and mask.counts and mask.counts.isascii():
        return mask.counts.decode("ascii")
    if type(mask) is dict and mask.get("size") == list(size):
        counts = mask.get("counts")
        if type(counts) is str and counts and counts.isascii() and not _is_quoted(counts):
            return counts
        if type(counts) is list and set(map(type, counts)) == {int} and min(counts) >= 0 and max(counts) <= MAX_PIXELS:
            return _string(counts)
    rle = parse(_as_json(mask), height=size[0], width=size[1], where=where())
    return rle.counts.decode("ascii") if rle else ""


def _string(counts: list[int]) -> str:
    text = np.empty(7 * len(counts), dtype=np.uint8)
    length = _compress(np.array(counts, dtype=np.int64), len(counts), text)
    return text[:length].tobytes().decode("ascii")


def _as_json(mask: Any) -> Any:
    return {"size": [mask.height, mask.width], "counts": mask.counts} if type(mask) is Rle else mask


def _declared_size(mask: Any) -> tuple[int, int] | None:
    size = mask.get("size") if isinstance(mask, dict) else None
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side <= MAX_PIXELS for side in size):
        return size[0], size[1]
    return None


def _decode(
    strings: list[str], lengths: Int[np.ndarray, " m"], pixels: Int[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " k"], Int[np.ndarray, " m"], int]:
    """Bounds, first bound of each mask, areas, and the first mask that is malformed (-1 when all are sound)."""
    # One closed run behind the last mask, so that a string that is cut short is read to its end and no further.
    data = np.frombuffer("".join([*strings, "0"]).encode("ascii"), dtype=np.uint8)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    bounds = np.empty(data.size, dtype=np.int32)
    first = np.zeros(lengths.size + 1, dtype=np.int64)
    areas = np.zeros(lengths.size, dtype=np.int64)
    if data.min() < 48 or data.max() > 111:
        strange = np.flatnonzero((data < 48) | (data > 111))
        return bounds, first, areas, int(np.searchsorted(offsets, strange[0], side="right")) - 1
    failed = _decode_strings(data, offsets, pixels, pixels.size, bounds, first, areas)
    return bounds, first, areas, failed


@compiled("uint8* int64* int64* int64 int32* int64* int64* -> int64")
@no_type_check
def _decode_strings(data, offsets, pixels, num_masks, bounds, first, areas):
    """Ends of runs, which are in turn the start and the end of a foreground run; returns the first bad mask, or -1.

    The inner loop decides as little as it can: faults leave a trace there and are looked at when a mask is done.
    """
    written = 0
    for mask in range(num_masks):
        at, stop = offsets[mask], offsets[mask + 1]
        begin, position, before, last = written, 0, 0, 0
        signs, alternating, is_endless = 0, 0, False
        while at < stop:
            code = data[at] - 48
            at += 1
            value = code & 31
            if code & 32:
                shift = 5
                while code & 32 and shift <= 30:
                    code = data[at] - 48
                    at += 1
                    value |= (code & 31) << shift
                    shift += 5
                is_endless |= code & 32 != 0
                value -= (code & 16) << (shift - 4)
            else:
                value -= (code & 16) << 1
            before, last = last, before + value
            position += last
            signs |= last
            alternating = position - alternating
            if written == begin:
                last = 0  # nothing is stored as a difference to the first run
            bounds[written] = position
            written += 1
        if begin < written and (signs < 0 or is_endless or at != stop or position != pixels[mask]):
            return mask
        # An odd number of runs ends with background, whose end is the end of the frame.
        is_odd = (written - begin) & 1
        areas[mask] = position - alternating if is_odd else alternating
        written -= is_odd
        first[mask + 1] = written
    return -1


@compiled("int64* int64 uint8* -> int64")
@no_type_check
def _compress(lengths, num_runs, text):
    """Write the COCO string of run lengths; returns its length."""
    written = 0
    for index in range(num_runs):
        value = lengths[index]
        if index > 2:
            value -= lengths[index - 2]
        more = True
        while more:
            code = value & 31
            value >>= 5
            more = value != -1 if code & 16 else value != 0
            text[written] = code + 48 + (32 if more else 0)
            written += 1
    return written


@compiled("int32* int64* int64* int64* int64 int64* int64 uint8* int32* -> int64")
@no_type_check
def _overlaps(bounds, first, size_code, areas, num_frames, pairs, num_pairs, may_stop, common):
    """Count the shared pixels of each pair of tracks in each frame.

    `reachable` is what a pair that may stop shares at most: the smaller area in each frame, then what was counted.
    """
    for pair in range(num_pairs):
        a, b = pairs[2 * pair] * num_frames, pairs[2 * pair + 1] * num_frames
        reachable, total = 0, 0
        if may_stop[pair]:
            for frame in range(num_frames):
                area, other_area = areas[a + frame], areas[b + frame]
                reachable += area if area < other_area else other_area
                total += area + other_area
        for frame in range(num_frames):
            if may_stop[pair] and 3 * reachable < total:
                for counted in range(frame):
                    common[pair * num_frames + counted] = 0
                break
            mask, other_mask = a + frame, b + frame
            at, stop, other, other_stop = first[mask], first[mask + 1], first[other_mask], first[other_mask + 1]
            if at == stop or other == other_stop or size_code[mask] != size_code[other_mask]:
                continue
            # Bisect for the first run of each mask that ends behind the start of the other.
            low, high, start = 0, (stop - at) // 2, bounds[other]
            while low < high:
                middle = (low + high) // 2
                if bounds[at + 2 * middle + 1] <= start:
                    low = middle + 1
                else:
                    high = middle
            at += 2 * low
            low, high = 0, (other_stop - other) // 2
            start = bounds[at] if at < stop else bounds[other_stop - 1]
            while low < high:
                middle = (low + high) // 2
                if bounds[other + 2 * middle + 1] <= start:
                    low = middle + 1
                else:
                    high = middle
            other += 2 * low
            shared = 0
            while at < stop and other < other_stop:
                start, end = bounds[at], bounds[at + 1]
                while other < other_stop and bounds[other + 1] <= start:
                    other += 2
                meeting = other
                while meeting < other_stop and bounds[meeting] < end:
                    from_position = start if bounds[meeting] < start else bounds[meeting]
                    to_position = bounds[meeting + 1] if bounds[meeting + 1] < end else end
                    shared += to_position - from_position
                    meeting += 2
                # The last run met may reach beyond this one and meet the next.
                if meeting > other:
                    other = meeting - 2
                at += 2
            common[pair * num_frames + frame] = shared
            area, other_area = areas[mask], areas[other_mask]
            reachable += shared - (area if area < other_area else other_area)
    return 0
