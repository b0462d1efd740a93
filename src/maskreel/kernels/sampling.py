"""The one primitive under every deformable operator: a weighted sum of bilinear samples.

`sample` looks up points on maps that stand in one flat table and adds them up with given weights. Three uses:

- spatial: the queries of a frame read the levels of that frame: `Maps.own_frame(level_sizes, num_frames=t)`
- neighbour frames: group t reads the levels of the frames `table[t]`: `Maps(level_sizes=level_sizes, frames=table)`
- space-time: a point lies between two frames, its third coordinate is time: `Maps.every_frame((size,), num_frames=t)`

In the first two a point's map is static: it follows from the point's position in the list, so neighbours need no copy
of the value table, and clamped, mirrored or absent neighbours (`maps.ABSENT`) are entries of the table. In the third
the map is data. A point is then given once with a continuous time, and not as two points with integer map numbers: the
two blended samples share one location, nothing is doubled in memory, and the gradient of time leaves the same pass.
"Frames as levels" is `every_frame` with two coordinates. A deformable 3x3 convolution is nine one-point queries per
pixel and a linear layer.

Coordinates are (x, y) or (x, y, t), each in [0, 1] over its map's width, height and number of frames, cell centres at
(i + 0.5) / size, zero outside (grid_sample with align_corners=False and padding_mode="zeros").

The value table may be any view with unit stride along `d`. A head-major table (stored "b m r d" and passed as a
transposed view) is the fast layout on the CPU; its gradient comes back in the same layout.

Backends: `reference` (any device and float type, second derivatives, export), `cpu`, `triton` (CUDA). The fast
two hide behind one operator with its own backward, which torch.compile and torch.export see as a single node; they
compute in float32, whatever the dtype of `value`. A second derivative through them takes the reference.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from maskreel.kernels import reference
from maskreel.kernels.backend import Backend, choose
from maskreel.kernels.maps import Maps


def sample(
    value: Float[Tensor, "b r m d"],
    locations: Float[Tensor, "b q m p xy"],
    weights: Float[Tensor, "b q m p"],
    *,
    maps: Maps,
    backend: Backend | None = None,
) -> Float[Tensor, "b q m d"]:
    """Weighted sum of the samples at p points for every query and head, in the dtype of `value`.

    Rows r: frames, their levels, their cells. Queries q: the groups of `maps`, one after the other. Points p: frames
    of the group, levels, points, in this order; with three coordinates only points, since time runs over the group's
    frames. Locations and weights stay float32 under autocast. Raises ValueError where shapes do not fit `maps` or a
    forced backend cannot take the tensors.
    """
    _check(value, locations, weights, maps)
    if choose("sampling", value, locations, weights, forms=("cpu", "triton"), backend=backend) == "reference":
        return reference.sample(value, locations, weights, maps)
    if _is_plain(value, locations, weights):
        from maskreel.kernels import cpu

        return cpu.forward(value, locations, weights, maps)
    return _sample(value, locations, weights, *_flatten(maps))


def _is_plain(*tensors: Tensor) -> bool:
    """Whether neither autograd nor a compiler has to see the operator: its first call imports the compiler."""
    return not torch.compiler.is_compiling() and all(
        type(one) is Tensor and one.device.type == "cpu" and not (one.requires_grad and torch.is_grad_enabled())
        for one in tensors
    )


def _check(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> None:
    rows, per_frame = value.shape[1], maps.rows_per_frame
    if rows % per_frame:
        raise ValueError(
            f"a value table of {rows} rows is no whole number of frames of {per_frame} rows {maps.level_sizes}"
        )
    highest = max(max(group) for group in maps.frames)
    if highest >= rows // per_frame:
        raise ValueError(f"maps.frames names frame {highest}, but the value table holds {rows // per_frame} frames")
    queries, points, coordinates = locations.shape[1], locations.shape[3], locations.shape[4]
    if queries % maps.num_groups:
        raise ValueError(f"{queries} queries cannot be divided among the {maps.num_groups} groups of maps.frames")
    if coordinates not in (2, 3):
        raise ValueError(f"locations must have 2 (x, y) or 3 (x, y, t) coordinates, got {coordinates}")
    if coordinates == 2 and points % maps.num_slots:
        raise ValueError(f"{points} points cannot be divided among {maps.num_slots} slots (frames x levels) of a query")
    if coordinates == 3 and len(maps.sampled) != 1:
        raise ValueError(f"sampling in space and time takes one level, maps samples {len(maps.sampled)}")
    if coordinates == 3 and any(
        frame != group[0] + step or frame < 0 for group in maps.frames for step, frame in enumerate(group)
    ):
        raise ValueError(f"sampling in space and time takes runs of consecutive frames, got maps.frames {maps.frames}")


# The operator takes plain integer lists: a record cannot cross the dispatcher.


def _flatten(maps: Maps) -> tuple[list[int], list[int], int, list[int]]:
    sizes = [side for size in maps.level_sizes for side in size]
    return sizes, [frame for group in maps.frames for frame in group], maps.frames_per_group, list(maps.levels)


@lru_cache(maxsize=256)
def _unflatten(sizes: tuple[int, ...], frames: tuple[int, ...], per_group: int, levels: tuple[int, ...]) -> Maps:
    return Maps(
        level_sizes=tuple(zip(sizes[::2], sizes[1::2], strict=True)),
        frames=tuple(frames[i : i + per_group] for i in range(0, len(frames), per_group)),
        levels=levels,
    )


@torch.library.custom_op("maskreel::sample", mutates_args=(), device_types="cpu")
def _sample(
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    sizes: Sequence[int],
    frames: Sequence[int],
    frames_per_group: int,
    levels: Sequence[int],
) -> Tensor:
    from maskreel.kernels import cpu

    return cpu.forward(
        value, locations, weights, _unflatten(tuple(sizes), tuple(frames), frames_per_group, tuple(levels))
    )


@torch.library.custom_op("maskreel::sample_backward", mutates_args=(), device_types="cpu")
def _sample_backward(
    grad_output: Tensor,
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    sizes: Sequence[int],
    frames: Sequence[int],
    frames_per_group: int,
    levels: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    from maskreel.kernels import cpu

    maps = _unflatten(tuple(sizes), tuple(frames), frames_per_group, tuple(levels))
    return cpu.backward(grad_output, value, locations, weights, maps)


@_sample.register_kernel("cuda")
def _(value, locations, weights, sizes, frames, frames_per_group, levels):
    from maskreel.kernels import triton

    maps = _unflatten(tuple(sizes), tuple(frames), frames_per_group, tuple(levels))
    return triton.forward(value, locations, weights, maps)


@_sample_backward.register_kernel("cuda")
def _(grad_output, value, locations, weights, sizes, frames, frames_per_group, levels):
    from maskreel.kernels import triton

    maps = _unflatten(tuple(sizes), tuple(frames), frames_per_group, tuple(levels))
    return triton.backward(grad_output, value, locations, weights, maps)


@_sample.register_fake
def _(value, locations, weights, sizes, frames, frames_per_group, levels):
    return value.new_empty((*weights.shape[:3], value.shape[-1]))


@_sample_backward.register_fake
def _(grad_output, value, locations, weights, sizes, frames, frames_per_group, levels):
    contiguous = torch.contiguous_format
    return (
        torch.empty_like(value),
        torch.empty_like(locations, memory_format=contiguous),
        torch.empty_like(weights, memory_format=contiguous),
    )


def _remember(ctx, inputs, output) -> None:
    value, locations, weights, *ctx.maps = inputs
    ctx.save_for_backward(value, locations, weights)


def _differentiate(ctx, grad_output: Tensor):
    value, locations, weights = ctx.saved_tensors
    if not torch.is_grad_enabled():
        gradients = _sample_backward(grad_output, value, locations, weights, *ctx.maps)
        return (*gradients, None, None, None, None)
    # create_graph: the gradients must themselves be differentiable, which the fast kernels are not.
    sizes, frames, per_group, levels = ctx.maps
    maps = _unflatten(tuple(sizes), tuple(frames), per_group, tuple(levels))
    v, l, w = (x if x.requires_grad else x.detach().requires_grad_() for x in (value, locations, weights))
    output = reference.sample(v, l, w, maps)
    gradients = torch.autograd.grad(output, (v, l, w), grad_output, create_graph=True)
    return (*gradients, None, None, None, None)


_sample.register_autograd(_differentiate, setup_context=_remember)
