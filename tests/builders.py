"""Builders of test data, and the way to recorded data that is not part of the project."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

SHARED = Path(os.environ.get("MASKREEL_SHARED") or Path(__file__).parents[2] / "shared")


def shared_path(relative: str) -> Path:
    """Path below the shared data folder; the test is skipped where the folder does not exist at all.

    A file that is missing from an existing folder is an error, not a skip.
    """
    if not SHARED.is_dir():
        pytest.skip("shared data is absent; set MASKREEL_SHARED")
    path = SHARED / relative
    if not path.exists():
        raise FileNotFoundError(f"{relative} is missing from the shared data folder")
    return path


def golden(relative: str) -> dict[str, Tensor]:
    """Recorded tensors as the numbers that were used: low-precision storage becomes float32."""
    tensors = load_file(shared_path(f"golden/{relative}"))
    keep = (torch.float32, torch.float64)
    return {k: v.float() if v.is_floating_point() and v.dtype not in keep else v for k, v in tensors.items()}


def assert_golden(ours: Tensor, theirs: Tensor, noise: float = 0.0) -> None:
    """Within ten times the recorded rounding noise or 2e-5 of the largest value, whichever is more."""
    bound = max(10 * noise, 2e-5 * theirs.abs().max().item()) if theirs.numel() else 0.0
    torch.testing.assert_close(ours.to(theirs.dtype), theirs, rtol=0, atol=bound)
