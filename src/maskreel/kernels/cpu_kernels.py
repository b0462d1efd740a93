"""Machine code of the CPU backend: forward and backward of weighted bilinear sampling, one thread's share of it.

All arrays are flat. Threads draw tasks from a shared counter, so an unevenly loaded machine still ends together. A task
of the forward pass is a run of queries of one clip and group; a task of the backward pass owns one head of one frame of
`grad_value`, so that nothing is added by two threads and every sum has a fixed order.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from maskreel.kernels.vectors import (
    at,
    clamp,
    floor,
    is_within,
    load,
    load_every,
    multiply_add,
    splat,
    store,
    store_pairs,
    sums,
    take_ticket,
    to_int,
)

REVISION = 1
"""Raise it when `vectors.py` changes: numba's cache on disk looks at this file alone."""

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
_L32, _L16, _L4, _L1 = (0,) * 32, (0,) * 16, (0,) * 4, (0,)
_HALF, _ONE, _TWO, _ZERO = np.float32(0.5), np.float32(1), np.float32(2), np.float32(0)

# Places of the shape record that every kernel receives.
(
    BATCH,
    GROUPS,
    QUERIES,
    HEADS,
    CHANNELS,
    POINTS,
    SLOT_FRAMES,
    BLOCKS,
    HEAD_TASKS,
    DEPTH,
    FRAME_ROWS,
    UNITS,
    UNIT_ROWS,
) = range(13)
SHAPE_LENGTH = 13
# `places` holds per point: four corner weights, then what the gradients need.
_FRACTION_X, _FRACTION_Y, _IN_LEFT, _IN_RIGHT, _IN_TOP, _IN_BOTTOM, _PLACES = 4, 5, 6, 7, 8, 9, 10


def _entry(function: Callable) -> Callable:
    """Compile at the first call and keep the code on disk, where a folder for it can be written."""
    function = inspect.unwrap(function)
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba found no writable place for its cache
        return njit(**_OPTIONS)(function)


def _part(function: Callable) -> Callable:
    """Compiled into the entries that call it. Unwrapped, because a type-checking import hook wraps every function."""
    return njit(**_OPTIONS)(inspect.unwrap(function))


@_part
def _bilinear(lanes, x, y, width, height, weight, present, start, rows, places, n, k):
    """Rows and weights of the four corners of points k, k + 1, ... of n; x and y count cells from the first centre."""
    one = splat(_ONE, lanes)
    zero = splat(_ZERO, lanes)
    x = clamp(x, splat(-_TWO, lanes), width + one)
    y = clamp(y, splat(-_TWO, lanes), height + one)
    x0 = floor(x)
    y0 = floor(y)
    fraction_x = x - x0
    fraction_y = y - y0
    x1 = x0 + one
    y1 = y0 + one
    last_x = width - one
    last_y = height - one
    in_left = is_within(x0, zero, last_x)
    in_right = is_within(x1, zero, last_x)
    in_top = is_within(y0, zero, last_y) * present
    in_bottom = is_within(y1, zero, last_y) * present
    left = clamp(x0, zero, last_x)
    right = clamp(x1, zero, last_x)
    top = clamp(y0, zero, last_y) * width
    bottom = clamp(y1, zero, last_y) * width
    store(rows, k, to_int(top + left) + start)
    store(rows, n + k, to_int(top + right) + start)
    store(rows, 2 * n + k, to_int(bottom + left) + start)
    store(rows, 3 * n + k, to_int(bottom + right) + start)
    weight_left = (one - fraction_x) * in_left
    weight_right = fraction_x * in_right
    weight_top = (one - fraction_y) * in_top * weight
    weight_bottom = fraction_y * in_bottom * weight
    store(places, k, weight_left * weight_top)
    store(places, n + k, weight_right * weight_top)
    store(places, 2 * n + k, weight_left * weight_bottom)
    store(places, 3 * n + k, weight_right * weight_bottom)
    store(places, _FRACTION_X * n + k, fraction_x)
    store(places, _FRACTION_Y * n + k, fraction_y)
    store(places, _IN_LEFT * n + k, in_left)
    store(places, _IN_RIGHT * n + k, in_right)
    store(places, _IN_TOP * n + k, in_top)
    store(places, _IN_BOTTOM * n + k, in_bottom)


