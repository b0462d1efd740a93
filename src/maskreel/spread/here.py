"""A worker that is this process itself."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from maskreel.spread.work import Answer


class Here:
    """One worker, which does a unit while it is waited for; its errors are raised as they are."""

    def __init__(self, handle: Callable[[Any], Any]) -> None:
        self._handle = handle
        self._units: list[Any] = []

    def hire(self) -> int:
        return 0

    def give(self, worker: int, unit: Any) -> None:
        self._units.append(unit)

    def wait(self, seconds: float) -> Sequence[Answer]:
        start = time.monotonic()
        value = self._handle(self._units.pop())
        return [Answer(worker=0, value=value, seconds=time.monotonic() - start)]

    def stop(self) -> None:
        """What is done here hears the signals itself."""
