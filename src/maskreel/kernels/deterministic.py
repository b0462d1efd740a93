"""Gradient of the value table without atomic additions, in PyTorch operations that repeat bit for bit on a GPU.

Points are sorted by the cell of their upper left corner. All points of a cell then form one segment, and so do the
points' other corners, since those lie at fixed steps from it: one stable sort and four segmented sums, which
`embedding_bag` computes without materialising a row per point.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from maskreel.kernels.maps import ABSENT, Maps


def value_gradient(
    grad_output: Float[Tensor, "b q m d"],
    locations: Float[Tensor, "b q m p xy"],
    weights: Float[Tensor, "b q m p"],
    maps: Maps,
    num_rows: int,
) -> Float[Tensor, "b r m d"]:
    """Gradient of `sample` with respect to a value table of `num_rows` rows."""
    clips, _, heads, _ = grad_output.shape
    frames = num_rows // maps.rows_per_frame
    # Cells run from -1 on, so that every point that touches a map has its upper left corner on the grid.
    grid_starts, grid_rows = [], 0
    for _, height, width in maps.sampled:
        grid_starts.append(grid_rows)
        grid_rows += (height + 1) * (width + 1)
    cell, corner_weights = _corners(locations, weights, maps, grid_starts, grid_rows)
    owner = torch.arange(clips * heads, device=cell.device).view(clips, 1, heads, 1) * (frames * grid_rows)
    bags = clips * heads * frames * grid_rows
    order = (owner + cell).flatten().sort(stable=True)
    ends = torch.searchsorted(order.values, torch.arange(bags + 1, device=cell.device))
    query = order.indices // cell.shape[3]
    sums = [
        F.embedding_bag(
            query, grad_output.flatten(0, 2), ends, mode="sum", per_sample_weights=share.flatten()[order.indices],
            include_last_offset=True,
        )
        for share in corner_weights
    ]  # fmt: skip
    sums = [rearrange(s, "(b m f g) d -> b m f g d", b=clips, m=heads, f=frames) for s in sums]
    gradient = grad_output.new_zeros(clips, heads, frames, maps.rows_per_frame, grad_output.shape[3])
    for grid_start, (start, height, width) in zip(grid_starts, maps.sampled, strict=True):
        size = (height + 1) * (width + 1)
        upper_left, upper_right, lower_left, lower_right = (
            s[..., grid_start : grid_start + size, :].unflatten(3, (height + 1, width + 1)) for s in sums
        )
        level = upper_left[..., 1:, 1:, :] + upper_right[..., 1:, :-1, :]
        level = level + lower_left[..., :-1, 1:, :] + lower_right[..., :-1, :-1, :]
        gradient[:, :, :, start : start + height * width] += level.flatten(3, 4)
    return rearrange(gradient, "b m f r d -> b (f r) m d")


def _corners(
    locations: Tensor, weights: Tensor, maps: Maps, grid_starts: list[int], grid_rows: int
) -> tuple[Tensor, list[Tensor]]:
    """Grid cell of every point's upper left corner within its clip and head, and the weights of its four corners."""
    device, groups = locations.device, maps.num_groups
    queries, points = locations.shape[1] // groups, locations.shape[3]
    slots = 1 if locations.shape[4] == 3 else maps.num_slots
    each = points // slots
    repeats = slots // len(maps.sampled) if slots > 1 else 1
    levels = torch.tensor([(g, h, w) for g, (_, h, w) in zip(grid_starts, maps.sampled, strict=True)], device=device)
    levels = repeat(levels, "l c -> c (n l p)", n=repeats, p=each)
    grid_start, height, width = levels
    column, x, left, right = _axis(locations[..., 0], width)
    row, y, top, bottom = _axis(locations[..., 1], height)
    inner = grid_start + (row + 1) * (width + 1) + column + 1
    if locations.shape[4] == 3:
        depth = torch.tensor(maps.frames_per_group, device=device)
        time, t, before, after = _axis(locations[..., 2], depth)
        first = torch.tensor([group[0] for group in maps.frames], device=device)
        first = repeat(first, "t -> (t q) 1 1", q=queries)
        last = maps.frames_per_group - 1
        frame = torch.cat([first + time.clamp(0, last), first + (time + 1).clamp(0, last)], -1)
        weights = torch.cat([weights * (1 - t) * before, weights * t * after], -1)
        inner, x, y, left, right, top, bottom = (torch.cat([a, a], -1) for a in (inner, x, y, left, right, top, bottom))
    else:
        frame = torch.tensor(maps.frames, device=device)
        weights = weights * repeat(frame != ABSENT, "t n -> (t q) 1 (n p)", q=queries, p=points // frame.shape[1])
        frame = repeat(frame.clamp(min=0), "t n -> (t q) 1 (n p)", q=queries, p=points // frame.shape[1])
    upper, lower = weights * (1 - y) * top, weights * y * bottom
    shares = [upper * (1 - x) * left, upper * x * right, lower * (1 - x) * left, lower * x * right]
    return frame * grid_rows + inner, shares


def _axis(position: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cell below a position, the fraction beyond it, and whether that cell and the next lie inside."""
    x = position * size - 0.5
    x = torch.where(x > -2, x, -2.0).minimum((size + 1).to(x.dtype))
    low = x.floor()
    cell = low.long()
    inside, next_inside = (cell >= 0) & (cell < size), (cell >= -1) & (cell < size - 1)
    return cell.clamp(min=-1).minimum(size - 1), x - low, inside, next_inside
