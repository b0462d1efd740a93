"""Choice of the sampling backend: by device and dtype, or forced."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor

from maskreel.errors import OptionError

Backend = Literal["reference", "cpu", "triton"]
ENVIRONMENT_VARIABLE = "MASKREEL_SAMPLING_BACKEND"

_logger = logging.getLogger(__name__)
_reported: set[str] = set()
# A plain global, not a context variable: torch.compile guards on it and recompiles when it changes.
_forced: Backend | None = None


@contextmanager
def use_backend(name: Backend) -> Iterator[None]:
    """Force one backend inside the block, in the whole process: `with use_backend("reference"):` around an export."""
    global _forced
    before, _forced = _forced, _checked(name, "use_backend")
    try:
        yield
    finally:
        _forced = before


def choose(backend: Backend | None, value: Tensor, locations: Tensor, weights: Tensor) -> Backend:
    """The backend for these tensors: the argument, else `use_backend`, else the environment variable, else the fastest.

    Raises OptionError when the forced backend cannot take the tensors.
    """
    is_double = torch.float64 in (value.dtype, locations.dtype, weights.dtype)
    return _resolve(backend or _forced, value.device.type, is_double)


def serves_inference(*tensors: Tensor) -> bool:
    """Whether a compiled CPU kernel without a backward pass can take these tensors, and nobody traces the call."""
    if torch.compiler.is_compiling() or _obstacle("cpu", tensors[0].device.type, is_double=False):
        return False
    has_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return not has_gradient and all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)


@torch.compiler.assume_constant_result
def _resolve(forced: Backend | None, device: str, is_double: bool) -> Backend:
    source = "the argument or use_backend"
    if forced is None and (variable := os.environ.get(ENVIRONMENT_VARIABLE)):
        forced, source = _checked(variable, ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE
    if forced is not None:
        if reason := _obstacle(forced, device, is_double):
            raise OptionError(f"sampling backend {forced!r}, asked for by {source}, cannot be used: {reason}")
        return forced
    fastest: Backend = "triton" if device == "cuda" else "cpu"
    reason = _obstacle(fastest, device, is_double)
    if not reason:
        return fastest
    # float64 takes the reference by design; only a missing speed-up is news.
    if device in ("cpu", "cuda") and not is_double and reason not in _reported:
        _reported.add(reason)
        _logger.warning("sampling backend %r is skipped, the slower reference is used: %s", fastest, reason)
    return "reference"


def _obstacle(name: Backend, device: str, is_double: bool) -> str | None:
    """Why a backend cannot serve these tensors, None if it can."""
    if name == "reference":
        return None
    wanted, package = {"cpu": ("cpu", "numba"), "triton": ("cuda", "triton")}[name]
    if device != wanted:
        return f"it needs tensors on {wanted!r}, these are on {device!r}"
    if is_double:
        return "it computes in float32 and a tensor is float64; pass float32 or use the reference"
    if importlib.util.find_spec(package) is None:
        return f"the package {package!r} is not installed"
    return None


def _checked(name: str, source: str) -> Backend:
    if name not in get_args(Backend):
        raise OptionError(f"{source}: unknown sampling backend {name!r}; choose one of {', '.join(get_args(Backend))}")
    return name  # type: ignore[return-value]
