"""How far a command is: a bar where somebody watches, a line now and then where the output is piped."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
