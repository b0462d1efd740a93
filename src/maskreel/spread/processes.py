"""Workers that are processes of this machine."""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any

from maskreel.spread.work import Answer, CannotBegin, Death, Handler, answer_to, sendable

logger = logging.getLogger(__name__)

SECONDS_TO_STOP = 10.0
"""That workers without a unit have to end by themselves."""


@dataclass(eq=False, kw_only=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    is_ready: bool = False


class ProcessCrew:
    """Processes, each of which calls `make` once and what it returns for every unit. A context: it ends them all.

    They are spawned, since a process that has run compiled loops cannot be forked, and end when this one does.
    """

    def __init__(self, make: Callable[[], Handler]) -> None:
        """`make` and units must be picklable; so must answers."""
        self._make = make
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, _Worker] = {}
        self._hired = 0
        self.is_proven = False
        """Whether any worker has been ready."""

    def __enter__(self) -> "ProcessCrew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.pipe.close()
            if kind is not None:
                worker.process.kill()
        for worker in self._workers.values():
            worker.process.join(SECONDS_TO_STOP)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def hire(self) -> int:
        self._hired += 1
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._make), daemon=True)
        process.start()
        theirs.close()
        self._workers[self._hired] = _Worker(process=process, pipe=ours)
        return self._hired

    def give(self, worker: int, unit: Any) -> None:
        try:
            self._workers[worker].pipe.send(unit)
        except (BrokenPipeError, ConnectionResetError):
            logger.debug("worker %d died before it was given its unit", worker)

    def wait(self, seconds: float) -> Sequence[Answer | Death]:
        watched: dict[Any, int] = {}
        for number, worker in self._workers.items():
            watched |= {worker.pipe: number, worker.process.sentinel: number}
        ready = {watched[one] for one in multiprocessing.connection.wait(list(watched), seconds)}
        return [event for number in sorted(ready) if (event := self._event(number)) is not None]

    def stop(self) -> None:
        for worker in self._workers.values():
            worker.process.terminate()

    def _event(self, number: int) -> Answer | Death | None:
        """The next message of a worker, or that it is no more; messages it has sent before come first."""
        worker = self._workers[number]
        try:
            if not worker.pipe.poll():
                if worker.process.is_alive():
                    return None
                raise EOFError
            kind, value, seconds = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self._bury(number)
        if kind == "ready":
            worker.is_ready = self.is_proven = True
            return None
        if kind == "done":
            return Answer(worker=number, value=value, seconds=seconds)
        raise value

    def _bury(self, number: int) -> Death:
        worker = self._workers.pop(number)
        worker.process.join()
        worker.pipe.close()
        reason = _reason(worker.process.exitcode)
        if not worker.is_ready and not self.is_proven:
            raise CannotBegin(f"a worker {reason} before it could begin; use fewer --workers, or a smaller model")
        return Death(worker=number, reason=reason)


def _reason(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    words = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{words}"


def _serve(pipe: Connection, make: Callable[[], Handler]) -> None:
    """The life of a worker: the driver alone is told by Ctrl-C, and tells the worker by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    try:
        handle = make()
        pipe.send(("ready", None, 0.0))
        while True:
            pipe.send(answer_to(handle, pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        pipe.send(("error", sendable(error), 0.0))


def _end_with_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
