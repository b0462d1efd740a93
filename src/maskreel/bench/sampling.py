"""The sampling primitive against the published grid_sample forms, in all its uses.

Setting: 5 frames of 360x640, levels 45x80, 23x40, 12x20, 6x10, 8 heads of 32 channels, 4 points per level. The slow
sides are the published forms: one grid_sample per level, stacked, weighted and summed; for neighbour frames the same
per neighbour on a shifted copy of the value table; for space-time one five-dimensional grid_sample. The fast side is
`sample` with the backend that the device gets. A "both" step is forward and backward, with all three gradients.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.bench.protocol import Step, end_of_work
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
FRAMES, HEADS, CHANNELS, POINTS = 5, 8, 32, 4
QUERIES = 300
NEIGHBOURS = ((0, 0, 1, 2), (0, 0, 2, 3), (0, 1, 3, 4), (1, 2, 4, 4), (2, 3, 4, 4))
VOLUME = (12, 20)
VOLUME_FRAMES, VOLUME_CHANNELS, VOLUME_POINTS = 36, 48, 32


# What no form can do without: each corner of each point is a row of a head, read through the caches.


def row_bytes(name: str) -> int:
    """Bytes of the rows that a forward pass of a case reads: four corners a point, eight in space and time."""
    rows = sum(h * w for h, w in LEVELS)
    if name == "space-time":
        points = VOLUME_FRAMES * VOLUME[0] * VOLUME[1] * VOLUME_POINTS
        return points * HEADS * 8 * VOLUME_CHANNELS * 4
    queries = {"encoder": rows, "decoder": QUERIES, "neighbour frames": rows * len(NEIGHBOURS[0])}[name]
    return FRAMES * queries * len(LEVELS) * POINTS * HEADS * 4 * CHANNELS * 4


def cache_bandwidth(device: torch.device | str = "cpu") -> float:
    """Bytes a second, read and written, of the fastest copy between two buffers that stay in the caches."""
    wait_for = end_of_work(torch.device(device))
    best = 0.0
    for size in (2**18, 2**19, 2**20, 2**21, 2**22):
        source = torch.zeros(size // 4, device=device)
        target, repeats = torch.zeros_like(source), 2**27 // size
        for _ in range(4):
            wait_for()
            begun = time.perf_counter()
            for _ in range(repeats):
                target.copy_(source)
            wait_for()
            best = max(best, 2 * size * repeats / (time.perf_counter() - begun))
    return best


# The slow sides: published forms, value "t s m d", locations "t q m l p 2", weights "t q m l p".


def published_spatial(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    frames, _, heads, channels = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    grids = (2 * locations - 1).permute(3, 0, 2, 1, 4, 5).reshape(levels, frames * heads, queries, points, 2)
    maps = value.permute(0, 2, 3, 1).reshape(frames * heads, channels, -1).split([h * w for h, w in LEVELS], -1)
    samples = [
        F.grid_sample(image.reshape(frames * heads, channels, *size), grid, padding_mode="zeros", align_corners=False)
        for image, size, grid in zip(maps, LEVELS, grids, strict=True)
    ]
    flat = weights.permute(0, 2, 1, 3, 4).reshape(frames * heads, 1, queries, levels * points)
    output = (torch.stack(samples, -2).flatten(-2) * flat).sum(-1)
    return output.view(frames, heads, channels, queries).permute(0, 3, 1, 2)


def published_neighbours(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    total = None
    for slot, read in enumerate(zip(*NEIGHBOURS, strict=True)):
        part = published_spatial(value[list(read)], locations[:, :, :, slot], weights[:, :, :, slot])
        total = part if total is None else total + part
    assert total is not None
    return total


def published_volume(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Value "t s m d", locations "q m p 3"."""
    volume = value.permute(2, 3, 0, 1).unflatten(3, VOLUME)
    grid = (2 * locations - 1).permute(1, 0, 2, 3).unsqueeze(3)
    samples = F.grid_sample(volume, grid, padding_mode="zeros", align_corners=False).squeeze(4)
    return (samples * weights.permute(1, 0, 2).unsqueeze(1)).sum(-1).permute(2, 0, 1)


# Inputs.


def centres(sizes: tuple[tuple[int, int], ...]) -> Tensor:
    """(x, y) of every cell, in rows of the value table."""
    parts = []
    for height, width in sizes:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        parts.append(torch.stack([x, y], -1).flatten(0, 1))
    return torch.cat(parts)


