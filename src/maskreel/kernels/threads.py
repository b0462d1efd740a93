"""The one thread team of all compiled code: PyTorch's own OpenMP team where it can be reached, else a pool.

The threads of PyTorch's team spin for some milliseconds after every operation. Threads beside them share the cores with
that spinning, which doubles the time of a kernel of a few milliseconds; in the team they begin at once. numba's own
parallel loops are no choice: they start another OpenMP, after which a forked data-loading worker dies.

A process that has not imported torch has no such team, and does not get it for this: it uses a pool.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_is_forked = False
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def num_threads() -> int:
    """As many as PyTorch uses; without it, the processors of this process."""
    if (torch := sys.modules.get("torch")) is not None:
        return torch.get_num_threads()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(kernel: Callable[..., Any], tasks: int, *arguments: object) -> None:
    """Run a kernel on the team, the calling thread among it.

    The kernel gets the arguments and a shared counter, from which it draws the numbers of tasks until none is left: it
    does not matter how many threads come. It must run without the interpreter lock.
    """
    counter = np.zeros(1, np.int64)
    _together(lambda: kernel(*arguments, counter), min(num_threads(), tasks))


def run_each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results of a Python function for every item, in order; it spends its time in compiled code."""
    results: dict[int, Result] = {}
    waiting = iter(range(len(items)))

    def work() -> None:
        for index in waiting:
            results[index] = function(items[index])

    _together(work, min(num_threads(), len(items)))
    return [results[index] for index in range(len(items))]


def _together(work: Callable[[], Any], threads: int) -> None:
    """Do the same work in up to so many threads, until it is done in this one; raises what one of them raises."""
    errors: list[BaseException | None] = []
    if threads <= 1:
        work()
    elif _is_forked or (parallel := _openmp_parallel()) is None:
        futures = [_threads(threads - 1).submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            # Who has not begun by now finds nothing left to do.
            errors = [future.exception() for future in futures if not future.cancel()]
    else:

        def body(_: object) -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)

        parallel(_Body(body), None, threads, 0)
    for error in errors:
        if error is not None:
            raise error


def _openmp_parallel() -> Callable[..., None] | None:
    """`GOMP_parallel` (function, its argument, threads, flags) of the OpenMP that PyTorch is linked to, if any.

    The name is GNU's; Intel's and LLVM's libraries have it too.
    """
    torch = sys.modules.get("torch")
    return None if torch is None else _linked_openmp(Path(torch.__file__ or ""))


@lru_cache(maxsize=1)
def _linked_openmp(torch: Path) -> Callable[..., None] | None:
    try:
        parallel = ctypes.CDLL(str(torch.with_name("lib") / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.restype, parallel.argtypes = None, [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return parallel


def _threads(number: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < number:
        _pool, _pool_size = ThreadPoolExecutor(number, thread_name_prefix="maskreel-kernels"), number
    return _pool


def _begin_anew() -> None:
    """A forked child has neither the team's threads nor the pool's, and only a pool can be made anew."""
    global _is_forked, _pool
    _is_forked, _pool = True, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
