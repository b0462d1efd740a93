"""Ctrl-C during training: noted, and acted on when the step is done."""

import signal
import threading
from types import FrameType, TracebackType

import torch

from maskreel.training.distributed import Processes, world_mean


class CutOff(Exception):
    """Work that can be done again was left unfinished because of Ctrl-C."""


class Interruption:
    """While entered, the first Ctrl-C only sets `is_requested`; the second one interrupts at once.

    A terminal sends Ctrl-C to the loader's workers too; forked while this is entered, they inherit the handler and
    live on to deliver the batches of the step.
    """

    def __init__(self) -> None:
        self.is_requested = False
        # Python delivers signals to the main thread alone, and lets no other thread install handlers.
        self._is_active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "Interruption":
        if self._is_active:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_active:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested:
            raise KeyboardInterrupt
        self.is_requested = True

    def cut_off(self) -> None:
        """Raise CutOff when Ctrl-C was pressed; for long work between two steps."""
        if self.is_requested:
            raise CutOff

    def is_agreed(self, group: Processes) -> bool:
        """Whether any process of the group was asked to stop; all get the same answer after the same step."""
        if group.world_size == 1:
            return self.is_requested
        return bool(world_mean(torch.tensor(float(self.is_requested), device=group.device)) > 0)
