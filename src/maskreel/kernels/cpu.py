"""CPU backend of sampling: compiled by numba at first use, shared among threads of our own.

Threads come from a Python pool whose work runs without the interpreter lock, and not from numba's parallel loops: those
start an OpenMP of their own, after which a forked data-loading worker dies.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from maskreel.kernels.maps import ABSENT, Maps

_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def forward(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    """`maskreel.kernels.sampling.sample` on float32 copies of anything that is not float32 yet."""
    from maskreel.kernels import cpu_kernels

    dtype, value = value.dtype, _table(value)
    batch, _, heads, channels = value.shape
    output = torch.empty(batch, locations.shape[1], heads, channels)
    if output.numel() == 0 or locations.shape[3] == 0:
        return output.zero_().to(dtype)
    plan = _plan(maps, locations.shape[3], locations.shape[4] == 3)
    shape = _shape(value, locations, maps, plan)
    _run(
        cpu_kernels.forward,
        int(shape[cpu_kernels.BATCH] * maps.num_groups * shape[cpu_kernels.BLOCKS] * shape[cpu_kernels.HEAD_TASKS]),
        (
            *_storage(value),
            _flat(locations),
            _flat(weights),
            _flat(output),
            plan.sizes,
            plan.starts,
            plan.present,
            shape,
        ),
    )
    return output.to(dtype)


def backward(
    grad_output: Tensor, value: Tensor, locations: Tensor, weights: Tensor, maps: Maps
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value (in its layout), locations and weights; each element is summed in a fixed order."""
    from maskreel.kernels import cpu_kernels

    grad_value = torch.empty_like(value, dtype=torch.float32)
    # Points of absent frames are visited by nobody.
    new = torch.zeros if any(ABSENT in group for group in maps.frames) else torch.empty
    grad_locations, grad_weights = new(locations.shape), new(weights.shape)
    if value.numel() == 0 or weights.numel() == 0:
        grads = grad_value.zero_(), grad_locations.zero_(), grad_weights.zero_()
    else:
        table = _table(value)
        plan = _plan(maps, locations.shape[3], locations.shape[4] == 3)
        shape = _shape(table, locations, maps, plan)
        inputs = (*_storage(table), _flat(grad_output), _flat(locations), _flat(weights))
        outputs = (*_storage(grad_value), _flat(grad_locations), _flat(grad_weights))
        readers = _readers(maps, plan.depth > 0, int(shape[cpu_kernels.UNITS]))
        constants = (plan.sizes, plan.starts, plan.present, *readers, shape)
        tasks = int(shape[cpu_kernels.BATCH] * shape[cpu_kernels.UNITS] * shape[cpu_kernels.HEADS])
        _run(cpu_kernels.backward, tasks, (*inputs, *outputs, *constants))
        grads = grad_value, grad_locations, grad_weights
    return grads[0].to(value.dtype), grads[1].to(locations.dtype), grads[2].to(weights.dtype)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What follows from the maps and the number of points alone."""

    sizes: np.ndarray
    """Width of every point's map, then height, float32."""
    starts: np.ndarray
    """First row of every point's map, group by group, int32."""
    present: np.ndarray
    """0 for points of absent frames, group by group, float32."""
    depth: int
    """Frames along time, 0 where points have no time."""


@lru_cache(maxsize=256)
def _plan(maps: Maps, points: int, has_time: bool) -> _Plan:
    if has_time:
        start, height, width = maps.sampled[0]
        sizes = np.repeat(np.array([width, height], np.float32), points)
        starts = [start + group[0] * maps.rows_per_frame for group in maps.frames]
        starts = np.repeat(np.array(starts, np.int32), points)
        return _Plan(sizes=sizes, starts=starts, present=np.ones(1, np.float32), depth=maps.frames_per_group)
    each = points // maps.num_slots
    levels = list(maps.sampled) * maps.frames_per_group
    sizes = np.repeat(np.array([[level[2] for level in levels], [level[1] for level in levels]], np.float32), each)
    starts = [
        max(f, 0) * maps.rows_per_frame + level[0] for group in maps.frames for f in group for level in maps.sampled
    ]
    present = [f != ABSENT for group in maps.frames for f in group for _ in maps.sampled]
    return _Plan(
        sizes=sizes,
        starts=np.repeat(np.array(starts, np.int32), each),
        present=np.repeat(np.array(present, np.float32), each),
        depth=0,
    )


