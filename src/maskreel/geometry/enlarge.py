"""Masks from coarse logits: enlarged bilinearly, cut at zero and run-length encoded in one pass.

A blend of four cells is positive only where one of them is. So only the box of the positive cells is looked at, and in
it pixels are computed only between two cells of a column that differ in sign: the runs follow from the rest.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int

from maskreel.geometry.rle import Rle
from maskreel.kernels.compiled import compiled

_CODE_BYTES = 2**14
"""First guess of a code's length; a longer one is written again into a buffer of its size."""


@dataclass(frozen=True, eq=False, slots=True)
class Axis:
    """Bilinear interpolation along one axis: pixel centres at half-integers, borders repeated."""

    first: Int[np.ndarray, " outputs"]
    """The cell before each pixel; the next one is the other neighbour, where there is one."""
    fraction: Float[np.ndarray, " outputs"]
    """Weight of that other neighbour."""
    starts: Int[np.ndarray, " _"]
    """First pixel whose cell is this one or a later one, for every cell; one entry more than cells."""

    @classmethod
    def spanning(cls, *, cells: int, outputs: int, scale: float) -> "Axis":
        """`scale` is cells per output pixel."""
        position = np.maximum((np.arange(outputs) + 0.5) * scale - 0.5, 0)
        first = np.minimum(position.astype(np.int64), cells - 1)
        return cls(
            first=first,
            fraction=np.clip(position - first, 0, 1).astype(np.float32),
            starts=np.searchsorted(first, np.arange(cells + 1)).astype(np.int64),
        )

    @property
    def outputs(self) -> int:
        return len(self.first)


def encode_enlarged(logits: Float[np.ndarray, "h w"], vertical: Axis, horizontal: Axis) -> Rle | None:
    """The mask of the pixels whose interpolated logit is positive; None where there is none."""
    cells = np.ascontiguousarray(logits.T, dtype=np.float32)
    columns = np.flatnonzero((cells > 0).any(axis=1))
    if not columns.size:
        return None
    box = np.array([columns[0], columns[-1]], dtype=np.int64)
    height, width = vertical.outputs, horizontal.outputs
    rows = cells.shape[1]
    column = np.empty(rows, dtype=np.float32)
    capacity = _CODE_BYTES
    while True:
        text = np.empty(capacity, dtype=np.uint8)
        length = _encode_columns(
            cells, box, rows, len(cells), horizontal.first, horizontal.fraction, width,
            vertical.starts, vertical.fraction, height, column, text, capacity,
        )  # fmt: skip
        if length <= capacity:
            return Rle(height, width, text[:length].tobytes()) if length else None
        capacity = length


@compiled("float32* int64* int64 int64 int64* float32* int64 int64* float32* int64 float32* uint8* int64 -> int64")
@no_type_check
def _encode_columns(
    cells, box, rows, columns, column_first, column_fraction, width, row_starts, row_fraction, height, column, text,
    capacity,
):  # fmt: skip
    """Write the COCO string, as far as it fits; returns its length, 0 for an empty mask. Cells stand column-wise.

    Runs are closed where the state changes; a last turn of the loop closes the one that reaches the end.
    """
    written, state, last, before, before_that, runs = 0, 0, 0, 0, 0, 0
    total = width * height
    # One cell more on either side: pixels between it and the box may be positive.
    low, high = box[0] - 1, box[1]
    x = 0
    while x < width and column_first[x] < low:
        x += 1
    is_done = False
    while not is_done:
        is_done = x == width or column_first[x] > high
        if is_done:
            # What is behind the box is background, and the end of the picture closes the last run.
            groups = 2
        else:
            left = column_first[x]
            right = left + 1 if left + 1 < columns else left
            share = column_fraction[x]
            rest = np.float32(1) - share
            for row in range(rows):
                column[row] = rest * cells[left * rows + row] + share * cells[right * rows + row]
            groups = rows
        for row in range(groups):
            if is_done:
                y, stop, sign = (0, 1, 0) if row == 0 else (0, 1, 2)
            else:
                y, stop = row_starts[row], row_starts[row + 1]
                upper = column[row]
                lower = column[row + 1] if row + 1 < rows else upper
                sign = -1
                if upper > 0 and lower > 0:
                    sign = 1
                elif upper <= 0 and lower <= 0:
                    sign = 0
            while y < stop:
                if sign >= 0:
                    value, following = sign, stop
                else:
                    blend = (np.float32(1) - row_fraction[y]) * upper + row_fraction[y] * lower
                    value, following = 1 if blend > 0 else 0, y + 1
                if value != state:
                    # A run ends here; the end of the picture (value 2) ends the last one.
                    position = total if value == 2 else x * height + y
                    if value == 2 and runs == 0 and state == 0:
                        return 0
                    run = position - last
                    if value != 2 or run > 0:
                        code = run - before_that if runs > 2 else run
                        more = True
                        while more:
                            group = code & 31
                            code >>= 5
                            more = code != -1 if group & 16 else code != 0
                            if written < capacity:
                                text[written] = group + 48 + (32 if more else 0)
                            written += 1
                        last, before_that, before = position, before, run
                        runs += 1
                    state = value
                y = following
        x += 1
    return written
