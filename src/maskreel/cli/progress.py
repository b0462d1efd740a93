"""How far a command is: a bar where somebody watches, a line now and then where the output is piped."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def frame_progress(title: str, total: int | None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Call what this yields with the number of frames done since the last call; `total` is None when unknown."""
    if quiet:
        yield lambda frames: None
    elif sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda frames: progress.update(task, advance=frames)
    else:
        yield _Lines(title, total)


@contextmanager
def unit_progress(total: int, *, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """As `frame_progress`, with the units of many that are done, how fast they come, and what time is left.

    A unit that is shared by several workers may be told in parts.
    """
    if quiet:
        yield lambda units: None
    elif sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("videos", total=total)
            yield lambda units: progress.update(task, completed=_sum(progress.tasks[0].completed, units))
    else:
        yield _UnitLines(total)


def _sum(done: float, more: float) -> float:
    """Whole numbers where parts add up to them."""
    total = done + more
    return float(round(total)) if abs(total - round(total)) < 1e-6 else total


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.2f}/s")


class _UnitLines:
    """A line every ten seconds."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0.0
        self._begin = self._last = time.monotonic()

    def __call__(self, units: float) -> None:
        self._done = _sum(self._done, units)
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            rate = self._done / (now - self._begin)
            left = f"{timedelta(seconds=round((self._total - self._done) / rate))} left" if rate else "none done yet"
            logger.info("%d of %d videos, %.2f per second, %s", self._done, self._total, rate, left)


class _Lines:
    """A line every ten seconds, so that a log stays short."""

    def __init__(self, title: str, total: int | None) -> None:
        self._title = title
        self._of = f" of {total}" if total else ""
        self._done = 0
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def __call__(self, frames: int) -> None:
        self._done += frames
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES
            logger.info("%s: %d%s frames", self._title, self._done, self._of)
