"""Where a network computes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from maskreel.errors import UsageError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:1` means for a process; UsageError where there is none such."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: this machine, or this build of torch, has no CUDA; use auto or cpu")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:1")
    return torch.device("cuda", local_rank) if name == "cuda" else device


@contextmanager
def without_values() -> Iterator[None]:
    """Parameters that are built here hold anything, which takes no time; a file is to fill all of them."""
    with _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves parameters as memory was. (On the meta device PyTorch imports its compiler to do nothing: a second.)"""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        # Methods of a tensor, and functions of `torch.nn.init`, which name it.
        filled = args[0] if args else given.get("tensor")
        is_filling = func.__name__.endswith("_") and not func.__name__.startswith("_")
        return filled if is_filling and isinstance(filled, torch.nn.Parameter) else func(*args, **given)
