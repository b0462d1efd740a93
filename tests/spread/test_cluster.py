"""Actors of a Ray cluster as workers; only where Ray is installed."""

import socket
import sys
import time

import pytest

from maskreel.cli.main import main
from maskreel.errors import DataError, UsageError
from maskreel.spread.cluster import Cluster, ClusterCrew
from maskreel.spread.work import work_through
from tests.spread import workers


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", "no cluster answers there"), ("somewhere", "expected HOST:PORT"), ("host:", "expected HOST:PORT")],
)
def test_an_address_where_no_cluster_answers_is_refused(address: str, message: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=message), Cluster(address=address):
        pass


@pytest.mark.skipif("ray" in sys.modules, reason="Ray is imported already")
def test_options_of_a_cluster_need_the_switch_and_the_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["predict", "bundled", "none.mp4"], ["evaluate", "bundled", "--data.root", "."]):
        for option in (["--ray-address", "auto"], ["--gpus-per-worker", "0.5"]):
            assert main([*command, *option]) == 2
            assert f"{option[0]} needs --ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'maskreel\[ray\]'"), Cluster():
        pass


@pytest.mark.nightly
def test_what_listens_but_is_no_cluster_is_given_up_in_time() -> None:
    pytest.importorskip("ray")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        start = time.monotonic()
        with (
            pytest.raises(UsageError, match="no Ray cluster answers there"),
            Cluster(address=f"127.0.0.1:{deaf.getsockname()[1]}"),
        ):
            pass
        assert time.monotonic() - start < 100


@pytest.mark.nightly
def test_actors_do_every_unit_once_and_say_what_they_cannot_begin_for() -> None:
    pytest.importorskip("ray")
    with Cluster() as cluster:
        assert cluster.num_workers() >= 1
        with ClusterCrew(make=workers.doubler) as crew:
            found = list(work_through(range(20), crew, workers=2))
        assert sorted((one.unit, one.value) for one in found) == [(unit, 2 * unit) for unit in range(20)]
        with ClusterCrew(make=workers.refusing) as crew, pytest.raises(DataError, match="damaged"):
            list(work_through(range(2), crew, workers=1))
        with ClusterCrew(make=workers.lacking) as crew, pytest.raises(UsageError, match="lacks the package nowhere"):
            list(work_through(range(2), crew, workers=1))
        with ClusterCrew(make=workers.dying) as crew, pytest.raises(DataError, match="before they could begin"):
            list(work_through(range(2), crew, workers=1))
