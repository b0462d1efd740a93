"""What processes that share a batch divide their losses by, and the size that all give their clips."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from maskreel.structures import ClipBatch


@dataclass(frozen=True, kw_only=True)
class Sharers:
    """The processes that have parts of one batch, this one among them."""

    group: Any = None
    """A `torch.distributed.ProcessGroup`; None for all."""
    size: int = 1


_sharers: Sharers | None = None


@contextmanager
def batches_shared_by(sharers: Sharers) -> Iterator[None]:
    """Within, these processes have parts of one batch; elsewhere all do that train together."""
    global _sharers
    before, _sharers = _sharers, sharers
    try:
        yield
    finally:
        _sharers = before


def mean_over_processes(count: int, device: torch.device) -> float:
    """Objects per process, averaged over the processes that share a batch; at least 1."""
    return max(_mean(torch.tensor(float(count), device=device)).item(), 1.0)


def share_of(counted: Float[Tensor, ""]) -> Float[Tensor, ""] | float:
    """By how much this process counts in a mean over what was `counted` in all that share the batch; 1 on average.

    Times this, the mean of one process becomes its part of the mean over all.
    """
    if _size() == 1:
        return 1.0
    return counted / _mean(counted.detach().clone()).clamp(min=1e-12)


def padded_alike(clips: ClipBatch) -> ClipBatch:
    """Clips at the largest size of any process that shares the batch, as one alone would pad all of them.

    What a network sees at the border of a clip depends on its padding, and so does every loss.
    """
    if _size() == 1:
        return clips
    own = torch.tensor(clips.frames.shape[-2:], device=clips.frames.device)
    largest = own.clone()
    torch.distributed.all_reduce(
        largest, torch.distributed.ReduceOp.MAX, group=None if _sharers is None else _sharers.group
    )
    rows, columns = (largest - own).tolist()
    if not rows and not columns:
        return clips
    space = (0, columns, 0, rows)
    return ClipBatch(frames=F.pad(clips.frames, space), is_padding=F.pad(clips.is_padding, space, value=True))


def _size() -> int:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 1
    return torch.distributed.get_world_size() if _sharers is None else _sharers.size


def _mean(value: Tensor) -> Tensor:
    if (size := _size()) == 1:
        return value
    torch.distributed.all_reduce(value, group=None if _sharers is None else _sharers.group)
    return value / size
