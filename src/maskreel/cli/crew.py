"""Who shares the work of a command: processes of this machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from maskreel.cli.records.video import Evaluate, Predict
from maskreel.errors import UsageError
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import Crew


def require_possible_crew(args: Predict | Evaluate) -> None:
    """UsageError for options that cannot be."""
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: must be at least 1")


def is_shared(args: Predict | Evaluate) -> bool:
    return args.workers is not None


@contextmanager
def crew_of(args: Predict | Evaluate, make: Callable[[], Callable[[Any], Any]]) -> Iterator[tuple[Crew, int]]:
    """Workers as the options say, and how many; they end with the context."""
    with ProcessCrew(make) as processes:
        yield processes, args.workers or 1
