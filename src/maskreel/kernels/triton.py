# pyright: reportMissingImports=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false
# Triton is not there on every platform, launches kernels by subscription, and takes plain numbers for constants.
"""CUDA backend of sampling, in Triton: forward and backward, every use of the primitive.

One program computes a block of queries of one (clip, group, head); blocks that follow one another read neighbouring
cells. Coordinates are worked out once per row of channels and not once per channel. Sums are float32. The backward
pass adds to `grad_value` with atomics, unless PyTorch is asked for determinism: then `deterministic.py` does.

Importing this module imports triton; with TRITON_INTERPRET=1 its kernels run on CPU tensors.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from maskreel.kernels import deterministic
from maskreel.kernels.maps import Maps

_TILE = 1024
"""Numbers of a block of queries times channels; 4 warps."""


@triton.jit
def _axis(position, size):
    """Cell below a position, the fraction beyond it, and whether that cell and the next lie inside."""
    extent = size.to(tl.float32)
    x = position * extent - 0.5
    # Two cells outside there is nothing any more; keeps huge and undefined coordinates away from the addresses.
    x = tl.minimum(tl.maximum(x, -2.0), extent + 1.0)
    low = tl.floor(x)
    cell = low.to(tl.int32)
    return cell, x - low, (cell >= 0) & (cell < size), (cell >= -1) & (cell < size - 1)


@triton.jit
def _rows(start, row, width, stride, top, bottom, left, right, CHANNELS: tl.constexpr, LANES: tl.constexpr):
    """Addresses and masks of the four corners' channels."""
    lane = tl.arange(0, LANES)
    first = start + (row * stride)[:, None] + lane[None, :]
    m0 = (top & left)[:, None]
    m1 = (top & right)[:, None]
    m2 = (bottom & left)[:, None]
    m3 = (bottom & right)[:, None]
    # Without lanes to spare the mask is one bit per row, which keeps the loads 128 bits wide.
    if CHANNELS < LANES:
        inside = (lane < CHANNELS)[None, :]
        m0 &= inside
        m1 &= inside
        m2 &= inside
        m3 &= inside
    return first, first + stride, first + width * stride, first + (width + 1) * stride, m0, m1, m2, m3


@triton.jit
def _blend(
    start, row, width, stride, x, y, weight, top, bottom, left, right, CHANNELS: tl.constexpr, LANES: tl.constexpr
):
    """Weighted bilinear sample of every query of the block."""
    p0, p1, p2, p3, m0, m1, m2, m3 = _rows(start, row, width, stride, top, bottom, left, right, CHANNELS, LANES)
    lower = weight * y
    upper = weight - lower
    total = (upper * (1 - x))[:, None] * tl.load(p0, mask=m0, other=0.0).to(tl.float32)
    total += (upper * x)[:, None] * tl.load(p1, mask=m1, other=0.0).to(tl.float32)
    total += (lower * (1 - x))[:, None] * tl.load(p2, mask=m2, other=0.0).to(tl.float32)
    total += (lower * x)[:, None] * tl.load(p3, mask=m3, other=0.0).to(tl.float32)
    return total


