# pyright: reportCallIssue=false, reportArgumentType=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Points of one query and head: which table rows they touch with which weights, and back from rows to points."""

import numpy as np

from maskreel.kernels.jit.parts import free, new_floats, new_ints, part
from maskreel.kernels.jit.records import Corners
from maskreel.kernels.jit.vectors import (
    HALF,
    L1,
    L4,
    L16,
    ONE,
    TWO,
    ZERO,
    clamp,
    floor,
    is_within,
    load,
    load_every,
    multiply_add,
    splat,
    store,
    store_pairs,
    to_int,
)


@part
def new_corners(n, times):
    return Corners(
        new_ints(4 * n), new_floats(4 * n), new_floats(6 * n), new_floats(times), new_floats(4 * n), new_floats(3 * n)
    )


@part
def free_corners(corners):
    for numbers in corners[1:]:
        free(numbers)
    free(corners.rows)


@part
def _bilinear(lanes, x, y, width, height, weight, present, start, corners, n, k):
    """Corners of points k, k + 1, ... of n; x and y count cells from the first cell's centre."""
    zero = splat(ZERO, lanes)
    one = splat(ONE, lanes)
    # Two cells outside there is nothing any more; keeps huge and undefined coordinates away from the addresses.
    x = clamp(x, splat(-TWO, lanes), width + one)
    y = clamp(y, splat(-TWO, lanes), height + one)
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
    store(corners.rows, k, to_int(top + left) + start)
    store(corners.rows, n + k, to_int(top + right) + start)
    store(corners.rows, 2 * n + k, to_int(bottom + left) + start)
    store(corners.rows, 3 * n + k, to_int(bottom + right) + start)
    weight_left = (one - fraction_x) * in_left
    weight_right = fraction_x * in_right
    weight_top = (one - fraction_y) * in_top * weight
    weight_bottom = fraction_y * in_bottom * weight
    store(corners.weights, k, weight_left * weight_top)
    store(corners.weights, n + k, weight_right * weight_top)
    store(corners.weights, 2 * n + k, weight_left * weight_bottom)
    store(corners.weights, 3 * n + k, weight_right * weight_bottom)
    store(corners.details, k, fraction_x)
    store(corners.details, n + k, fraction_y)
    store(corners.details, 2 * n + k, in_left)
    store(corners.details, 3 * n + k, in_right)
    store(corners.details, 4 * n + k, in_top)
    store(corners.details, 5 * n + k, in_bottom)


@part
def _locate_lanes(lanes, points, maps, shape, group, first, slot, n, k, corners):
    width = load(maps.sizes, slot + k, lanes)
    height = load(maps.sizes, shape.points + slot + k, lanes)
    half = splat(HALF, lanes)
    x = load_every(points.locations, 2 * (first + k), lanes, 2, 0) * width - half
    y = load_every(points.locations, 2 * (first + k), lanes, 2, 1) * height - half
    here = group * shape.points + slot + k
    present = load(maps.present, here, lanes)
    weight = load(points.weights, first + k, lanes)
    _bilinear(lanes, x, y, width, height, weight, present, load(maps.starts, here, lanes), corners, n, k)


@part
def _locate_time_lanes(lanes, points, maps, shape, group, first, n, k, corners):
    """A point between two frames becomes point k on the earlier and point n + k on the later one."""
    width = splat(maps.sizes[0], lanes)
    height = splat(maps.sizes[shape.points], lanes)
    frames = splat(np.float32(shape.depth), lanes)
    half = splat(HALF, lanes)
    zero = splat(ZERO, lanes)
    one = splat(ONE, lanes)
    x = load_every(points.locations, 3 * (first + k), lanes, 3, 0) * width - half
    y = load_every(points.locations, 3 * (first + k), lanes, 3, 1) * height - half
    t = load_every(points.locations, 3 * (first + k), lanes, 3, 2) * frames - half
    t = clamp(t, splat(-TWO, lanes), frames + one)
    before = floor(t)
    after = before + one
    fraction = t - before
    last = frames - one
    weight = load(points.weights, first + k, lanes)
    step = splat(np.int32(shape.frame_rows), lanes)
    origin = splat(maps.starts[group * shape.points], lanes)
    row_before = to_int(clamp(before, zero, last)) * step + origin
    row_after = to_int(clamp(after, zero, last)) * step + origin
    in_before = is_within(before, zero, last)
    in_after = is_within(after, zero, last)
    _bilinear(lanes, x, y, width, height, weight * (one - fraction), in_before, row_before, corners, 2 * n, k)
    _bilinear(lanes, x, y, width, height, weight * fraction, in_after, row_after, corners, 2 * n, n + k)
    store(corners.times, k, fraction)