@_part
def _locate_lanes(lanes, locations, weights, first, sizes, starts, present, slot, group, points, n, k, rows, places):
    width = load(sizes, slot + k, lanes)
    height = load(sizes, points + slot + k, lanes)
    half = splat(_HALF, lanes)
    x = load_every(locations, 2 * (first + k), lanes, 2, 0) * width - half
    y = load_every(locations, 2 * (first + k), lanes, 2, 1) * height - half
    here = group * points + slot + k
    is_present = load(present, here, lanes)
    weight = load(weights, first + k, lanes)
    _bilinear(lanes, x, y, width, height, weight, is_present, load(starts, here, lanes), rows, places, n, k)


@_part
def _locate(locations, weights, first, sizes, starts, present, slot, group, points, n, rows, places):
    """Corners of n points of one query and head, from point `slot` of the query on."""
    k = 0
    while k + 16 <= n:
        _locate_lanes(_L16, locations, weights, first, sizes, starts, present, slot, group, points, n, k, rows, places)
        k += 16
    while k + 4 <= n:
        _locate_lanes(_L4, locations, weights, first, sizes, starts, present, slot, group, points, n, k, rows, places)
        k += 4
    while k < n:
        _locate_lanes(_L1, locations, weights, first, sizes, starts, present, slot, group, points, n, k, rows, places)
        k += 1


@_part
def _locate_time_lanes(lanes, locations, weights, first, sizes, start, depth, frame_rows, n, k, rows, places, times):
    """A point between two frames becomes point k on the earlier and point n + k on the later one."""
    width = splat(at(sizes, 0), lanes)
    height = splat(at(sizes, n), lanes)
    half = splat(_HALF, lanes)
    one = splat(_ONE, lanes)
    zero = splat(_ZERO, lanes)
    frames = splat(np.float32(depth), lanes)
    x = load_every(locations, 3 * (first + k), lanes, 3, 0) * width - half
    y = load_every(locations, 3 * (first + k), lanes, 3, 1) * height - half
    t = load_every(locations, 3 * (first + k), lanes, 3, 2) * frames - half
    t = clamp(t, splat(-_TWO, lanes), frames + one)
    before = floor(t)
    after = before + one
    fraction = t - before
    last = frames - one
    in_before = is_within(before, zero, last)
    in_after = is_within(after, zero, last)
    weight = load(weights, first + k, lanes)
    step = splat(np.int32(frame_rows), lanes)
    origin = splat(np.int32(start), lanes)
    row_before = to_int(clamp(before, zero, last)) * step + origin
    row_after = to_int(clamp(after, zero, last)) * step + origin
    _bilinear(lanes, x, y, width, height, weight * (one - fraction), in_before, row_before, rows, places, 2 * n, k)
    _bilinear(lanes, x, y, width, height, weight * fraction, in_after, row_after, rows, places, 2 * n, n + k)
    store(times, k, fraction)


@_part
def _locate_time(locations, weights, first, sizes, start, depth, frame_rows, n, rows, places, times):
    k = 0
    while k + 16 <= n:
        _locate_time_lanes(_L16, locations, weights, first, sizes, start, depth, frame_rows, n, k, rows, places, times)
        k += 16
    while k < n:
        _locate_time_lanes(_L1, locations, weights, first, sizes, start, depth, frame_rows, n, k, rows, places, times)
        k += 1


@_part
def _gather_lanes(lanes, value, base, row_stride, rows, places, n, output, where):
    # One sum per corner: four independent chains hide the latency of the additions.
    sum0 = splat(_ZERO, lanes)
    sum1 = splat(_ZERO, lanes)
    sum2 = splat(_ZERO, lanes)
    sum3 = splat(_ZERO, lanes)
    for k in range(n):
        row0 = base + np.int64(at(rows, k)) * row_stride
        row1 = base + np.int64(at(rows, n + k)) * row_stride
        row2 = base + np.int64(at(rows, 2 * n + k)) * row_stride
        row3 = base + np.int64(at(rows, 3 * n + k)) * row_stride
        sum0 = multiply_add(load(value, row0, lanes), splat(at(places, k), lanes), sum0)
        sum1 = multiply_add(load(value, row1, lanes), splat(at(places, n + k), lanes), sum1)
        sum2 = multiply_add(load(value, row2, lanes), splat(at(places, 2 * n + k), lanes), sum2)
        sum3 = multiply_add(load(value, row3, lanes), splat(at(places, 3 * n + k), lanes), sum3)
    store(output, where, (sum0 + sum1) + (sum2 + sum3))


