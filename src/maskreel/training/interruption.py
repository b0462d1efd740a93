"""Ctrl-C, SIGTERM and SIGHUP during training: noted, and acted on when the step is done."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch

from maskreel.errors import Ended
from maskreel.training.distributed import Processes, world_mean


class CutOff(Exception):
    """Work that can be done again was left unfinished because of a signal."""


class Interruption:
    """While entered, the first of these signals only sets `is_requested`; a second Ctrl-C interrupts at once.

    A terminal sends them to the loader's workers too; forked while this is entered, they inherit the handler and
    live on to deliver the batches of the step.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._by: int = signal.SIGINT
        self._previous: dict[int, Any] = {}
        # Python delivers signals to the main thread alone, and lets no other thread install handlers.
        self._is_active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Interruption":
        if self._is_active:
            names = ("SIGINT", "SIGTERM", "SIGHUP")
            for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
                # What is ignored, as under nohup, stays ignored.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._by = self._by if self.is_requested else number
        self.is_requested = True

    def stop(self, sentence: str) -> KeyboardInterrupt:
        """The error to raise when everything is on disk."""
        return KeyboardInterrupt(sentence) if self._by == signal.SIGINT else Ended(self._by, sentence)

    def cut_off(self) -> None:
        """Raise CutOff when a signal came; for long work between two steps."""
        if self.is_requested:
            raise CutOff

    def is_agreed(self, group: Processes) -> bool:
        """Whether any process of the group was asked to stop; all get the same answer after the same step."""
        if group.world_size == 1:
            return self.is_requested
        return bool(world_mean(torch.tensor(float(self.is_requested), device=group.device)) > 0)
