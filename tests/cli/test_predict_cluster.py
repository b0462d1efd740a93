"""`predict --ray` on a cluster of two nodes on this machine: same bytes, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import main
from maskreel.manifest import MANIFEST
from tests.cli.test_predict import predict, random_model
from tests.cli.test_predict_many import contents, lines
from tests.video.videos import write_test_video

pytestmark = pytest.mark.nightly

NUM_VIDEOS, LONG = 60, 2000


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        write_test_video(folder / f"v{number:02d}.mp4", num_frames=3 + number % 5)
    write_test_video(folder / "long.mp4", num_frames=LONG)
    return folder


@pytest.fixture(scope="module")
def whole(model_folder: str, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert predict(model_folder, videos, "--out", out, "--no-overlay", "--quiet") == 0
    return out


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    nodes.second = nodes.add_node(num_cpus=2)
    yield nodes
    nodes.shutdown()


def command(model_folder: str, videos: Path, out: Path, cluster: Any, *words: str) -> list[str]:
    common = [model_folder, str(videos), "--min-score", "0", "--device", "cpu", "--no-overlay", "--out", str(out)]
    program = [sys.executable, "-m", "maskreel.cli.main", "predict", *common]
    return [*program, "--ray", "--ray-address", cluster.address, *words]


def wait_for_lines(out: Path, count: int, driver: subprocess.Popen) -> None:
    while not (out / MANIFEST).is_file() or (out / MANIFEST).read_bytes().count(b"\n") < count:
        assert driver.poll() is None
        time.sleep(0.02)


def actors() -> list[int]:
    """Processes of actors that work."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_cluster_writes_the_bytes_of_one_process(
    workers: int, model_folder: str, videos: Path, whole: Path, tmp_path: Path, cluster: Any
) -> None:
    out = tmp_path / "out"
    assert subprocess.run(command(model_folder, videos, out, cluster, "--workers", str(workers))).returncode == 0
    assert contents(out) == contents(whole)
    assert sorted(lines(out)) == sorted(lines(whole))
    assert len({line["worker"] for line in lines(out).values()}) <= workers


def test_a_worker_and_a_node_may_die_and_nothing_is_lost(
    model_folder: str, videos: Path, whole: Path, tmp_path: Path, cluster: Any
) -> None:
    out = tmp_path / "out"
    driver = subprocess.Popen(command(model_folder, videos, out, cluster, "--workers", "4"))
    wait_for_lines(out, 5, driver)
    os.kill(actors()[0], signal.SIGKILL)
    wait_for_lines(out, 15, driver)
    cluster.remove_node(cluster.second, allow_graceful=False)
    assert driver.wait() == 0
    assert contents(out) == contents(whole)
    assert {line["state"] for line in lines(out).values()} == {"done"}


def test_a_driver_that_was_killed_is_resumed(
    model_folder: str, videos: Path, whole: Path, tmp_path: Path, cluster: Any
) -> None:
    out = tmp_path / "out"
    words = command(model_folder, videos, out, cluster, "--workers", "2")
    driver = subprocess.Popen(words)
    wait_for_lines(out, 5, driver)
    driver.kill()
    driver.wait()
    before = {unit: line for unit, line in lines(out).items() if line["state"] == "done"}
    assert subprocess.run([*words, "--resume"]).returncode == 0
    assert contents(out) == contents(whole)
    assert all(lines(out)[unit] == line for unit, line in before.items())


def test_evaluation_on_a_cluster_measures_the_same(model_folder: str, tmp_path: Path, cluster: Any) -> None:
    from tests.builders import write_youtube_vis

    write_youtube_vis(tmp_path / "data", split="valid", num_videos=3)
    common = ["evaluate", model_folder, "--data.root", str(tmp_path / "data"), "--device", "cpu", "--quiet"]
    assert main([*common, "--out", str(tmp_path / "one")]) == 0
    words = [sys.executable, "-m", "maskreel.cli.main", *common, "--out", str(tmp_path / "many"), "--ray"]
    assert subprocess.run([*words, "--ray-address", cluster.address, "--workers", "2"]).returncode == 0
    for name in ("metrics.json", "results.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
