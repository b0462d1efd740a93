"""The backends that this machine has, for tests of kernels and of what stands on them."""

import importlib.util

import torch

HAS_TRITON = torch.cuda.is_available() and importlib.util.find_spec("triton") is not None
ALL = ("reference", "cpu", "triton") if HAS_TRITON else ("reference", "cpu")


def device_of(backend: str) -> str:
    """Where its tensors have to be."""
    return "cuda" if backend == "triton" else "cpu"
