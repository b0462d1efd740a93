"""The machine: processors and threads, memory, devices, compiled code and where it is kept, room on disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from maskreel.doctor.finding import Finding
from maskreel.kernels import code_cache
from maskreel.kernels.backend import choose, use_backend
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

GIB = 2**30
LITTLE_MEMORY, LITTLE_ROOM, NO_ROOM = 3 * GIB, 5 * GIB, GIB // 2
SHORTER = "shorter clips and smaller frames need less: --clip-frames 8 --short-side 240"


def examine() -> Iterator[Finding]:
    """Findings about hardware and system."""
    yield threads(torch.get_num_threads(), usable_cores())
    yield memory(free_memory())
    yield from devices()
    yield compiled_kernels()
    yield kept_code(code_cache.obstacle())
    for name, folder in (("disk", Path.cwd()), ("disk for temporary files", Path(tempfile.gettempdir()))):
        yield disk(name, folder, shutil.disk_usage(folder).free)


def threads(number: int, cores: float) -> Finding:
    """`cores` are those that this process may use, a fraction where a container limits it."""
    found = f"{number} threads on {cores:g} usable of {os.cpu_count()} cores"
    if number > max(1, cores):
        advice = f"more threads than cores make everything slower: export OMP_NUM_THREADS={max(1, int(cores))}"
    elif number < int(cores) // 2:
        advice = "most cores are idle: unset OMP_NUM_THREADS, or set it to their number"
    else:
        return Finding(subject="threads", state="ok", found=found)
    return Finding(subject="threads", state="note", found=found, advice=advice)


def usable_cores() -> float:
    """Cores that this process may run on; less than one is possible in a container."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return cores


def memory(free: int | None) -> Finding:
    """`free` is in bytes, None where the system does not tell."""
    subject = "memory"
    if free is None:
        return Finding(subject=subject, state="ok", found="this system does not tell how much is free")
    found = f"{free / GIB:.1f} GiB free"
    if free < LITTLE_MEMORY:
        return Finding(subject=subject, state="note", found=found, advice=SHORTER)
    return Finding(subject=subject, state="ok", found=found)


def free_memory() -> int | None:
    """Bytes that can still be had: of the machine, or of the container where that has less."""
    known = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        known.append(1024 * int(lines["MemAvailable"].split()[0]))
        limit = Path("/sys/fs/cgroup/memory.max").read_text()
        known.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError, KeyError):  # another system, or no limit: "max"
        pass
    return max(0, min(known)) if known else None


def devices() -> Iterator[Finding]:
    """One finding per GPU, or one that says that there is none."""
    subject = "devices"
    is_cuda_build = torch.version.cuda is not None
    if not torch.cuda.is_available():
        found = f"CPU alone; torch {torch.__version__} is {'a CUDA build' if is_cuda_build else 'a CPU build'}"
        if is_cuda_build:
            advice = (
                "no GPU answers: look at nvidia-smi and the driver; without a GPU the CPU build of torch is smaller"
            )
            yield Finding(subject=subject, state="note", found=found, advice=advice)
        else:
            yield Finding(subject=subject, state="ok", found=found)
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = f"cuda:{index} {torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        is_tight = free < LITTLE_MEMORY
        yield Finding(subject=subject, state="note" if is_tight else "ok", found=name, advice=SHORTER * is_tight)


def compiled_kernels() -> Finding:
    """Whether the fast form of sampling is used, and computes what the reference does."""
    subject = "kernels"
    maps = Maps.own_frame(((8, 8),), num_frames=1)
    generator = torch.Generator().manual_seed(0)
    value = torch.rand(1, 64, 2, 8, generator=generator)
    locations, weights = torch.rand(1, 8, 2, 4, 2, generator=generator), torch.full((1, 8, 2, 4), 0.25)
    chosen = choose("sampling", value, forms=("cpu", "triton"))
    fast = sample(value, locations, weights, maps=maps)
    with use_backend("reference"):
        difference = (fast - sample(value, locations, weights, maps=maps)).abs().max().item()
    if not difference < 1e-5:
        advice = "export MASKREEL_BACKEND=reference is slower and right; please report this machine"
        found = f"{chosen} differs from the reference by {difference:.2g}"
        return Finding(subject=subject, state="problem", found=found, advice=advice)
    found = f"{chosen}, which agrees with the reference"
    if chosen == "reference":
        advice = "about ten times slower than compiled: unset MASKREEL_BACKEND, or pip install numba"
        return Finding(subject=subject, state="note", found="the reference alone", advice=advice)
    return Finding(subject=subject, state="ok", found=found)


def kept_code(obstacle: str | None) -> Finding:
    """`obstacle` is why compiled code cannot be kept between processes, None where it can."""
    subject = "numba cache"
    if obstacle is None:
        return Finding(subject=subject, state="ok", found=f"compiled code is kept in {code_cache.folder()}")
    advice = "every start compiles anew, for seconds: let XDG_CACHE_HOME name a folder that you alone can write"
    return Finding(subject=subject, state="note", found=obstacle, advice=advice)


def disk(subject: str, folder: Path, free: int) -> Finding:
    """`free` are the bytes that can be written below `folder`."""
    found = f"{free / GIB:.1f} GiB free for {folder}"
    if free < NO_ROOM:
        return Finding(subject=subject, state="problem", found=found, advice="make room, or write elsewhere with --out")
    if free < LITTLE_ROOM:
        return Finding(subject=subject, state="note", found=found, advice="training runs may fill it: --out elsewhere")
    return Finding(subject=subject, state="ok", found=found)