@triton.jit
def _differentiate(
    start, grad_start, row, width, stride, grad_stride, x, y, weight, top, bottom, left, right, upstream,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, SCATTER: tl.constexpr,
):  # fmt: skip
    """Upstream gradient times sample and times its slopes along x and y; adds to the four rows of the table."""
    p0, p1, p2, p3, m0, m1, m2, m3 = _rows(start, row, width, stride, top, bottom, left, right, CHANNELS, LANES)
    v0 = tl.load(p0, mask=m0, other=0.0).to(tl.float32)
    v1 = tl.load(p1, mask=m1, other=0.0).to(tl.float32)
    v2 = tl.load(p2, mask=m2, other=0.0).to(tl.float32)
    v3 = tl.load(p3, mask=m3, other=0.0).to(tl.float32)
    along_top = v1 - v0
    along_bottom = v3 - v2
    above = v0 + x[:, None] * along_top
    down = v2 + x[:, None] * along_bottom - above
    sample = tl.sum(upstream * (above + y[:, None] * down), axis=1)
    slope_x = tl.sum(upstream * (along_top + y[:, None] * (along_bottom - along_top)), axis=1)
    slope_y = tl.sum(upstream * down, axis=1)
    if SCATTER:
        g0, g1, g2, g3, m0, m1, m2, m3 = _rows(
            grad_start, row, width, grad_stride, top, bottom, left, right, CHANNELS, LANES
        )
        lower = weight * y
        upper = weight - lower
        tl.atomic_add(g0, (upper * (1 - x))[:, None] * upstream, mask=m0, sem="relaxed")
        tl.atomic_add(g1, (upper * x)[:, None] * upstream, mask=m1, sem="relaxed")
        tl.atomic_add(g2, (lower * (1 - x))[:, None] * upstream, mask=m2, sem="relaxed")
        tl.atomic_add(g3, (lower * x)[:, None] * upstream, mask=m3, sem="relaxed")
    return sample, slope_x, slope_y


@triton.jit
def _place(queries, groups, heads, BLOCK: tl.constexpr):
    """Which queries this program computes: clip, group, head, index into the (clip, query, head) array, validity."""
    blocks = tl.cdiv(queries, BLOCK)
    program = tl.program_id(0)
    rest = program // blocks
    head = rest % heads
    group = rest // heads % groups
    clip = rest // (heads * groups)
    query = program % blocks * BLOCK + tl.arange(0, BLOCK)
    place = ((clip * groups + group).to(tl.int64) * queries + query) * heads + head
    return clip.to(tl.int64), group, head.to(tl.int64), place, query < queries


