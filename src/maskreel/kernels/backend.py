"""One switch for every kernel: the backend by device and dtype, or forced.

The kernels are sampling, the dynamic layers and short attention. Each has a reference in PyTorch, and forms for some of
the other backends. Where a forced backend lacks a form, the kernel uses its reference and says so once.
"""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from maskreel.errors import OptionError

Backend = Literal["reference", "cpu", "triton"]
ENVIRONMENT_VARIABLE = "MASKREEL_BACKEND"
OLD_VARIABLE = "MASKREEL_SAMPLING_BACKEND"
"""Its name when sampling was the only kernel."""

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


def choose(kernel: str, *tensors: Tensor, forms: tuple[Backend, ...], backend: Backend | None = None) -> Backend:
    """The backend for these tensors: the argument, else `use_backend`, else the environment variable, else the fastest.

    `forms` are the backends that the kernel has a form for, beside its reference. Raises OptionError when the forced
    backend is unknown or cannot take the tensors.
    """
    is_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return _resolve(kernel, forms, backend or _forced, tensors[0].device.type, is_double)


def inference_forms(*tensors: Tensor) -> tuple[Backend, ...]:
    """Forms of a kernel whose only fast one is for the CPU, in float32, without a backward pass and untraced."""
    has_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    is_single = all(x.dtype == torch.float32 for x in tensors)
    return ("cpu",) if is_single and not has_gradient and not torch.compiler.is_compiling() else ()


def _resolve(kernel: str, forms: tuple[Backend, ...], forced: Backend | None, device: str, is_double: bool) -> Backend:
    source = "the argument or use_backend"
    if forced is None:
        forced, source = _from_environment()
    if forced is not None:
        if reason := _obstacle(forced, device, is_double):
            raise OptionError(f"backend {forced!r}, asked for by {source}, cannot be used for {kernel}: {reason}")
        if forced == "reference" or forced in forms:
            return forced
        _report(f"backend {forced!r} has no form of {kernel} for such a call, its reference is used")
        return "reference"
    fastest: Backend = "triton" if device == "cuda" else "cpu"
    if fastest not in forms:
        return "reference"
    reason = _obstacle(fastest, device, is_double)
    if not reason:
        return fastest
    # float64 takes the reference by design; only a missing speed-up is news.
    if device in ("cpu", "cuda") and not is_double:
        _report(f"backend {fastest!r} is skipped, the slower reference is used: {reason}")
    return "reference"


# What torch.compiler.assume_constant_result does; the call itself would import the compiler, a second of every start.
_resolve._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]


def _from_environment() -> tuple[Backend | None, str]:
    """The backend that the environment forces, and the variable that does."""
    for variable in (ENVIRONMENT_VARIABLE, OLD_VARIABLE):
        if name := os.environ.get(variable):
            if variable == OLD_VARIABLE:
                _report(f"{OLD_VARIABLE} is now called {ENVIRONMENT_VARIABLE}, which rules every kernel")
            return _checked(name, variable), variable
    return None, ""


def _obstacle(name: Backend, device: str, is_double: bool) -> str | None:
    """Why a backend cannot serve these tensors, None if it can."""
    if name == "reference":
        return None
    wanted, package = {"cpu": ("cpu", "numba"), "triton": ("cuda", "triton")}[name]
    if device != wanted:
        return f"it needs tensors on {wanted!r}, these are on {device!r}"
    if is_double:
        return "it computes in float32 and a tensor is float64; pass float32 or use the reference"
    if not _is_installed(package):
        return f"the package {package!r} is not installed"
    return None


@lru_cache(maxsize=4)
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _report(sentence: str) -> None:
    """Warn, once in a process."""
    if sentence not in _reported:
        _reported.add(sentence)
        _logger.warning("%s", sentence)


def _checked(name: str, source: str) -> Backend:
    for backend in get_args(Backend):
        if name == backend:
            return backend
    raise OptionError(f"{source}: unknown backend {name!r}; choose one of {', '.join(get_args(Backend))}")
