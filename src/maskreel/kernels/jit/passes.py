# pyright: reportCallIssue=false, reportArgumentType=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Forward and backward of weighted bilinear sampling: one thread's share of each.

All arrays are flat. Threads draw tasks from a shared counter, so an unevenly loaded machine still ends together. A task
of the forward pass is a block of queries; a task of the backward pass owns one head of one unit of `grad_value`, so
that nothing is added by two threads and every sum has a fixed order.

The arithmetic is bound by the rows' way through the caches. Head after head, a block of queries stays within one small
window of the maps; the price is that points, outputs and their gradients are then walked with large steps, which the
processor does not foresee, hence the explicit prefetches.
"""

import numpy as np

from maskreel.kernels.jit.parts import part, record, take_ticket
from maskreel.kernels.jit.points import differentiate, free_corners, locate, new_corners
from maskreel.kernels.jit.records import Constants, Points, Shape, Table
from maskreel.kernels.jit.vectors import (
    L1,
    L4,
    L16,
    L32,
    ZERO,
    load,
    multiply_add,
    prefetch,
    prefetch_for_write,
    splat,
    store,
    sums,
)

AHEAD = 8
"""How many queries ahead the prefetches reach."""
_LINE = 16  # float32 numbers of a cache line


@part
def _gather_lanes(lanes, table, base, corners, n, output, where):
    rows, weights, stride = corners.rows, corners.weights, table.row_stride
    # One sum per corner: four independent chains hide the latency of the additions.
    sum0 = splat(ZERO, lanes)
    sum1 = splat(ZERO, lanes)
    sum2 = splat(ZERO, lanes)
    sum3 = splat(ZERO, lanes)
    for k in range(n):
        row0 = base + np.int64(rows[k]) * stride
        row1 = base + np.int64(rows[n + k]) * stride
        row2 = base + np.int64(rows[2 * n + k]) * stride
        row3 = base + np.int64(rows[3 * n + k]) * stride
        sum0 = multiply_add(load(table.numbers, row0, lanes), splat(weights[k], lanes), sum0)
        sum1 = multiply_add(load(table.numbers, row1, lanes), splat(weights[n + k], lanes), sum1)
        sum2 = multiply_add(load(table.numbers, row2, lanes), splat(weights[2 * n + k], lanes), sum2)
        sum3 = multiply_add(load(table.numbers, row3, lanes), splat(weights[3 * n + k], lanes), sum3)
    store(output, where, (sum0 + sum1) + (sum2 + sum3))


@part
def _gather(table, base, corners, n, channels, output, where):
    """Write the weighted sum of n points' corner rows."""
    c = 0
    while c + 32 <= channels:
        _gather_lanes(L32, table, base + c, corners, n, output, where + c)
        c += 32
    while c + 16 <= channels:
        _gather_lanes(L16, table, base + c, corners, n, output, where + c)
        c += 16
    while c + 4 <= channels:
        _gather_lanes(L4, table, base + c, corners, n, output, where + c)
        c += 4
    while c < channels:
        _gather_lanes(L1, table, base + c, corners, n, output, where + c)
        c += 1


@part
def _add_row(lanes, numbers, where, weight, upstream):
    store(numbers, where, multiply_add(upstream, splat(weight, lanes), load(numbers, where, lanes)))


@part
def _scatter_lanes(lanes, table, base, gradient, grad_base, corners, n, grad_output, where, is_first):
    rows, weights, stride, grad_stride = corners.rows, corners.weights, table.row_stride, gradient.row_stride
    upstream = load(grad_output, where, lanes)
    for k in range(n):
        row0 = np.int64(rows[k])
        row1 = np.int64(rows[n + k])
        row2 = np.int64(rows[2 * n + k])
        row3 = np.int64(rows[3 * n + k])
        product = sums(
            upstream * load(table.numbers, base + row0 * stride, lanes),
            upstream * load(table.numbers, base + row1 * stride, lanes),
            upstream * load(table.numbers, base + row2 * stride, lanes),
            upstream * load(table.numbers, base + row3 * stride, lanes),
        )
        if not is_first:
            product = product + load(corners.products, 4 * k, L4)
        store(corners.products, 4 * k, product)
        # Corners may share a row at the border: one after the other.
        _add_row(lanes, gradient.numbers, grad_base + row0 * grad_stride, weights[k], upstream)
        _add_row(lanes, gradient.numbers, grad_base + row1 * grad_stride, weights[n + k], upstream)
        _add_row(lanes, gradient.numbers, grad_base + row2 * grad_stride, weights[2 * n + k], upstream)
        _add_row(lanes, gradient.numbers, grad_base + row3 * grad_stride, weights[3 * n + k], upstream)


@part
def _scatter(table, base, gradient, grad_base, corners, n, channels, grad_output, where):
    """Add one query's gradient to its corner rows; leave its products with the table's rows in `corners`."""
    c = 0
    while c + 32 <= channels:
        _scatter_lanes(L32, table, base + c, gradient, grad_base + c, corners, n, grad_output, where + c, c == 0)
        c += 32
    while c + 16 <= channels:
        _scatter_lanes(L16, table, base + c, gradient, grad_base + c, corners, n, grad_output, where + c, c == 0)
        c += 16
    while c + 4 <= channels:
        _scatter_lanes(L4, table, base + c, gradient, grad_base + c, corners, n, grad_output, where + c, c == 0)
        c += 4
    while c < channels:
        _scatter_lanes(L1, table, base + c, gradient, grad_base + c, corners, n, grad_output, where + c, c == 0)
        c += 1


