"""CPU backend of sampling: forward and backward by compiled kernels."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from maskreel.kernels.compiled import Compiled
from maskreel.kernels.jit.records import Constants, Points, Shape, Table
from maskreel.kernels.maps import ABSENT, Maps
from maskreel.kernels.threads import run

_BLOCK = 64
"""Queries per task: what they read and write stays in the second-level cache while the heads go by."""
_FEW = 1024
"""Up to so many queries of a group, a decoder's, look anywhere on the maps: a task is one head of them, and what that
head reads of the table stays in the second-level cache."""

_TABLE, _POINTS, _CONSTANTS = "float32* int64 int64 int64", "float32* float32*", "float32* int32* float32*"
_FORWARD = Compiled(
    "maskreel.kernels.jit.passes", "forward",
    f"{_TABLE} {_POINTS} float32* {_CONSTANTS} int64* int64* -> int64",
)  # fmt: skip
_BACKWARD = Compiled(
    "maskreel.kernels.jit.passes", "backward",
    f"{_TABLE} float32* {_POINTS} {_TABLE} {_POINTS} {_CONSTANTS} int64* int64* int64* int64* -> int64",
)  # fmt: skip


def forward(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    """`maskreel.kernels.sampling.sample`, in float32, on copies of anything that is not float32 yet."""
    dtype, value = value.dtype, _row_wise(value)
    output = torch.empty(*locations.shape[:3], value.shape[3])
    if 0 in (*value.shape, *weights.shape):
        return output.zero_().to(dtype)
    shape = _shape(value, locations, maps)
    tasks = shape.clips * shape.groups * -(-shape.queries // shape.block) * (shape.heads // shape.block_heads)
    points = Points(flat(locations), flat(weights))
    constants = _constants(maps, shape.points, shape.depth)
    run(_FORWARD, tasks, *_table(value), *points, flat(output), *constants, numbers(shape))
    return output.to(dtype)


def backward(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, maps: Maps
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value (in its layout), locations and weights; each element is summed in a fixed order."""
    grad_value = torch.empty_like(value, dtype=torch.float32)
    # Nobody visits the points of absent frames.
    new = torch.zeros if any(ABSENT in group for group in maps.frames) else torch.empty
    grad_locations, grad_weights = new(locations.shape), new(weights.shape)
    if 0 in (*value.shape, *weights.shape):
        for gradient in (grad_value, grad_locations, grad_weights):
            gradient.zero_()
    else:
        table = _row_wise(value)
        shape = _shape(table, locations, maps)
        run(
            _BACKWARD,
            shape.clips * shape.units * shape.heads,
            *_table(table),
            flat(grad_output),
            *Points(flat(locations), flat(weights)),
            *_table(grad_value),
            *Points(flat(grad_locations), flat(grad_weights)),
            *_constants(maps, shape.points, shape.depth),
            *_readers(maps, shape.depth > 0, shape.units),
            numbers(shape),
        )
    return grad_value.to(value.dtype), grad_locations.to(locations.dtype), grad_weights.to(weights.dtype)


def _shape(value: Tensor, locations: Tensor, maps: Maps) -> Shape:
    clips, rows, heads, channels = value.shape
    has_time = locations.shape[4] == 3
    queries = locations.shape[1] // maps.num_groups
    is_few = queries <= _FEW
    # So many queries of a head that every thread gets four tasks.
    share = clips * locations.shape[1] * heads // (4 * torch.get_num_threads())
    return Shape(
        clips=clips,
        groups=maps.num_groups,
        queries=queries,
        block=max(1, min(queries, share)) if is_few else _BLOCK,
        block_heads=1 if is_few else heads,
        heads=heads,
        channels=channels,
        points=locations.shape[3],
        slot_frames=1 if has_time else maps.frames_per_group,
        depth=maps.frames_per_group if has_time else 0,
        frame_rows=maps.rows_per_frame,
        units=1 if has_time else rows // maps.rows_per_frame,
        unit_rows=rows if has_time else maps.rows_per_frame,
    )


@lru_cache(maxsize=256)
def _constants(maps: Maps, points: int, depth: int) -> Constants:
    if depth:
        start, height, width = maps.sampled[0]
        levels, starts, present = (
            [(height, width)],
            [start + group[0] * maps.rows_per_frame for group in maps.frames],
            [1],
        )
    else:
        levels = [(height, width) for _, height, width in maps.sampled] * maps.frames_per_group
        frames = [frame for group in maps.frames for frame in group]
        starts = [max(frame, 0) * maps.rows_per_frame + level[0] for frame in frames for level in maps.sampled]
        present = [frame != ABSENT for frame in frames for _ in maps.sampled]
    each = points // len(levels)
    sizes = [[width for _, width in levels], [height for height, _ in levels]]
    return Constants(
        sizes=np.repeat(np.array(sizes, np.float32), each),
        starts=np.repeat(np.array(starts, np.int32), each),
        present=np.repeat(np.array(present, np.float32), each),
    )


@lru_cache(maxsize=256)
def _readers(maps: Maps, has_time: bool, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Who reads each unit of the table: ends of the units' lists, and the lists of (group, place in the group)."""
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(units)]
    if has_time:
        pairs[0] = [(group, 0) for group in range(maps.num_groups)]
    else:
        for group, frames in enumerate(maps.frames):
            for place, frame in enumerate(frames):
                if frame != ABSENT:
                    pairs[frame].append((group, place))
    ends = np.cumsum([len(each) for each in pairs], dtype=np.int64)
    return ends, np.array([number for each in pairs for pair in each for number in pair], np.int64)


def _row_wise(value: Tensor) -> Tensor:
    value = value.detach().float()
    return value if value.stride(3) == 1 or value.shape[3] == 1 else value.contiguous()


def _table(value: Tensor) -> Table:
    return Table(*strided(value))


def strided(tensor: Tensor) -> tuple[np.ndarray, int, int, int]:
    """Everything between a tensor's first and last number, and the strides of its first three of four axes."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    first, second, third, _ = tensor.stride()
    return torch.as_strided(tensor.detach(), (extent,), (1,)).numpy(), first, second, third


def flat(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers in its logical order, float32; copies only where they are not that already."""
    return tensor.detach().float().contiguous().view(-1).numpy()


def numbers(record: tuple[int, ...]) -> np.ndarray:
    """A record of whole numbers as a kernel reads it."""
    return np.array(record, np.int64)
