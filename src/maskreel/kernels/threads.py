"""Threads for compiled kernels: PyTorch's own OpenMP team where it can be reached, else a pool of Python threads.

The threads of PyTorch's team spin for some milliseconds after every operation. Threads beside them share the cores with
that spinning, which doubles the time of a kernel of a few milliseconds; in the team they begin at once. numba's own
parallel loops are no choice: they start another OpenMP, after which a forked data-loading worker dies.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

_Body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_is_forked = False
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def run(kernel: Callable, tasks: int, *arguments: object) -> None:
    """Run a kernel on as many threads as PyTorch would use, the calling thread among them.

    The kernel gets the arguments and a shared counter, from which it draws the numbers of tasks until none is left: it
    does not matter how many threads come. It must run without the interpreter lock.
    """
    counter = np.zeros(1, np.int64)
    threads = min(torch.get_num_threads(), tasks)
    if threads <= 1:
        kernel(*arguments, counter)
    elif _is_forked or (parallel := _openmp_parallel()) is None:
        futures = [_threads(threads - 1).submit(kernel, *arguments, counter) for _ in range(threads - 1)]
        kernel(*arguments, counter)
        for future in futures:
            future.result()
    else:
        errors: list[BaseException] = []

        def body(_: object) -> None:
            try:
                kernel(*arguments, counter)
            except BaseException as error:
                errors.append(error)

        parallel(_Body(body), None, threads, 0)
        if errors:
            raise errors[0]


@lru_cache(maxsize=1)
def _openmp_parallel() -> Callable | None:
    """`GOMP_parallel` (function, its argument, threads, flags) of the OpenMP that PyTorch is linked to, if any.

    The name is GNU's; Intel's and LLVM's libraries have it too.
    """
    try:
        parallel = ctypes.CDLL(str(Path(torch.__file__).with_name("lib") / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None
    parallel.restype, parallel.argtypes = None, [_Body, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    return parallel


def _threads(number: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < number:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool, _pool_size = ThreadPoolExecutor(number, thread_name_prefix="maskreel-kernels"), number
    return _pool


def _begin_anew() -> None:
    """A forked child has neither the team's threads nor the pool's, and only a pool can be made anew."""
    global _is_forked, _pool
    _is_forked, _pool = True, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