@_part
def _gather(value, base, row_stride, rows, places, n, channels, output, where):
    c = 0
    while c + 32 <= channels:
        _gather_lanes(_L32, value, base + c, row_stride, rows, places, n, output, where + c)
        c += 32
    while c + 16 <= channels:
        _gather_lanes(_L16, value, base + c, row_stride, rows, places, n, output, where + c)
        c += 16
    while c + 4 <= channels:
        _gather_lanes(_L4, value, base + c, row_stride, rows, places, n, output, where + c)
        c += 4
    while c < channels:
        _gather_lanes(_L1, value, base + c, row_stride, rows, places, n, output, where + c)
        c += 1


@_entry
def forward(value, value_strides, locations, weights, output, sizes, starts, present, shape, counter):
    """Draw runs of queries until none is left."""
    groups, queries, heads, channels = shape[GROUPS], shape[QUERIES], shape[HEADS], shape[CHANNELS]
    points, blocks, head_tasks, depth = shape[POINTS], shape[BLOCKS], shape[HEAD_TASKS], shape[DEPTH]
    corners = 2 * points if depth else points
    rows = np.empty(4 * corners, np.int32)
    places = np.empty(_PLACES * corners, np.float32)
    times = np.empty(points, np.float32)
    per_block = (queries + blocks - 1) // blocks
    per_task = heads // head_tasks
    while True:
        ticket = take_ticket(counter)
        if ticket >= shape[BATCH] * groups * head_tasks * blocks:
            break
        block = ticket % blocks
        head_task = ticket // blocks % head_tasks
        group = ticket // (blocks * head_tasks) % groups
        batch = ticket // (blocks * head_tasks * groups)
        for query in range(block * per_block, min(queries, (block + 1) * per_block)):
            for head in range(head_task * per_task, (head_task + 1) * per_task):
                place = ((batch * groups + group) * queries + query) * heads + head
                if depth:
                    start, frame_rows = starts[group * points], shape[FRAME_ROWS]
                    _locate_time(
                        locations, weights, place * points, sizes, start, depth, frame_rows, points, rows, places, times
                    )
                else:
                    first = place * points
                    _locate(locations, weights, first, sizes, starts, present, 0, group, points, points, rows, places)
                base = batch * value_strides[0] + head * value_strides[2]
                _gather(value, base, value_strides[1], rows, places, corners, channels, output, place * channels)


@_part
def _scatter_lanes(
    lanes,
    value,
    base,
    row_stride,
    grad_value,
    grad_base,
    grad_stride,
    rows,
    places,
    n,
    grad_output,
    where,
    dots,
    is_first,
):
    upstream = load(grad_output, where, lanes)
    for k in range(n):
        row0 = np.int64(at(rows, k))
        row1 = np.int64(at(rows, n + k))
        row2 = np.int64(at(rows, 2 * n + k))
        row3 = np.int64(at(rows, 3 * n + k))
        dot = sums(
            upstream * load(value, base + row0 * row_stride, lanes),
            upstream * load(value, base + row1 * row_stride, lanes),
            upstream * load(value, base + row2 * row_stride, lanes),
            upstream * load(value, base + row3 * row_stride, lanes),
        )
        if is_first:
            store(dots, 4 * k, dot)
        else:
            store(dots, 4 * k, dot + load(dots, 4 * k, _L4))
        # Corners may share a row at the border: one after the other.
        to0 = grad_base + row0 * grad_stride
        store(grad_value, to0, multiply_add(upstream, splat(at(places, k), lanes), load(grad_value, to0, lanes)))
        to1 = grad_base + row1 * grad_stride
        store(grad_value, to1, multiply_add(upstream, splat(at(places, n + k), lanes), load(grad_value, to1, lanes)))
        to2 = grad_base + row2 * grad_stride
        store(
            grad_value, to2, multiply_add(upstream, splat(at(places, 2 * n + k), lanes), load(grad_value, to2, lanes))
        )
        to3 = grad_base + row3 * grad_stride
        store(
            grad_value, to3, multiply_add(upstream, splat(at(places, 3 * n + k), lanes), load(grad_value, to3, lanes))
        )


