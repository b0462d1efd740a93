"""Masks of a clip drawn from their runs as mirroring, resizing and cutting leave them; whole frames are never drawn."""

from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Int

from maskreel.geometry.masks import PixelPlaces
from maskreel.geometry.runs import PackedTracks, load_decoder
from maskreel.kernels.compiled import compiled


def draw(
    tracks: PackedTracks, frames: Int[np.ndarray, " t"], places: PixelPlaces, *, height: int
) -> tuple[Bool[np.ndarray, "n t new_h new_w"], Int[np.ndarray, "n t 4"]]:
    """Masks of chosen frames of every track, and the edges of each (left, top, right, bottom in pixels; 0 where empty).

    `height` is that of the frames that the runs speak of.
    """
    num_tracks, num_frames = tracks.areas.shape
    chosen = np.ascontiguousarray(np.arange(num_tracks)[:, None] * num_frames + frames, dtype=np.int64)
    drawn = np.zeros((*chosen.shape, *places.size), dtype=np.uint8)
    edges = np.zeros((*chosen.shape, 4), dtype=np.int64)
    first_row = np.searchsorted(places.rows, np.arange(height + 1)).astype(np.int64)
    columns = np.ascontiguousarray(places.columns, dtype=np.int64)
    is_mirrored = columns.size > 1 and columns[0] > columns[-1]
    _draw(
        *(tracks.bounds, tracks.first, chosen, chosen.size, height),
        *(first_row, places.rows.size, columns, columns.size, is_mirrored, drawn, edges),
    )
    return drawn.view(bool), edges


def load_code() -> None:
    """Load, or compile, what drawing takes; processes forked from this one then have it."""
    load_decoder()
    _draw.load()


@compiled("int32* int64* int64* int64 int64 int64* int64 int64* int64 int64 uint8* int64* -> int64")
@no_type_check
def _draw(
    bounds, first, chosen, num_chosen, height, first_row, num_rows, columns, num_columns, is_mirrored, drawn, edges
):
    """`first_row[y]` is the first new row that shows row y or one below it. Columns are met in the order of runs."""
    for mask in range(num_chosen):
        at, stop = first[chosen[mask]], first[chosen[mask] + 1]
        pixels, edge = mask * num_rows * num_columns, 4 * mask
        left, top, right, bottom = num_columns, num_rows, 0, 0
        for step in range(num_columns):
            column = num_columns - 1 - step if is_mirrored else step
            begin = columns[column] * height
            while at < stop and bounds[at + 1] <= begin:
                at += 2
            run = at
            while run < stop and bounds[run] < begin + height:
                start, end = bounds[run] - begin, bounds[run + 1] - begin
                row = first_row[start if start > 0 else 0]
                last = first_row[end if end < height else height]
                if row < last:
                    left = column if column < left else left
                    right = column + 1 if column >= right else right
                    top = row if row < top else top
                    bottom = last if last > bottom else bottom
                for place in range(row, last):
                    drawn[pixels + place * num_columns + column] = 1
                run += 2
        if right:
            edges[edge], edges[edge + 1], edges[edge + 2], edges[edge + 3] = left, top, right, bottom
    return 0
