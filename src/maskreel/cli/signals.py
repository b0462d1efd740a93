"""How a command ends when it is told to: Ctrl-C, SIGTERM and SIGHUP clean up like any other failure."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from maskreel.errors import Ended

SECONDS_TO_CLEAN = 2.0
"""A terminal that closes tells so twice; a later signal interrupts the cleaning, too."""


@contextlib.contextmanager
def ended_by_exception() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Ended` in the main thread; what was ignored, as under nohup, stays ignored."""
    process, last = os.getpid(), -SECONDS_TO_CLEAN

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != process:
            # A child that was forked ends as if nothing had been changed.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        before, last = last, time.monotonic()
        if last - before >= SECONDS_TO_CLEAN:
            raise Ended(number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    changed = [number for number in numbers if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
