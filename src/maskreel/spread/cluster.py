"""Workers that are actors of a Ray cluster (extra `ray`): on many machines, or a cluster of this one alone.

Ray carries units and answers, says which actor is lost, and places actors; what a lost one had is done again by
`work.work_through`, which knows what belongs to a unit, and which Ray Data's operators do not tell.
"""

import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from maskreel.errors import UsageError
from maskreel.spread.work import Answer, CannotBegin, Death, Handler, answer_to, sendable

logger = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 10.0
SECONDS_TO_PLACE = 60.0
"""For a further worker that the cluster has no room for; the others have its unit then."""
MOST_FALSE_STARTS = 8
"""Workers in a row that may end before they can begin, as those do that are sent to a machine just lost."""
SETTINGS = b"\x04"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + SETTINGS + b"\0\0\0\0\0"
"""The preface of HTTP/2 with an empty frame of settings, which a server answers with its own."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_DEDUP_LOGS": "0"}


@dataclass(eq=False, kw_only=True)
class _Worker:
    actor: Any
    hired: float
    waiting: list[Any]
    """References to its answers, the oldest first."""
    place: tuple[int, str] | None = None
    """Process and node, when it has one."""
    given: list[Any] = field(default_factory=list)
    """Units that wait until it is ready."""
    is_ready: bool = False
    """Whether it has made what does its units, which may take minutes: models are large."""


class RayCrew:
    """Actors, each of which calls `make` once and what it returns for every unit. A context: it ends them all."""

    def __init__(
        self,
        make: Callable[[], Handler],
        *,
        address: str | None = None,
        workers: int | None = None,
        gpus_per_worker: float = 0.0,
    ) -> None:
        """`make`, units and answers must be picklable.

        `address` as Ray writes it (`host:port`, `ray://host:port`, `auto`); None starts a cluster of this machine.
        Without a number of workers there are as many as the cluster has processors, or graphics cards for. UsageError
        where Ray is not installed and, on entering, where no cluster answers or has room.
        """
        try:
            import ray
        except ImportError as error:
            raise UsageError('--ray needs Ray; install it with: pip install "maskreel[ray]"') from error
        self._ray: Any = ray
        self._make, self._address, self._asked, self._gpus = make, address, workers, gpus_per_worker
        self._workers: dict[int, _Worker] = {}
        self._hired = 0
        self.workers = 0
        """How many may be hired."""
        self.is_proven = False
        """Whether any worker has been ready."""
        self._false_starts = 0

    def __enter__(self) -> "RayCrew":
        self._connect()
        try:
            self.workers = self._room()
        except UsageError:
            self._ray.shutdown()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            self._ray.kill(worker.actor)
        self._ray.shutdown()

    def hire(self) -> int:
        self._hired += 1
        # Processors are counted by `workers`, not reserved: one hired for a worker lost with its node finds a place.
        options = {"num_cpus": 0, "num_gpus": self._gpus, "scheduling_strategy": "SPREAD", "max_restarts": 0}
        actor = self._ray.remote(_Actor).options(**options).remote()
        waiting = [actor.place.remote(), actor.begin.remote(self._make)]
        self._workers[self._hired] = _Worker(actor=actor, hired=time.monotonic(), waiting=waiting)
        return self._hired

    def give(self, worker: int, unit: Any) -> None:
        one = self._workers[worker]
        one.given.append(unit)
        if one.is_ready:
            self._send(one)

    def wait(self, seconds: float) -> Sequence[Answer | Death]:
        numbers = {ref: number for number, worker in self._workers.items() for ref in worker.waiting[:1]}
        done, left = self._ray.wait(list(numbers), num_returns=1, timeout=seconds)
        if done and left:
            done += self._ray.wait(left, num_returns=len(left), timeout=0)[0]
        events = [self._event(numbers[ref], ref) for ref in done]
        return [event for event in (*events, *self._without_place()) if event is not None]

    def stop(self) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for worker in self._workers.values():
            if worker.place is not None:
                process, node = worker.place
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                self._ray.remote(_tell).options(num_cpus=0, scheduling_strategy=there).remote(process)

    def _connect(self) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        address = self._address
        if address is not None:
            _require_answer(address)
        how = {"num_cpus": self._asked, "include_dashboard": False} if address is None else {}
        try:
            self._ray.init(
                address=address or "local", logging_level=logging.ERROR, log_to_driver=address is None, **how
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = "--ray" if address is None else f"--ray-address {address}"
            raise UsageError(f"{where}: {_first_sentence(error)}") from error

    def _room(self) -> int:
        """How many workers the cluster has room for, at most as many as were asked for; UsageError for none."""
        found = self._ray.cluster_resources()
        processors, cards = int(found.get("CPU", 0)), found.get("GPU", 0.0)
        room = (
            int(cards * int(1 / self._gpus) if 0 < self._gpus < 1 else cards // self._gpus)
            if self._gpus
            else processors
        )
        if not room:
            what = f"graphics card for --gpus-per-worker {self._gpus:g}" if self._gpus else "processor"
            raise UsageError(f"the cluster has no {what}; it has {processors} processors and {cards:g} graphics cards")
        if self._asked is not None and self._asked > room:
            logger.warning("--workers %d: the cluster has room for %d", self._asked, room)
        return min(room, self._asked or room)

    def _event(self, number: int, ref: Any) -> Answer | Death | None:
        """What a worker has answered, or that it is no more."""
        worker = self._workers[number]
        worker.waiting.remove(ref)
        try:
            kind, value, seconds = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._bury(number, str(error))
        if kind == "placed":
            worker.place = value
            return None
        if kind == "ready":
            worker.is_ready = self.is_proven = True
            self._false_starts = 0
            self._send(worker)
            return None
        if kind == "done":
            return Answer(worker=number, value=value, seconds=seconds)
        raise value

    def _send(self, worker: _Worker) -> None:
        """Have it do what it was given, once it is ready: its death is that of the unit from then on."""
        while worker.given:
            worker.waiting.append(worker.actor.do.remote(worker.given.pop(0)))

    def _bury(self, number: int, error: str) -> Death:
        worker = self._workers.pop(number)
        if missing := re.search(r"No module named '([^']+)'", error):
            raise UsageError(f"a worker lacks the package {missing[1]}; install it on every machine")
        self._false_starts += not worker.is_ready
        if not worker.is_ready and (not self.is_proven or self._false_starts > MOST_FALSE_STARTS):
            raise CannotBegin(f"a worker ended before it could begin: {_first_sentence(error)}")
        is_lost = re.search(r"\bnode\b.*\bdied\b", error, re.IGNORECASE) is not None
        return Death(
            worker=number,
            reason="was lost with its machine" if is_lost else "ended",
            is_of_unit=worker.is_ready and not is_lost,
        )

    def _without_place(self) -> list[Death]:
        """Workers that the cluster has no room for any more, while others work."""
        ready = [worker for worker in self._workers.values() if worker.is_ready]
        late = time.monotonic() - SECONDS_TO_PLACE
        lost = [
            number for number, worker in self._workers.items() if ready and worker.place is None and worker.hired < late
        ]
        for number in lost:
            self._ray.kill(self._workers.pop(number).actor)
        return [Death(worker=number, reason="found no place in the cluster", is_of_unit=False) for number in lost]


class _Actor:
    """A worker, wherever Ray puts it; its methods run one after the other in the main thread of its process."""

    def place(self) -> tuple[str, Any, float]:
        import ray

        return "placed", (os.getpid(), ray.get_runtime_context().get_node_id()), 0.0

    def begin(self, make: Callable[[], Handler]) -> tuple[str, Any, float]:
        try:
            self._handle = make()
        except Exception as error:
            return "error", sendable(error), 0.0
        return "ready", None, 0.0

    def do(self, unit: Any) -> tuple[str, Any, float]:
        return answer_to(self._handle, unit)


def _tell(process: int) -> None:
    os.kill(process, signal.SIGTERM)


def _require_answer(address: str) -> None:
    """UsageError where nobody speaks HTTP/2, as gRPC does; Ray itself would try for eight minutes."""
    if address == "auto":
        return
    place = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+)\]?:(\d{1,5})", address)
    if place is None:
        raise UsageError(f"--ray-address {address}: expected HOST:PORT, ray://HOST:PORT or auto")
    try:
        with socket.create_connection((place[1], int(place[2])), timeout=SECONDS_TO_CONNECT) as connection:
            connection.sendall(GREETING)
            is_greeted = _is_encrypted() or connection.recv(9)[3:4] == SETTINGS
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"--ray-address {address}: no cluster answers there ({reason.lower()})") from error
    if not is_greeted:
        raise UsageError(f"--ray-address {address}: what answers there is no cluster")


def _is_encrypted() -> bool:
    return os.environ.get("RAY_USE_TLS", "0") not in ("", "0")


def _first_sentence(error: object) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