@part
def _clear(table, base, num_rows, channels):
    for row in range(num_rows):
        first = base + row * table.row_stride
        for c in range(channels):
            table.numbers[first + c] = ZERO


@part
def _prefetch_points(points, first, n, coordinates):
    for i in range(0, coordinates * n, _LINE):
        prefetch(points.locations, coordinates * first + i)
    for i in range(0, n, _LINE):
        prefetch(points.weights, first + i)


@part
def _forward(table, points, output, maps, shape, counter):
    """Draw (clip, group, heads, block of queries) until none is left."""
    coordinates = 3 if shape.depth else 2
    n = 2 * shape.points if shape.depth else shape.points
    corners = new_corners(n, shape.points)
    blocks = (shape.queries + shape.block - 1) // shape.block
    parts = shape.heads // shape.block_heads
    while True:
        ticket = take_ticket(counter)
        if ticket >= shape.clips * shape.groups * parts * blocks:
            break
        start = ticket % blocks * shape.block
        first_head = ticket // blocks % parts * shape.block_heads
        group = ticket // (blocks * parts) % shape.groups
        clip = ticket // (blocks * parts * shape.groups)
        for head in range(first_head, first_head + shape.block_heads):
            base = clip * table.clip_stride + head * table.head_stride
            for query in range(start, min(shape.queries, start + shape.block)):
                place = ((clip * shape.groups + group) * shape.queries + query) * shape.heads + head
                later = place + AHEAD * shape.heads
                _prefetch_points(points, later * shape.points, shape.points, coordinates)
                for i in range(0, shape.channels, _LINE):
                    prefetch_for_write(output, later * shape.channels + i)
                locate(points, maps, shape, group, place * shape.points, 0, shape.points, corners)
                _gather(table, base, corners, n, shape.channels, output, place * shape.channels)
    free_corners(corners)


@part
def _backward(table, grad_output, points, gradient, point_gradients, maps, reader_ends, readers, shape, counter):
    """Draw (clip, unit of the table, head) until none is left; a unit is a frame, or the whole table in space-time."""
    coordinates = 3 if shape.depth else 2
    each = shape.points // shape.slot_frames
    n = 2 * each if shape.depth else each
    corners = new_corners(n, each)
    while True:
        ticket = take_ticket(counter)
        if ticket >= shape.clips * shape.units * shape.heads:
            break
        head = ticket % shape.heads
        unit = ticket // shape.heads % shape.units
        clip = ticket // (shape.heads * shape.units)
        base = clip * table.clip_stride + head * table.head_stride
        grad_base = clip * gradient.clip_stride + head * gradient.head_stride
        _clear(gradient, grad_base + unit * shape.unit_rows * gradient.row_stride, shape.unit_rows, shape.channels)
        for reader in range(0 if unit == 0 else reader_ends[unit - 1], reader_ends[unit]):
            group = readers[2 * reader]
            slot = readers[2 * reader + 1] * each
            for query in range(shape.queries):
                place = ((clip * shape.groups + group) * shape.queries + query) * shape.heads + head
                first = place * shape.points + slot
                later = place + AHEAD * shape.heads
                _prefetch_points(points, later * shape.points + slot, each, coordinates)
                for i in range(0, shape.channels, _LINE):
                    prefetch(grad_output, later * shape.channels + i)
                for i in range(0, coordinates * each, _LINE):
                    prefetch_for_write(point_gradients.locations, coordinates * (later * shape.points + slot) + i)
                for i in range(0, each, _LINE):
                    prefetch_for_write(point_gradients.weights, later * shape.points + slot + i)
                locate(points, maps, shape, group, first, slot, each, corners)
                where = place * shape.channels
                _scatter(table, base, gradient, grad_base, corners, n, shape.channels, grad_output, where)
                differentiate(corners, points, maps, shape, first, slot, each, point_gradients)
    free_corners(corners)


def forward(
    numbers, clip_stride, row_stride, head_stride, locations, weights, output, sizes, starts, present, shape, counter
):  # fmt: skip
    table = Table(numbers, clip_stride, row_stride, head_stride)
    maps = Constants(sizes, starts, present)
    _forward(table, Points(locations, weights), output, maps, record(Shape, shape), counter)
    return 0


def backward(
    numbers, clip_stride, row_stride, head_stride, grad_output, locations, weights,
    gradient, grad_clip_stride, grad_row_stride, grad_head_stride, grad_locations, grad_weights,
    sizes, starts, present, reader_ends, readers, shape, counter,
):  # fmt: skip
    _backward(
        Table(numbers, clip_stride, row_stride, head_stride),
        grad_output,
        Points(locations, weights),
        Table(gradient, grad_clip_stride, grad_row_stride, grad_head_stride),
        Points(grad_locations, grad_weights),
        Constants(sizes, starts, present),
        reader_ends,
        readers,
        record(Shape, shape),
        counter,
    )
    return 0
