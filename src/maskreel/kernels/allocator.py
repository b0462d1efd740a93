"""Keep large freed blocks in the process, so that big temporaries stop faulting in fresh pages.

The C library hands every large block back to the kernel and gets it again page by page: half of PyTorch's time on a CPU
where a 100 MB temporary comes and goes in every layer.
"""

import ctypes
import sys

_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2
"""`mallopt` parameters of glibc's malloc.h."""


def tune_allocator() -> bool:
    """Tell glibc not to map large blocks one by one and not to trim; False where there is no glibc.

    For the whole process, best before the first large tensor; the process then keeps its peak memory. Call it from a
    program, never from a library.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018  # musl also has a mallopt, which does nothing
    except AttributeError:
        return False
    return all((mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, -1), mallopt(_TOP_PAD, 64 << 20)))