@lru_cache(maxsize=256)
def _readers(maps: Maps, has_time: bool, units: int) -> tuple[np.ndarray, np.ndarray]:
    """Who reads each unit of the table: ends of the units' lists, and the lists of (group, place in the group)."""
    if has_time:
        pairs = [[(group, 0) for group in range(maps.num_groups)]]
    else:
        pairs: list[list[tuple[int, int]]] = [[] for _ in range(units)]
        for group, frames in enumerate(maps.frames):
            for slot, frame in enumerate(frames):
                if frame != ABSENT:
                    pairs[frame].append((group, slot))
    ends = np.cumsum([len(each) for each in pairs], dtype=np.int64)
    return ends, np.array([number for each in pairs for pair in each for number in pair], np.int64)


def _shape(value: Tensor, locations: Tensor, maps: Maps, plan: _Plan) -> np.ndarray:
    from maskreel.kernels import cpu_kernels as k

    batch, rows, heads, channels = value.shape
    queries = locations.shape[1] // maps.num_groups
    # Head-major: finish one head first, its map stays in the cache. Else keep the heads of a cell together.
    head_tasks = heads if value.stride(2) > value.stride(1) else 1
    tasks = batch * maps.num_groups * head_tasks
    shape = np.zeros(k.SHAPE_LENGTH, np.int64)
    shape[[k.BATCH, k.GROUPS, k.QUERIES, k.HEADS, k.CHANNELS]] = batch, maps.num_groups, queries, heads, channels
    shape[k.POINTS] = locations.shape[3]
    shape[k.SLOT_FRAMES] = 1 if plan.depth else maps.frames_per_group
    shape[k.BLOCKS] = min(queries, max(1, -(-8 * torch.get_num_threads() // tasks)))
    shape[k.HEAD_TASKS] = head_tasks
    shape[k.DEPTH] = plan.depth
    shape[k.FRAME_ROWS] = maps.rows_per_frame
    shape[k.UNITS] = 1 if plan.depth else rows // maps.rows_per_frame
    shape[k.UNIT_ROWS] = rows if plan.depth else maps.rows_per_frame
    return shape


def _table(value: Tensor) -> Tensor:
    value = value.detach().float()
    return value if value.stride(3) == 1 or value.shape[3] == 1 else value.contiguous()


def _storage(table: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Everything between a table's first and last element, flat, and its strides of clip, row and head."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(table.shape, table.stride(), strict=True))
    return torch.as_strided(table.detach(), (extent,), (1,)).numpy(), np.array(table.stride()[:3], np.int64)


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().view(-1).numpy()


def _run(kernel: Callable, tasks: int, arguments: tuple) -> None:
    """Run a kernel on as many threads as PyTorch would use, the calling thread among them."""
    counter = np.zeros(1, np.int64)
    helpers = min(torch.get_num_threads(), tasks) - 1
    futures = [_threads(helpers).submit(kernel, *arguments, counter) for _ in range(helpers)] if helpers > 0 else []
    kernel(*arguments, counter)
    for future in futures:
        future.result()


def _threads(number: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < number:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool, _pool_size = ThreadPoolExecutor(number, thread_name_prefix="maskreel-sampling"), number
    return _pool


def _forget_threads() -> None:
    global _pool
    _pool = None


# A forked child inherits the pool without its threads.
os.register_at_fork(after_in_child=_forget_threads)