def spatial_inputs(
    queries: int | None, slots: int = 1, *, levels: tuple[tuple[int, int], ...] | None = None, frames: int = FRAMES
) -> tuple[Tensor, Tensor, Tensor]:
    """Every cell of every level is a query, or `queries` queries per frame look anywhere; slots = neighbours.

    Levels are `LEVELS` unless they are given.
    """
    torch.manual_seed(0)
    levels = levels or LEVELS
    rows = sum(h * w for h, w in levels)
    value = torch.randn(frames, rows, HEADS, CHANNELS)
    shape = (frames, queries or rows, HEADS, slots, len(levels), POINTS)
    if queries:
        locations = torch.rand(*shape, 2) * 1.1 - 0.05
    else:
        angle = torch.arange(HEADS) * (2 * torch.pi / HEADS)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        ring = direction[:, None, None, None] * torch.arange(1.0, POINTS + 1)[:, None]
        cells = ring + 1.5 * torch.randn(*shape, 2)
        size = torch.tensor([[w, h] for h, w in levels], dtype=torch.float32)[:, None]
        locations = centres(levels)[:, None, None, None, None] + cells / size
    weights = torch.randn(*shape[:3], slots * len(levels) * POINTS).softmax(-1).view(shape)
    return value, locations, weights


def volume_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """One level of 36 frames, every cell a query, 32 points in space and time, 8 heads of 48 channels."""
    torch.manual_seed(0)
    rows = VOLUME[0] * VOLUME[1]
    value = torch.randn(VOLUME_FRAMES, rows, HEADS, VOLUME_CHANNELS)
    times = (torch.arange(VOLUME_FRAMES) + 0.5) / VOLUME_FRAMES
    cells = torch.cat([centres((VOLUME,)).repeat(VOLUME_FRAMES, 1), times.repeat_interleave(rows)[:, None]], -1)
    size = torch.tensor([VOLUME[1], VOLUME[0], VOLUME_FRAMES], dtype=torch.float32)
    shape = (VOLUME_FRAMES * rows, HEADS, VOLUME_POINTS)
    locations = cells[:, None, None] + 2.5 * torch.randn(*shape, 3) / size
    return value, locations, torch.randn(shape).softmax(-1)


def sample_arguments(value: Tensor, locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs as `sample` takes them, all frames being one clip."""
    points = locations.flatten(3, -2) if locations.dim() > 4 else locations
    points = points.reshape(1, -1, *points.shape[-3:])
    return value.flatten(0, 1)[None], points, weights.reshape(points.shape[:-1])


# Both sides of every comparison.


def pair(
    inputs: tuple[Tensor, Tensor, Tensor], published: Callable, maps: Maps, *, is_head_major: bool, device: torch.device
) -> dict[str, Step]:
    """Forward and forward with backward, of the published form and of ours."""
    inputs = (inputs[0].to(device), inputs[1].to(device), inputs[2].to(device))
    table, points, weights = sample_arguments(*inputs)
    if is_head_major:
        table = table.transpose(1, 2).contiguous().transpose(1, 2)
    ours = (table, points, weights)

    def step(function: Callable, arguments: tuple[Tensor, ...], with_backward: bool) -> Step:
        leaves = [x.detach().requires_grad_(with_backward) for x in arguments]
        upstream = torch.randn(function(*leaves).shape, device=device)

        def run() -> object:
            with torch.set_grad_enabled(with_backward):
                output = function(*leaves)
            return torch.autograd.grad(output, leaves, upstream) if with_backward else output

        return run

    def ours_form(*tensors: Tensor) -> Tensor:
        return sample(*tensors, maps=maps)

    steps = {}
    for name, function, arguments in (("published", published, inputs), ("ours", ours_form, ours)):
        steps[f"{name} forward"] = step(function, arguments, False)
        steps[f"{name} both"] = step(function, arguments, True)
    return steps


def squeezed(form: Callable) -> Callable:
    """Spatial inputs have a neighbour axis of one, which the published form does not know."""
    return lambda value, locations, weights: form(value, locations[:, :, :, 0], weights[:, :, :, 0])


def cases(device: torch.device | str = "cpu") -> dict[str, Callable[[], dict[str, Step]]]:
    """Every comparison by name; a case makes its tensors when it is called."""
    device = torch.device(device)
    own = Maps.own_frame(LEVELS, num_frames=FRAMES)
    near = Maps(level_sizes=LEVELS, frames=NEIGHBOURS)
    volume = Maps.every_frame((VOLUME,), num_frames=VOLUME_FRAMES)
    spatial = squeezed(published_spatial)

    def case(inputs: Callable, published: Callable, maps: Maps, is_head_major: bool = True) -> Callable:
        return lambda: pair(inputs(), published, maps, is_head_major=is_head_major, device=device)

    return {
        "encoder": case(lambda: spatial_inputs(None), spatial, own),
        "encoder, token-major table": case(lambda: spatial_inputs(None), spatial, own, is_head_major=False),
        "decoder": case(lambda: spatial_inputs(QUERIES), spatial, own),
        "decoder, token-major table": case(lambda: spatial_inputs(QUERIES), spatial, own, is_head_major=False),
        "neighbour frames": case(lambda: spatial_inputs(None, 4), published_neighbours, near),
        "space-time": case(volume_inputs, published_volume, volume),
    }
