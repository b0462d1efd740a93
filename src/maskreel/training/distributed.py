"""Training on several processes, as torchrun starts them; a plain run is one process."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import gcd
from typing import Any, TypeVar, cast

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maskreel.criteria.processes import Sharers, batches_shared_by
from maskreel.device import choose_device
from maskreel.errors import UsageError

Decision = TypeVar("Decision")

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other, of which one may be writing."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Which of how many processes this is, and where it computes."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """The process that writes files and talks."""
        return self.rank == 0


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group that torchrun's environment describes, and leave it whatever happens.

    Left standing, the group aborts the interpreter at exit now and then. `device` as in `TrainingConfig`.
    """
    world_size, local_rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device, local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        yield Processes(rank=0, world_size=1, device=chosen)
        return
    torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(rank=torch.distributed.get_rank(), world_size=world_size, device=chosen)
    finally:
        torch.distributed.destroy_process_group()


@dataclass(frozen=True, kw_only=True)
class BatchShare:
    """What one process does of the batches of a step, so that all together do what one alone would."""

    batch_size: int
    """Clips of a batch."""
    accumulate: int
    """Batches of a step."""
    sharers: int
    """Processes that have parts of the same batch; their losses are divided by what they hold together."""


def share_batches(batch_size: int, accumulate: int, world_size: int) -> BatchShare:
    """Whole batches go to processes as far as a step has several, then processes share a batch.

    UsageError where clips cannot be shared out evenly.
    """
    rounds = gcd(accumulate, world_size)
    sharers = world_size // rounds
    if batch_size % sharers:
        raise UsageError(
            f"{world_size} processes cannot share a step of {accumulate} batches of {batch_size} clips evenly; use a "
            f"number of processes that divides {accumulate} x {batch_size}, or change --training.accumulate or "
            "--data.batch-size"
        )
    return BatchShare(batch_size=batch_size // sharers, accumulate=accumulate // rounds, sharers=sharers)


@contextmanager
def sharing(share: BatchShare, group: Processes) -> Iterator[None]:
    """Losses are divided by what the processes that share a batch hold together."""
    own = None
    if 1 < share.sharers < group.world_size:
        for first in range(0, group.world_size, share.sharers):
            ranks = list(range(first, first + share.sharers))
            made = torch.distributed.new_group(ranks)
            own = made if group.rank in ranks else own
    with batches_shared_by(Sharers(group=own, size=share.sharers)):
        yield


def parallel(module: nn.Module, group: Processes) -> nn.Module:
    """The module itself, or its copy of a data-parallel group."""
    if group.world_size == 1:
        return module
    return DistributedDataParallel(module, device_ids=[group.device] if group.device.type == "cuda" else None)


def world_mean(value: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Mean over all processes."""
    if not torch.distributed.is_initialized():
        return value
    value = value.detach().clone()
    torch.distributed.all_reduce(value)
    return value / torch.distributed.get_world_size()


def decided_by_first(group: Processes, decide: Callable[[], Decision]) -> Decision:
    """What the first process decides, in all processes."""
    if group.world_size == 1:
        return decide()
    shared = [decide() if group.is_first else None]
    torch.distributed.broadcast_object_list(shared, src=0)
    return cast(Decision, shared[0])


def gathered_by_first(group: Processes, value: Decision) -> list[Decision]:
    """What every process has, in the order of their ranks, in the first one; empty in the others."""
    if group.world_size == 1:
        return [value]
    found: list[Any] | None = [None] * group.world_size if group.is_first else None
    torch.distributed.gather_object(value, found, dst=0)
    return found or []


def take_buffers_of_first(module: nn.Module, group: Processes) -> None:
    """Buffers, such as statistics of batch norm, as the first process has them."""
    if group.world_size > 1:
        for buffer in module.buffers():
            torch.distributed.broadcast(buffer, src=0)


def wait_for_all() -> None:
    """Return when every process has come here."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