@_part
def _scatter(
    value, base, row_stride, grad_value, grad_base, grad_stride, rows, places, n, channels, grad_output, where, dots
):
    """Add one query's gradient to its rows; leave the products of the gradient and the corner rows in `dots`."""
    c = 0
    while c + 32 <= channels:
        _scatter_lanes(
            _L32, value, base + c, row_stride, grad_value, grad_base + c, grad_stride, rows, places, n, grad_output,
            where + c, dots, c == 0,
        )  # fmt: skip
        c += 32
    while c + 16 <= channels:
        _scatter_lanes(
            _L16, value, base + c, row_stride, grad_value, grad_base + c, grad_stride, rows, places, n, grad_output,
            where + c, dots, c == 0,
        )  # fmt: skip
        c += 16
    while c + 4 <= channels:
        _scatter_lanes(
            _L4, value, base + c, row_stride, grad_value, grad_base + c, grad_stride, rows, places, n, grad_output,
            where + c, dots, c == 0,
        )  # fmt: skip
        c += 4
    while c < channels:
        _scatter_lanes(
            _L1, value, base + c, row_stride, grad_value, grad_base + c, grad_stride, rows, places, n, grad_output,
            where + c, dots, c == 0,
        )  # fmt: skip
        c += 1


@_part
def _slopes(lanes, dots, places, n, k):
    """Sample times upstream gradient at points k, k + 1, ..., and its slopes along x and y per cell."""
    fraction_x = load(places, _FRACTION_X * n + k, lanes)
    fraction_y = load(places, _FRACTION_Y * n + k, lanes)
    in_left = load(places, _IN_LEFT * n + k, lanes)
    in_right = load(places, _IN_RIGHT * n + k, lanes)
    in_top = load(places, _IN_TOP * n + k, lanes)
    in_bottom = load(places, _IN_BOTTOM * n + k, lanes)
    corner0 = load_every(dots, 4 * k, lanes, 4, 0) * in_left * in_top
    corner1 = load_every(dots, 4 * k, lanes, 4, 1) * in_right * in_top
    corner2 = load_every(dots, 4 * k, lanes, 4, 2) * in_left * in_bottom
    corner3 = load_every(dots, 4 * k, lanes, 4, 3) * in_right * in_bottom
    along_top = corner1 - corner0
    along_bottom = corner3 - corner2
    upper = multiply_add(fraction_x, along_top, corner0)
    down = multiply_add(fraction_x, along_bottom, corner2) - upper
    return (
        multiply_add(fraction_y, down, upper),
        multiply_add(fraction_y, along_bottom - along_top, along_top),
        down,
    )


@_part
def _finish_lanes(lanes, dots, places, weights, sizes, slot, points, first, n, k, grad_locations, grad_weights):
    sample, slope_x, slope_y = _slopes(lanes, dots, places, n, k)
    weight = load(weights, first + k, lanes)
    store(grad_weights, first + k, sample)
    along_x = slope_x * weight * load(sizes, slot + k, lanes)
    along_y = slope_y * weight * load(sizes, points + slot + k, lanes)
    store_pairs(grad_locations, 2 * (first + k), along_x, along_y)


@_part
def _finish(dots, places, weights, sizes, slot, points, first, n, grad_locations, grad_weights):
    """Gradients of n points of one query and head from the products with their corner rows."""
    k = 0
    while k + 16 <= n:
        _finish_lanes(_L16, dots, places, weights, sizes, slot, points, first, n, k, grad_locations, grad_weights)
        k += 16
    while k + 4 <= n:
        _finish_lanes(_L4, dots, places, weights, sizes, slot, points, first, n, k, grad_locations, grad_weights)
        k += 4
    while k < n:
        _finish_lanes(_L1, dots, places, weights, sizes, slot, points, first, n, k, grad_locations, grad_weights)
        k += 1