@triton.jit
def _forward_maps(
    VALUE, LOCATIONS, WEIGHTS, OUTPUT, FRAMES, LEVELS, clip_stride, row_stride, head_stride, frame_rows, groups,
    queries, heads, CHANNELS: tl.constexpr, LANES: tl.constexpr, SLOT_FRAMES: tl.constexpr, NUM_LEVELS: tl.constexpr,
    POINTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    clip, group, head, place, valid = _place(queries, groups, heads, BLOCK)
    lane = tl.arange(0, LANES)
    total = tl.zeros([BLOCK, LANES], tl.float32)
    for slot in range(SLOT_FRAMES):
        frame = tl.load(FRAMES + group * SLOT_FRAMES + slot)
        present = valid & (frame >= 0)
        first_row = tl.maximum(frame, 0).to(tl.int64) * frame_rows
        for level in tl.static_range(NUM_LEVELS):
            height = tl.load(LEVELS + 3 * level + 1)
            width = tl.load(LEVELS + 3 * level + 2)
            row0 = first_row + tl.load(LEVELS + 3 * level)
            start = VALUE + clip * clip_stride + row0 * row_stride + head * head_stride
            for point in tl.static_range(POINTS):
                k = place * (SLOT_FRAMES * NUM_LEVELS * POINTS) + (slot * NUM_LEVELS + level) * POINTS + point
                cell_x, x, left, right = _axis(tl.load(LOCATIONS + 2 * k, mask=present, other=-2.0), width)
                cell_y, y, top, bottom = _axis(tl.load(LOCATIONS + 2 * k + 1, mask=present, other=-2.0), height)
                weight = tl.load(WEIGHTS + k, mask=present, other=0.0)
                row = cell_y * width + cell_x
                total += _blend(start, row, width, row_stride, x, y, weight, top, bottom, left, right, CHANNELS, LANES)
    write = valid[:, None] & (lane < CHANNELS)[None, :]
    tl.store(OUTPUT + place[:, None] * CHANNELS + lane[None, :], total.to(OUTPUT.dtype.element_ty), mask=write)


@triton.jit
def _forward_times(
    VALUE, LOCATIONS, WEIGHTS, OUTPUT, FRAMES, LEVELS, clip_stride, row_stride, head_stride, frame_rows, groups,
    queries, heads, CHANNELS: tl.constexpr, LANES: tl.constexpr, SLOT_FRAMES: tl.constexpr, NUM_LEVELS: tl.constexpr,
    POINTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    clip, group, head, place, valid = _place(queries, groups, heads, BLOCK)
    lane = tl.arange(0, LANES)
    total = tl.zeros([BLOCK, LANES], tl.float32)
    height = tl.load(LEVELS + 1)
    width = tl.load(LEVELS + 2)
    row0 = tl.load(FRAMES + group * SLOT_FRAMES).to(tl.int64) * frame_rows + tl.load(LEVELS)
    start = VALUE + clip * clip_stride + row0 * row_stride + head * head_stride
    depth = (height * 0 + SLOT_FRAMES).to(tl.int32)
    for point in range(POINTS):
        k = place * POINTS + point
        cell_x, x, left, right = _axis(tl.load(LOCATIONS + 3 * k, mask=valid, other=-2.0), width)
        cell_y, y, top, bottom = _axis(tl.load(LOCATIONS + 3 * k + 1, mask=valid, other=-2.0), height)
        cell_t, t, before, after = _axis(tl.load(LOCATIONS + 3 * k + 2, mask=valid, other=-2.0), depth)
        weight = tl.load(WEIGHTS + k, mask=valid, other=0.0)
        row = cell_t.to(tl.int64) * frame_rows + cell_y * width + cell_x
        total += _blend(
            start, row, width, row_stride, x, y, weight * (1 - t), top & before, bottom & before, left, right,
            CHANNELS, LANES,
        )  # fmt: skip
        total += _blend(
            start, row + frame_rows, width, row_stride, x, y, weight * t, top & after, bottom & after, left, right,
            CHANNELS, LANES,
        )  # fmt: skip
    write = valid[:, None] & (lane < CHANNELS)[None, :]
    tl.store(OUTPUT + place[:, None] * CHANNELS + lane[None, :], total.to(OUTPUT.dtype.element_ty), mask=write)


@triton.jit
def _backward_maps(
    VALUE, LOCATIONS, WEIGHTS, UPSTREAM, GRAD_VALUE, GRAD_LOCATIONS, GRAD_WEIGHTS, FRAMES, LEVELS, clip_stride,
    row_stride, head_stride, grad_clip_stride, grad_row_stride, grad_head_stride, frame_rows, groups, queries, heads,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, SLOT_FRAMES: tl.constexpr, NUM_LEVELS: tl.constexpr,
    POINTS: tl.constexpr, BLOCK: tl.constexpr, SCATTER: tl.constexpr,
):  # fmt: skip
    clip, group, head, place, valid = _place(queries, groups, heads, BLOCK)
    lane = tl.arange(0, LANES)
    real = valid[:, None] & (lane < CHANNELS)[None, :]
    upstream = tl.load(UPSTREAM + place[:, None] * CHANNELS + lane[None, :], mask=real, other=0.0).to(tl.float32)
    for slot in range(SLOT_FRAMES):
        frame = tl.load(FRAMES + group * SLOT_FRAMES + slot)
        present = valid & (frame >= 0)
        first_row = tl.maximum(frame, 0).to(tl.int64) * frame_rows
        for level in tl.static_range(NUM_LEVELS):
            height = tl.load(LEVELS + 3 * level + 1)
            width = tl.load(LEVELS + 3 * level + 2)
            row0 = first_row + tl.load(LEVELS + 3 * level)
            start = VALUE + clip * clip_stride + row0 * row_stride + head * head_stride
            grad_start = GRAD_VALUE + clip * grad_clip_stride + row0 * grad_row_stride + head * grad_head_stride
            for point in tl.static_range(POINTS):
                k = place * (SLOT_FRAMES * NUM_LEVELS * POINTS) + (slot * NUM_LEVELS + level) * POINTS + point
                cell_x, x, left, right = _axis(tl.load(LOCATIONS + 2 * k, mask=present, other=-2.0), width)
                cell_y, y, top, bottom = _axis(tl.load(LOCATIONS + 2 * k + 1, mask=present, other=-2.0), height)
                weight = tl.load(WEIGHTS + k, mask=present, other=0.0)
                row = cell_y * width + cell_x
                sample, slope_x, slope_y = _differentiate(
                    start, grad_start, row, width, row_stride, grad_row_stride, x, y, weight, top, bottom,
                    left, right, upstream, CHANNELS, LANES, SCATTER,
                )  # fmt: skip
                slope_x *= weight * width.to(tl.float32)
                slope_y *= weight * height.to(tl.float32)
                # Written from the tile of channels itself, lanes 0, 1, 2: no change of layout, hence no barrier.
                numbers = tl.where(lane[None, :] == 1, slope_y[:, None], sample[:, None])
                numbers = tl.where(lane[None, :] == 0, slope_x[:, None], numbers)
                targets = tl.where(
                    lane[None, :] < 2, GRAD_LOCATIONS + 2 * k[:, None] + lane[None, :], GRAD_WEIGHTS + k[:, None]
                )
                tl.store(targets, numbers, mask=valid[:, None] & (lane < 3)[None, :])


@triton.jit
def _backward_times(
    VALUE, LOCATIONS, WEIGHTS, UPSTREAM, GRAD_VALUE, GRAD_LOCATIONS, GRAD_WEIGHTS, FRAMES, LEVELS, clip_stride,
    row_stride, head_stride, grad_clip_stride, grad_row_stride, grad_head_stride, frame_rows, groups, queries, heads,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, SLOT_FRAMES: tl.constexpr, NUM_LEVELS: tl.constexpr,
    POINTS: tl.constexpr, BLOCK: tl.constexpr, SCATTER: tl.constexpr,
):  # fmt: skip
    clip, group, head, place, valid = _place(queries, groups, heads, BLOCK)
    lane = tl.arange(0, LANES)
    real = valid[:, None] & (lane < CHANNELS)[None, :]
    upstream = tl.load(UPSTREAM + place[:, None] * CHANNELS + lane[None, :], mask=real, other=0.0).to(tl.float32)
    height = tl.load(LEVELS + 1)
    width = tl.load(LEVELS + 2)
    row0 = tl.load(FRAMES + group * SLOT_FRAMES).to(tl.int64) * frame_rows + tl.load(LEVELS)
    start = VALUE + clip * clip_stride + row0 * row_stride + head * head_stride
    grad_start = GRAD_VALUE + clip * grad_clip_stride + row0 * grad_row_stride + head * grad_head_stride
    depth = (height * 0 + SLOT_FRAMES).to(tl.int32)
    for point in range(POINTS):
        k = place * POINTS + point
        cell_x, x, left, right = _axis(tl.load(LOCATIONS + 3 * k, mask=valid, other=-2.0), width)
        cell_y, y, top, bottom = _axis(tl.load(LOCATIONS + 3 * k + 1, mask=valid, other=-2.0), height)
        cell_t, t, before, after = _axis(tl.load(LOCATIONS + 3 * k + 2, mask=valid, other=-2.0), depth)
        weight = tl.load(WEIGHTS + k, mask=valid, other=0.0)
        row = cell_t.to(tl.int64) * frame_rows + cell_y * width + cell_x
        early, early_x, early_y = _differentiate(
            start, grad_start, row, width, row_stride, grad_row_stride, x, y, weight * (1 - t), top & before,
            bottom & before, left, right, upstream, CHANNELS, LANES, SCATTER,
        )  # fmt: skip
        late, late_x, late_y = _differentiate(
            start, grad_start, row + frame_rows, width, row_stride, grad_row_stride, x, y, weight * t,
            top & after, bottom & after, left, right, upstream, CHANNELS, LANES, SCATTER,
        )  # fmt: skip
        slope_x = (early_x + t * (late_x - early_x)) * weight * width.to(tl.float32)
        slope_y = (early_y + t * (late_y - early_y)) * weight * height.to(tl.float32)
        slope_t = (late - early) * weight * depth.to(tl.float32)
        sample = early + t * (late - early)
        numbers = tl.where(lane[None, :] == 2, slope_t[:, None], sample[:, None])
        numbers = tl.where(lane[None, :] == 1, slope_y[:, None], numbers)
        numbers = tl.where(lane[None, :] == 0, slope_x[:, None], numbers)
        targets = tl.where(
            lane[None, :] < 3, GRAD_LOCATIONS + 3 * k[:, None] + lane[None, :], GRAD_WEIGHTS + k[:, None]
        )
        tl.store(targets, numbers, mask=valid[:, None] & (lane < 4)[None, :])


def forward(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    """`maskreel.kernels.sampling.sample`; value float32, bfloat16 or float16, read as it is."""
    value = value if value.stride(3) == 1 else value.contiguous()
    output = torch.empty(*locations.shape[:3], value.shape[3], dtype=value.dtype, device=value.device)
    if 0 in (*value.shape, *weights.shape):
        return output.zero_()
    has_time = locations.shape[4] == 3
    settings = _settings(value, locations, maps, has_time)
    kernel = _forward_times if has_time else _forward_maps
    kernel[settings.pop("grid")](
        value, _plain(locations), _plain(weights), output, *_tables(maps, value.device), *value.stride()[:3], **settings
    )
    return output


def backward(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, maps: Maps
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value (in its layout), locations and weights."""
    exact = torch.are_deterministic_algorithms_enabled()
    grad_value = torch.zeros_like(value, dtype=torch.float32)
    points = _plain(locations), _plain(weights)
    grad_locations, grad_weights = torch.empty_like(points[0]), torch.empty_like(points[1])
    if 0 in (*value.shape, *weights.shape):
        return grad_value.to(value.dtype), grad_locations.to(locations.dtype), grad_weights.to(weights.dtype)
    table = value if value.stride(3) == 1 else value.contiguous()
    has_time = locations.shape[4] == 3
    settings = _settings(table, locations, maps, has_time)
    kernel = _backward_times if has_time else _backward_maps
    kernel[settings.pop("grid")](
        table, *points, grad_output.contiguous(), grad_value, grad_locations, grad_weights,
        *_tables(maps, value.device), *table.stride()[:3], *grad_value.stride()[:3], **settings, SCATTER=not exact,
    )  # fmt: skip
    if exact:
        grad_value.copy_(deterministic.value_gradient(grad_output.float(), *points, maps, value.shape[1]))
    return grad_value.to(value.dtype), grad_locations.to(locations.dtype), grad_weights.to(weights.dtype)


def _settings(value: Tensor, locations: Tensor, maps: Maps, has_time: bool) -> dict:
    clips, _, heads, channels = value.shape
    queries = locations.shape[1] // maps.num_groups
    lanes = max(16, triton.next_power_of_2(channels))
    block = max(8, _TILE // lanes)
    return {
        "grid": (triton.cdiv(queries, block) * clips * maps.num_groups * heads,),
        "frame_rows": maps.rows_per_frame,
        "groups": maps.num_groups,
        "queries": queries,
        "heads": heads,
        "CHANNELS": channels,
        "LANES": lanes,
        "SLOT_FRAMES": maps.frames_per_group,
        "NUM_LEVELS": len(maps.sampled),
        "POINTS": locations.shape[3] // (1 if has_time else maps.num_slots),
        "BLOCK": block,
        "num_warps": 4,
    }


@lru_cache(maxsize=64)
def _tables(maps: Maps, device: torch.device) -> tuple[Tensor, Tensor]:
    """Frames of every group, and (first row, rows, columns) of every sampled level, on the device."""
    frames = torch.tensor(maps.frames, dtype=torch.int32, device=device)
    return frames, torch.tensor(maps.sampled, dtype=torch.int32, device=device)


def _plain(points: Tensor) -> Tensor:
    return points.detach().float().contiguous()
