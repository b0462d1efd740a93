"""Ctrl-C, SIGTERM and SIGHUP during work whose files are to be finished."""

import logging
import signal
import threading
from types import FrameType, TracebackType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class Stopping:
    """While entered, the first signal only sets `is_requested`; the second one acts at once."""

    def __init__(self) -> None:
        self._number: int | None = None
        # Python delivers signals to the main thread alone, and lets no other thread install handlers.
        self._is_active = threading.current_thread() is threading.main_thread()

    @property
    def is_requested(self) -> bool:
        return self._number is not None

    def __enter__(self) -> "Stopping":
        # What is ignored, as under nohup, stays ignored.
        heard = [number for number in SIGNALS if self._is_active and signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def deliver(self) -> None:
        """When the files are finished: let the signal that came do what it does elsewhere."""
        if self._number is not None:
            self._restore()
            signal.raise_signal(self._number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None:
            self._restore()
            signal.raise_signal(number)
        self._number = number
        logger.warning("stopping; the files of what was found so far are being finished (once more: at once)")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
