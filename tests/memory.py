"""How much memory something takes at its peak, in a process of its own."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from maskreel.errors import DataError, UsageError

LIMIT_MB = 300
"""Beyond what the process starts with: what a file of a few kilobytes may cost, whatever it declares."""


def peak_mb(work: Callable[[], Any]) -> tuple[float, str]:
    """Peak over the start in MiB, and the words of the refusal, empty where the work is done."""
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_report, args=(work, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def _report(work: Callable[[], Any], pipe: Connection) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    # What would take far too much is stopped before it takes it from others.
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4 * 2**30, resource.RLIM_INFINITY))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = ""
    try:
        work()
    except (DataError, UsageError) as error:
        words = str(error)
    except MemoryError:
        pipe.send((float("inf"), "out of memory"))
        return
    pipe.send(((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024, words))
