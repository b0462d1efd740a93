"""Training on several processes, as torchrun starts them; a plain run is one process."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maskreel.device import choose_device

Decision = TypeVar("Decision")

PATIENCE = timedelta(hours=2)
"""How long processes wait for the first one, which validates alone."""


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


def wait_for_all() -> None:
    """Return when every process has come here."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
