"""Working through many units with several workers, some of which may die."""

import itertools
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from maskreel.errors import DataError, OptionError, UsageError

logger = logging.getLogger(__name__)

Unit = TypeVar("Unit")
Handler = Callable[[Any], Any]
"""Does a unit, and returns what the driver is to know of it."""

MOST_DEATHS = 2
"""A unit that has killed so many workers is set aside."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker says of the unit that it was given."""

    worker: int
    value: Any
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Death:
    """A worker is no more; what it was given is not done."""

    worker: int
    reason: str
    """A phrase, such as "ended by SIGKILL"."""
    is_of_unit: bool = True
    """Whether its unit may be to blame."""


@runtime_checkable
class Crew(Protocol):
    """Workers that do one unit at a time each; made ready when they are given their first one."""

    def hire(self) -> int:
        """Start a worker; returns its number, which no other has had."""
        ...

    def give(self, worker: int, unit: Any) -> None:
        """Have a worker that is free do a unit."""
        ...

    def wait(self, seconds: float) -> Sequence[Answer | Death]:
        """What has happened, after at most so long. Raises what a worker could not begin for."""
        ...

    def stop(self) -> None:
        """Have the workers finish early what they do."""
        ...


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[Unit]):
    """A unit that nobody works on any more."""

    unit: Unit
    value: Any = None
    """What the worker answered."""
    worker: str = ""
    seconds: float = 0.0
    """That it took the worker."""
    deaths: tuple[str, ...] = ()
    """Why workers died of it, where it was set aside."""


class Stopped(Exception):
    """Work was ended early; raised by `work_through` when no worker works any more."""


def work_through(
    units: Iterable[Unit],
    crew: Crew,
    *,
    workers: int,
    further: Callable[[Finished[Unit]], Sequence[Unit]] | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[Finished[Unit]]:
    """Every unit when it is finished, in no certain order; units are drawn when a worker is free.

    A worker that dies is replaced and its unit done again; one that kills two is set aside. `further` gives units that
    a finished one makes possible; they come before others. When `is_stopping`, no unit is begun, workers are told to
    finish early, what they still answer comes out, and Stopped ends it. `tick` is called several times a second.
    Raises DataError where workers die before they can do anything.
    """
    waiting = deque[tuple[Unit, tuple[str, ...]]]()
    source = iter(units)
    busy: dict[int, tuple[Unit, tuple[str, ...]]] = {}
    free: list[int] = []
    is_stopped = False
    while True:
        while not is_stopped and len(busy) < workers:
            if not waiting:
                waiting.extend((unit, ()) for unit in itertools.islice(source, 1))
            if not waiting:
                break
            worker = free.pop() if free else crew.hire()
            busy[worker] = waiting.popleft()
            crew.give(worker, busy[worker][0])
        if not busy:
            break
        for event in crew.wait(0.2):
            if event.worker not in busy:
                free = [worker for worker in free if worker != event.worker]
                continue
            unit, before = busy.pop(event.worker)
            if isinstance(event, Answer):
                free.append(event.worker)
                finished = Finished(unit=unit, value=event.value, worker=str(event.worker), seconds=event.seconds)
                if further is not None:
                    waiting.extendleft((one, ()) for one in reversed(further(finished)))
                yield finished
                continue
            if is_stopped:
                continue
            reasons = (*before, event.reason) if event.is_of_unit else before
            if len(reasons) >= MOST_DEATHS:
                yield Finished(unit=unit, worker=str(event.worker), deaths=reasons)
            else:
                logger.warning("a worker %s; its unit is done again by another one", event.reason)
                waiting.appendleft((unit, reasons))
        tick()
        if is_stopping() and not is_stopped:
            is_stopped = True
            crew.stop()
    if is_stopped:
        raise Stopped


def answer_to(handle: Handler, unit: Any) -> tuple[str, Any, float]:
    """What a worker sends of a unit: "done", the value and its seconds, or "error" and what was raised."""
    start = time.monotonic()
    try:
        return "done", handle(unit), time.monotonic() - start
    except Exception as error:
        return "error", sendable(error), 0.0


class CannotBegin(DataError):
    """Workers end before they have done anything."""


def sendable(error: Exception) -> Exception:
    """An error that survives the way to the driver, of a type that it tells users in the same way."""
    for kind in (UsageError, OptionError, DataError):
        if isinstance(error, kind):
            return kind(str(error))
    if isinstance(error, ModuleNotFoundError):
        return UsageError(f"a worker lacks the package {error.name}; install it on every machine")
    return RuntimeError(f"in a worker: {''.join(traceback.format_exception(error))}")
