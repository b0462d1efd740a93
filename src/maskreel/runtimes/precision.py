"""Number formats of a network at inference, by the words that options use; torch is not needed to name them."""

import platform
import sys
from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bf16"]
"""Number format of convolutions and linear layers at inference."""
PrecisionChoice = Literal["float32", "bf16", "auto"]
"""Or the faster one of the two on the device; which that is follows from what it can do, never from a measurement."""


def choose_precision(device: str) -> tuple[Precision, str]:
    """The number format that is faster on a device ("cpu", "cuda" ...), and why, as half a sentence.

    bfloat16 where the processor multiplies matrices of it (AMX), and on CUDA devices that have it; without these it
    takes longer than float32.
    """
    if device == "cuda":
        import torch

        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bf16", "the GPU has it") if has_bf16 else ("float32", "the GPU has no bf16")
    if device == "cpu" and {"amx_tile", "amx_bf16"} <= processor_flags():
        return "bf16", "the processor has AMX"
    return "float32", "the processor has no AMX" if device == "cpu" else f"nothing is known of {device}"


def processor_flags(file: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, in the words of Linux; empty where that cannot be read."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return frozenset()
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))