@_part
def _finish_time(dots, places, times, weights, sizes, depth, first, n, grad_locations, grad_weights, scratch):
    width, height = at(sizes, 0), at(sizes, n)
    k = 0
    while k < 2 * n:
        if k + 16 <= 2 * n:
            sample, slope_x, slope_y = _slopes(_L16, dots, places, 2 * n, k)
            store(scratch, k, sample)
            store(scratch, 2 * n + k, slope_x)
            store(scratch, 4 * n + k, slope_y)
            k += 16
        else:
            sample, slope_x, slope_y = _slopes(_L1, dots, places, 2 * n, k)
            store(scratch, k, sample)
            store(scratch, 2 * n + k, slope_x)
            store(scratch, 4 * n + k, slope_y)
            k += 1
    for k in range(n):
        early, late = _ONE - times[k], times[k]
        weight = weights[first + k]
        grad_weights[first + k] = early * scratch[k] + late * scratch[n + k]
        point = 3 * (first + k)
        grad_locations[point] = weight * width * (early * scratch[2 * n + k] + late * scratch[3 * n + k])
        grad_locations[point + 1] = weight * height * (early * scratch[4 * n + k] + late * scratch[5 * n + k])
        grad_locations[point + 2] = weight * np.float32(depth) * (scratch[n + k] - scratch[k])


@_part
def _clear(array, base, row_stride, num_rows, channels):
    for row in range(num_rows):
        first = base + row * row_stride
        for c in range(channels):
            array[first + c] = _ZERO


@_entry
def backward(
    value, value_strides, grad_output, locations, weights, grad_value, grad_strides, grad_locations, grad_weights,
    sizes, starts, present, reader_ends, readers, shape, counter,
):  # fmt: skip
    """Draw (clip, unit of the table, head) until none is left; a unit is a frame, or the whole table in space-time."""
    groups, queries, heads, channels = shape[GROUPS], shape[QUERIES], shape[HEADS], shape[CHANNELS]
    points, depth, units, unit_rows = shape[POINTS], shape[DEPTH], shape[UNITS], shape[UNIT_ROWS]
    n = points // shape[SLOT_FRAMES]
    corners = 2 * n if depth else n
    rows = np.empty(4 * corners, np.int32)
    places = np.empty(_PLACES * corners, np.float32)
    dots = np.empty(4 * corners, np.float32)
    times = np.empty(n, np.float32)
    scratch = np.empty(6 * n, np.float32)
    while True:
        ticket = take_ticket(counter)
        if ticket >= shape[BATCH] * units * heads:
            break
        head = ticket % heads
        unit = ticket // heads % units
        batch = ticket // (heads * units)
        base = batch * value_strides[0] + head * value_strides[2]
        grad_base = batch * grad_strides[0] + head * grad_strides[2]
        _clear(grad_value, grad_base + unit * unit_rows * grad_strides[1], grad_strides[1], unit_rows, channels)
        for reader in range(0 if unit == 0 else reader_ends[unit - 1], reader_ends[unit]):
            group = readers[2 * reader]
            slot = readers[2 * reader + 1] * n
            for query in range(queries):
                place = ((batch * groups + group) * queries + query) * heads + head
                first = place * points + slot
                if depth:
                    start, frame_rows = starts[group * points], shape[FRAME_ROWS]
                    _locate_time(locations, weights, first, sizes, start, depth, frame_rows, n, rows, places, times)
                else:
                    _locate(locations, weights, first, sizes, starts, present, slot, group, points, n, rows, places)
                _scatter(
                    value, base, value_strides[1], grad_value, grad_base, grad_strides[1], rows, places, corners,
                    channels, grad_output, place * channels, dots,
                )  # fmt: skip
                if depth:
                    _finish_time(
                        dots, places, times, weights, sizes, depth, first, n, grad_locations, grad_weights, scratch
                    )
                else:
                    _finish(dots, places, weights, sizes, slot, points, first, n, grad_locations, grad_weights)
