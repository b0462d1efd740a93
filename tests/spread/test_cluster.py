"""A Ray cluster of two nodes on this machine: everything is done once, whichever worker or node dies."""

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from maskreel.errors import DataError, UsageError
from maskreel.spread.cluster import RayCrew
from maskreel.spread.work import work_through
from tests.spread import workers
from tests.spread.clusters import two_nodes
from tests.spread.test_work import until_stopped

pytest.importorskip("ray")


@pytest.fixture
def cluster() -> Iterator[Any]:
    with two_nodes() as made:
        yield made


@pytest.mark.nightly
@pytest.mark.parametrize("count", [1, 2, 4])
def test_every_unit_is_done_once_by_actors(count: int, cluster: Any) -> None:
    with RayCrew(workers.doubler, address=cluster.address, workers=count) as crew:
        assert crew.workers == count
        found = list(work_through(range(20), crew, workers=crew.workers))
    assert sorted((one.unit, one.value) for one in found) == [(unit, 2 * unit) for unit in range(20)]


@pytest.mark.nightly
@pytest.mark.parametrize("times", [1, 2])
def test_an_actor_that_is_killed_is_replaced_and_a_unit_that_kills_two_is_set_aside(
    times: int, cluster: Any, tmp_path: Path
) -> None:
    with RayCrew(partial(workers.deadly, tmp_path, times), address=cluster.address, workers=2) as crew:
        found = {one.unit: one for one in work_through(range(6), crew, workers=crew.workers)}
    assert sorted(found) == list(range(6))
    assert [found[unit].value for unit in (0, 1, 2, 4, 5)] == [0, 2, 4, 8, 10]
    assert (found[3].value, len(found[3].deaths)) == ((6, 0) if times == 1 else (None, 2))


@pytest.mark.nightly
def test_what_a_node_that_dies_was_doing_is_done_by_the_others(cluster: Any) -> None:
    node = next(iter(cluster.worker_nodes))
    with RayCrew(workers.waiting, address=cluster.address, workers=4) as crew:
        found = work_through(range(24), crew, workers=crew.workers)
        first = [next(found) for _ in range(4)]
        cluster.remove_node(node, allow_graceful=False)
        rest = list(found)
    assert sorted((one.unit, one.value) for one in (*first, *rest)) == [(unit, 2 * unit) for unit in range(24)]
    assert all(one.deaths == () for one in rest)


@pytest.mark.nightly
def test_a_worker_that_takes_long_to_begin_has_a_place_all_the_same(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RayCrew(partial(workers.patient, tmp_path), address=cluster.address, workers=2) as crew:
        found = []
        for one in work_through(range(40), crew, workers=2):
            monkeypatch.setattr("maskreel.spread.cluster.SECONDS_TO_PLACE", 5.0)
            found.append(one)
    assert sorted(one.unit for one in found) == list(range(40))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.nightly
def test_a_stop_lets_actors_finish_early(cluster: Any) -> None:
    with RayCrew(workers.slow, address=cluster.address, workers=1) as crew:
        found = work_through(range(5), crew, workers=1, is_stopping=lambda: crew.is_proven)
        assert [(one.unit, one.value) for one in until_stopped(found)] == [(0, "early")]


@pytest.mark.nightly
def test_what_an_actor_cannot_begin_for_is_the_error_of_the_command(cluster: Any) -> None:
    with (
        RayCrew(workers.refusing, address=cluster.address) as crew,
        pytest.raises(DataError, match=r"model\.safetensors: damaged"),
    ):
        list(work_through(range(2), crew, workers=1))
    with (
        RayCrew(workers.lacking, address=cluster.address) as crew,
        pytest.raises(UsageError, match="lacks the package nowhere; install it on every machine"),
    ):
        list(work_through(range(2), crew, workers=1))


@pytest.mark.nightly
def test_no_more_workers_than_the_cluster_has_room_for(cluster: Any, caplog: pytest.LogCaptureFixture) -> None:
    with RayCrew(workers.doubler, address=cluster.address, workers=9) as crew:
        assert crew.workers == 4
    assert "--workers 9: the cluster has room for 4" in caplog.text
    with RayCrew(workers.doubler, address=cluster.address) as crew:
        assert crew.workers == 4
    with pytest.raises(UsageError, match=r"no graphics card for --gpus-per-worker 0\.5; it has 4 processors"):
        RayCrew(workers.doubler, address=cluster.address, gpus_per_worker=0.5).__enter__()


@pytest.mark.parametrize("address", ["here", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="expected HOST:PORT, ray://HOST:PORT or auto"):
        RayCrew(workers.doubler, address=address).__enter__()


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(UsageError, match=rf"--ray-address 127\.0\.0\.1:{port}: no cluster answers there \(.*refused"):
        RayCrew(workers.doubler, address=f"127.0.0.1:{port}").__enter__()
    assert time.monotonic() - begin < 15


@pytest.mark.parametrize(("answer", "sentence"), [(b"HTTP/1.0 400 Bad Request\r\n", "no cluster"), (b"", "timed out")])
def test_an_address_where_something_else_listens_is_refused_in_time(
    answer: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskreel.spread.cluster.SECONDS_TO_CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def accept() -> None:
            connection = listener.accept()[0]
            kept.append(connection)
            connection.sendall(answer)

        thread = threading.Thread(target=accept)
        thread.start()
        with pytest.raises(UsageError, match=f"--ray-address .*{sentence}"):
            RayCrew(workers.doubler, address=f"127.0.0.1:{listener.getsockname()[1]}").__enter__()
        thread.join()
        kept[0].close()
