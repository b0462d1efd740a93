"""Workers that are actors of a Ray cluster, on this machine or on many."""

import logging
import re
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from maskreel.errors import DataError, OptionError, UsageError
from maskreel.spread.work import Answer, CannotBegin, Death

logger = logging.getLogger(__name__)

SECONDS_TO_ANSWER = 10.0
"""That something listens at an address."""
SECONDS_TO_JOIN = 60.0
"""That what listens there is a cluster and takes us."""


MOST_FAILED = 3
"""Actors that may die one after the other before they begin."""


class Actor:
    """What a worker of the cluster is: it calls `make` once and what that returns for every unit."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._handle: Callable[[Any], Any] | None = None

    def begin(self) -> tuple[Exception | None, str]:
        """Why it cannot work, or None; and the machine that it is on."""
        try:
            self._handle = self._make()
        except (UsageError, OptionError, DataError) as error:
            return type(error)(str(error)), socket.gethostname()
        except ImportError as error:
            return _lacking(error.name or str(error)), socket.gethostname()
        return None, socket.gethostname()

    def do(self, unit: Any) -> tuple[Any, float]:
        assert self._handle is not None, "begin comes first"
        start = time.monotonic()
        try:
            return self._handle(unit), time.monotonic() - start
        except Exception as error:
            raise RuntimeError(f"in a worker: {''.join(traceback.format_exception(error))}") from None


@dataclass(eq=False, kw_only=True)
class _Hand:
    """An actor of ours; one that has no machine yet has not begun."""

    number: int
    actor: Any
    doing: Any
    """Reference to what it does."""
    host: str = ""
    worker: int | None = None
    """Whose unit it does; None while it begins and when it is free."""
    has_begun: bool = False


@dataclass(kw_only=True)
class Cluster:
    """Where the actors are."""

    address: str | None = None
    """None: one that is begun on this machine and ends with the command."""
    gpus_per_worker: float = 0.0

    def __enter__(self) -> "Cluster":
        """Raises UsageError where Ray is not installed or no cluster answers."""
        ray = _ray()
        if ray.is_initialized():
            self._is_ours = False
            return self
        self._is_ours = True
        if self.address not in (None, "auto", "local"):
            _require_answer(self.address)
        _in_time(
            lambda: ray.init(
                address=self.address or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                namespace="maskreel",
            ),
            f"--ray-address {self.address}: no Ray cluster answers there",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours:
            _ray().shutdown()

    def num_workers(self) -> int:
        """As many as the cluster has room for."""
        resources = _ray().cluster_resources()
        if self.gpus_per_worker:
            return max(1, int(resources.get("GPU", 0) / self.gpus_per_worker))
        return max(1, int(resources.get("CPU", 1)))


@dataclass(kw_only=True)
class ClusterCrew:
    """Workers of a cluster; a context that ends them. Units wait here until an actor has a machine and is free."""

    make: Callable[[], Callable[[Any], Any]]
    gpus_per_worker: float = 0.0
    _hands: dict[int, _Hand] = field(default_factory=dict)
    _waiting: deque[tuple[int, Any]] = field(default_factory=deque)
    _names: dict[int, str] = field(default_factory=dict)
    _failed: int = 0
    """Actors that died before they had begun, since one has."""
    _lost: list[Death] = field(default_factory=list)
    _hired: int = 0
    _workers: int = 0

    def __enter__(self) -> "ClusterCrew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def hire(self) -> int:
        self._workers += 1
        return self._workers

    def give(self, worker: int, unit: Any) -> None:
        self._waiting.append((worker, unit))
        wanted = len(self._waiting) + sum(hand.worker is not None for hand in self._hands.values())
        while len(self._hands) < wanted:
            self._start()
        self._assign()

    def wait(self, seconds: float) -> Sequence[Answer | Death]:
        ray = _ray()
        busy = {hand.doing: hand for hand in self._hands.values() if hand.doing is not None}
        if self._lost or not busy:
            events, self._lost = self._lost, []
            return events
        ready, _ = ray.wait(list(busy), num_returns=len(busy), timeout=0)
        if not ready:
            ready, _ = ray.wait(list(busy), num_returns=1, timeout=seconds)
        events = [event for one in ready if (event := self._event(busy[one])) is not None]
        self._assign()
        return events

    def stop(self) -> None:
        """What is being done is left; it is done again when the command is resumed."""
        for hand in self._hands.values():
            _ray().kill(hand.actor)
        busy = [hand.worker for hand in self._hands.values() if hand.worker is not None]
        self._lost = [Death(worker=worker, reason="was stopped") for worker in (*busy, *dict(self._waiting))]
        self._hands = {}
        self._waiting.clear()

    def name(self, worker: int) -> str:
        return self._names.get(worker, str(worker))

    def _start(self) -> None:
        ray = _ray()
        self._hired += 1
        options: dict[str, Any] = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0}
        if self.gpus_per_worker:
            options["num_gpus"] = self.gpus_per_worker
        actor = ray.remote(Actor).options(**options).remote(self.make)
        self._hands[self._hired] = _Hand(number=self._hired, actor=actor, doing=actor.begin.remote())

    def _assign(self) -> None:
        for hand in self._hands.values():
            if self._waiting and hand.doing is None:
                hand.worker, unit = self._waiting.popleft()
                self._names[hand.worker] = f"{hand.host}/{hand.number}"
                hand.doing = hand.actor.do.remote(unit)

    def _event(self, hand: _Hand) -> Answer | Death | None:
        ray = _ray()
        try:
            found = ray.get(hand.doing)
        except ray.exceptions.RayActorError as error:
            return self._lose(hand, error)
        except ray.exceptions.RayTaskError as error:
            raise _lacking_in(str(error)) or RuntimeError(str(error)) from None
        hand.doing, worker = None, hand.worker
        if not hand.has_begun:
            refusal, hand.host = found
            if refusal is not None:
                raise refusal
            hand.has_begun, self._failed = True, 0
            return None
        assert worker is not None, "an actor that has begun does what a worker was given"
        hand.worker = None
        return Answer(worker=worker, value=found[0], seconds=found[1])

    def _lose(self, hand: _Hand, error: Exception) -> Death | None:
        del self._hands[hand.number]
        if (refusal := _lacking_in(str(error))) is not None:
            raise refusal
        if hand.worker is not None:
            return Death(worker=hand.worker, reason=f"on {hand.host} was lost")
        if not hand.has_begun:
            self._failed += 1
        if self._failed >= MOST_FAILED:
            reason = str(error).strip().splitlines()[0]
            raise CannotBegin(f"{self._failed} workers of the cluster died before they could begin ({reason})")
        if self._waiting and len(self._hands) < len(self._waiting):
            self._start()
        return None


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'maskreel[ray]'") from error
    return ray


def _lacking_in(text: str) -> UsageError | None:
    """The sentence for an error of an actor that says that a package is lacking."""
    found = re.search(r"No module named '([\w.]+)'", text)
    return _lacking(found[1]) if found else None


def _lacking(name: str) -> UsageError:
    return UsageError(
        f"a worker of the cluster lacks the package {name.partition('.')[0]}; install on every machine what this "
        "one has"
    )


def _require_answer(address: str) -> None:
    """UsageError unless something listens at HOST:PORT."""
    place = address.partition("://")[2] or address
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--ray-address {address}: expected HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise UsageError(
            f"--ray-address {address}: no cluster answers there ({error.strerror or error}); start one with ray start "
            "--head, or leave out --ray-address for one on this machine"
        ) from error


def _in_time(act: Callable[[], Any], sentence: str) -> None:
    """Do something that may wait for ever; UsageError where it fails or takes too long."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_JOIN)
    if thread.is_alive():
        raise UsageError(f"{sentence} within {SECONDS_TO_JOIN:g} seconds")
    if failure:
        reason = str(failure[0]).strip().splitlines()
        raise UsageError(f"{sentence} ({reason[0] if reason else type(failure[0]).__name__})") from failure[0]
