"""How every time of the project is taken, and on what machine.

The protocol, the same for `maskreel bench` and the scripts under `benchmarks/`:

- Things that are compared take turns in one process, after one call of each that does not count.
- A sample is the wall time of one call; on a CUDA device the call ends when the device has finished.
- A sample is quiet when a small matrix product ran at full speed just before and just after it, so that a busy
  neighbour stays out of the figures. Rounds go on until every step has the wanted number of quiet samples, at most
  twice that many. Quiet samples alone are used, unless there are fewer than two: then all are, and `quiet` says so.
- p50 is the median and p95 the 95th percentile of the used samples; ratios are ratios of medians.
- Peak memory is taken in a call of its own: on a CPU the most that the process held during the call, with interpreter
  and libraries; on a CUDA device the most that PyTorch had allocated there.
"""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

Step = Callable[[], object]

PROTOCOL = (
    "steps take turns in one process after one warm-up call each; wall time per call, to the end of the device's work; "
    "samples count when a calibration product ran at full speed just before and after; p50 and p95 of those samples; "
    "peak memory of a call of its own (CPU: whole process, CUDA: allocated by PyTorch)"
)
"""The protocol in one sentence, for reports."""

_SLACK = 1.35
"""A machine is quiet while the calibration product takes no longer than this many times its best."""
_PATIENCE = 0.5
"""Seconds to wait for a quiet moment before a sample is taken all the same."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """What one step took, in milliseconds."""

    p50: float
    p95: float
    best: float
    samples: int
    """How many of them the figures are taken from."""
    quiet: int
    """How many of the samples were quiet; 0 or 1 when all were used for want of quiet ones."""

    @classmethod
    def of(cls, quiet: Iterable[float], every: Iterable[float]) -> "Times":
        quiet, every = list(quiet), list(every)
        used = quiet if len(quiet) >= 2 else every
        p50, p95 = np.percentile(used, [50, 95])
        return cls(p50=float(p50), p95=float(p95), best=min(used), samples=len(used), quiet=len(quiet))


class Calibration:
    """A small product whose speed tells whether a neighbour holds a core right now."""

    def __init__(self) -> None:
        self._matrix = torch.randn(640, 640)
        self._best = min(self._once() for _ in range(30))

    def _once(self) -> float:
        start = time.perf_counter()
        torch.mm(self._matrix, self._matrix)
        return time.perf_counter() - start

    def is_quiet(self) -> bool:
        now = min(self._once(), self._once())
        self._best = min(self._best, now)
        return now <= _SLACK * self._best

    def wait(self) -> bool:
        """Whether a quiet moment came soon."""
        end = time.monotonic() + _PATIENCE
        while not (is_quiet := self.is_quiet()) and time.monotonic() < end:
            time.sleep(0.05)
        return is_quiet


def take_turns(steps: Mapping[str, Step], *, samples: int, device: torch.device | str = "cpu") -> dict[str, Times]:
    """Times of every step, by name; see the protocol above."""
    wait_for = end_of_work(torch.device(device))
    calibration = Calibration()
    quiet: dict[str, list[float]] = {name: [] for name in steps}
    every: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    wait_for()
    for _ in range(2 * samples):
        for name, step in steps.items():
            was_quiet = calibration.wait()
            start = time.perf_counter()
            step()
            wait_for()
            took = 1e3 * (time.perf_counter() - start)
            every[name].append(took)
            if was_quiet and calibration.is_quiet():
                quiet[name].append(took)
        if min(map(len, quiet.values())) >= samples:
            break
    return {name: Times.of(quiet[name], every[name]) for name in steps}


def end_of_work(device: torch.device) -> Callable[[], None]:
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def peak_mebibytes(step: Step, device: torch.device | str = "cpu") -> float:
    """Most memory held during one call; see the protocol above."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**20
    reset_peak()
    step()
    return process_peak()


def reset_peak() -> None:
    """Let the process's peak begin anew, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def process_peak() -> float:
    """Most memory in MiB that the process held since `reset_peak`, or ever where the peak cannot be reset."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hardware(device: torch.device | str = "cpu") -> dict[str, Any]:
    """What the figures were measured on: machine, threads, versions."""
    record: dict[str, Any] = {
        "device": torch.device(device).type,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("maskreel", "torch", "numba", "triton")},
    }
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        record["gpu"] = properties.name
        record["gpu_memory_gib"] = round(properties.total_memory / 2**30, 1)
        record["cuda"] = torch.version.cuda
    return record


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