@part
def locate(points, maps, shape, group, first, slot, n, corners):
    """Fill `corners` with n points of a query and head: from `first` in the arrays, from `slot` within the query."""
    k = 0
    if shape.depth:
        while k + 16 <= n:
            _locate_time_lanes(L16, points, maps, shape, group, first, n, k, corners)
            k += 16
        while k < n:
            _locate_time_lanes(L1, points, maps, shape, group, first, n, k, corners)
            k += 1
        return
    while k + 16 <= n:
        _locate_lanes(L16, points, maps, shape, group, first, slot, n, k, corners)
        k += 16
    while k + 4 <= n:
        _locate_lanes(L4, points, maps, shape, group, first, slot, n, k, corners)
        k += 4
    while k < n:
        _locate_lanes(L1, points, maps, shape, group, first, slot, n, k, corners)
        k += 1


@part
def _slopes_lanes(lanes, corners, n, k):
    """Upstream gradient times sample at points k, k + 1, ... of n, and times its slopes along x and y per cell."""
    fraction_x = load(corners.details, k, lanes)
    fraction_y = load(corners.details, n + k, lanes)
    in_left = load(corners.details, 2 * n + k, lanes)
    in_right = load(corners.details, 3 * n + k, lanes)
    in_top = load(corners.details, 4 * n + k, lanes)
    in_bottom = load(corners.details, 5 * n + k, lanes)
    corner0 = load_every(corners.products, 4 * k, lanes, 4, 0) * in_left * in_top
    corner1 = load_every(corners.products, 4 * k, lanes, 4, 1) * in_right * in_top
    corner2 = load_every(corners.products, 4 * k, lanes, 4, 2) * in_left * in_bottom
    corner3 = load_every(corners.products, 4 * k, lanes, 4, 3) * in_right * in_bottom
    along_top = corner1 - corner0
    along_bottom = corner3 - corner2
    upper = multiply_add(fraction_x, along_top, corner0)
    down = multiply_add(fraction_x, along_bottom, corner2) - upper
    across = multiply_add(fraction_y, along_bottom - along_top, along_top)
    return multiply_add(fraction_y, down, upper), across, down


@part
def _gradients_lanes(lanes, corners, points, maps, shape, first, slot, n, k, gradients):
    sample, across, down = _slopes_lanes(lanes, corners, n, k)
    weight = load(points.weights, first + k, lanes)
    store(gradients.weights, first + k, sample)
    across = across * weight * load(maps.sizes, slot + k, lanes)
    down = down * weight * load(maps.sizes, shape.points + slot + k, lanes)
    store_pairs(gradients.locations, 2 * (first + k), across, down)


@part
def _gradients_time(corners, points, maps, shape, first, n, gradients):
    both, slopes = 2 * n, corners.slopes
    k = 0
    while k < both:
        if k + 16 <= both:
            sample, across, down = _slopes_lanes(L16, corners, both, k)
            store(slopes, k, sample)
            store(slopes, both + k, across)
            store(slopes, 2 * both + k, down)
            k += 16
        else:
            sample, across, down = _slopes_lanes(L1, corners, both, k)
            store(slopes, k, sample)
            store(slopes, both + k, across)
            store(slopes, 2 * both + k, down)
            k += 1
    width, height, frames = maps.sizes[0], maps.sizes[shape.points], np.float32(shape.depth)
    for k in range(n):
        late = corners.times[k]
        early = ONE - late
        weight = points.weights[first + k]
        gradients.weights[first + k] = early * slopes[k] + late * slopes[n + k]
        place = 3 * (first + k)
        gradients.locations[place] = weight * width * (early * slopes[both + k] + late * slopes[both + n + k])
        down = early * slopes[2 * both + k] + late * slopes[2 * both + n + k]
        gradients.locations[place + 1] = weight * height * down
        gradients.locations[place + 2] = weight * frames * (slopes[n + k] - slopes[k])


@part
def differentiate(corners, points, maps, shape, first, slot, n, gradients):
    """Gradients of n points of a query and head from the products of the upstream gradient with their corner rows."""
    if shape.depth:
        _gradients_time(corners, points, maps, shape, first, n, gradients)
        return
    k = 0
    while k + 16 <= n:
        _gradients_lanes(L16, corners, points, maps, shape, first, slot, n, k, gradients)
        k += 16
    while k + 4 <= n:
        _gradients_lanes(L4, corners, points, maps, shape, first, slot, n, k, gradients)
        k += 4
    while k < n:
        _gradients_lanes(L1, corners, points, maps, shape, first, slot, n, k, gradients)
        k += 1
