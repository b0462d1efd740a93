"""`maskreel predict --ray` on a cluster of two nodes: the bytes of one process, whoever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maskreel.api import render_dataset
from maskreel.cli.main import main
from maskreel.manifest import MANIFEST
from maskreel.rendered.dials import SyntheticDials
from tests.builders import write_youtube_vis
from tests.cli.test_predict import random_model
from tests.cli.test_predict_many import contents, lines
from tests.spread.clusters import command_of, two_nodes

pytestmark = pytest.mark.nightly
BEFORE, AFTER = 30, 30
"""Videos on either side of the long one."""
FRAMES, LONG = 10, 2000
"""Frames of a video, and of the one that is cut into stretches."""
VIDEOS = BEFORE + 1 + AFTER


@pytest.fixture
def cluster() -> Iterator[Any]:
    with two_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model, folders of rendered frames, one of them long, and options."""
    folder = tmp_path_factory.mktemp("many")
    sets = [("before", BEFORE, FRAMES), ("long", 1, LONG), ("after", AFTER, FRAMES)]
    for seed, (name, number, frames) in enumerate(sets):
        dials = SyntheticDials(frames=frames, height=64, width=96)
        render_dataset(folder / name, videos=number, seed=10_000 + seed, dials=dials)
    videos = [str(folder / name / "train/JPEGImages") for name, _, _ in sets]
    model = random_model(folder / "model")
    return [model, *videos, "--min-score", "0", "--device", "cpu", "--no-overlay", "--quiet"]


@pytest.fixture(scope="module", params=[(), ("--memory", "20")], ids=["", "with memory"])
def whole(request: pytest.FixtureRequest, common: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The words, and what one process makes of them."""
    words, out = [*common, *request.param], tmp_path_factory.mktemp("whole") / "out"
    assert main(["predict", *words, "--out", str(out)]) == 0
    return words, contents(out)


def on_cluster(words: list[str], out: Path, cluster: Any, workers: int) -> list[str]:
    address = ["--ray", "--ray-address", cluster.address, "--workers", str(workers)]
    return [sys.executable, "-m", "maskreel.cli.main", "predict", *words, "--out", str(out), *address]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_bytes_are_those_of_one_process(workers: int, whole: Any, cluster: Any, tmp_path: Path) -> None:
    words, wanted = whole
    subprocess.run(on_cluster(words, tmp_path / "out", cluster, workers), check=True)
    assert contents(tmp_path / "out") == wanted
    assert all(line["state"] == "done" for line in lines(tmp_path / "out").values())


def wait_for_lines(out: Path, count: int, driver: "subprocess.Popen[bytes]") -> None:
    while not (out / MANIFEST).is_file() or len((out / MANIFEST).read_bytes().splitlines()) < count:
        assert driver.poll() is None, "it was done before anything could be killed"
        time.sleep(0.01)


def actors() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if b"ray::_Actor" in command_of(path)]


def test_a_worker_and_then_a_node_are_lost_and_nothing_else(whole: Any, cluster: Any, tmp_path: Path) -> None:
    words, wanted = whole
    out = tmp_path / "out"
    driver = subprocess.Popen(on_cluster(words, out, cluster, 3))
    wait_for_lines(out, 1, driver)
    os.kill(actors()[0], signal.SIGKILL)
    wait_for_lines(out, BEFORE + 1, driver)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert driver.wait(300) == 0
    assert contents(out) == wanted
    assert len(lines(out)) == VIDEOS


def test_a_driver_that_was_killed_goes_on(whole: Any, cluster: Any, tmp_path: Path) -> None:
    words, wanted = whole
    out = tmp_path / "out"
    command = on_cluster(words, out, cluster, 2)
    driver = subprocess.Popen(command)
    wait_for_lines(out, BEFORE + 1, driver)
    driver.kill()
    driver.wait()
    before = lines(out)
    subprocess.run([*command, "--resume"], check=True)
    assert contents(out) == wanted
    assert all(lines(out)[unit] == line for unit, line in before.items() if line["state"] == "done")


def test_a_split_is_evaluated_with_the_figures_of_one_process(cluster: Any, tmp_path: Path) -> None:
    write_youtube_vis(tmp_path / "data", split="valid", num_videos=3)
    words = [
        "evaluate",
        random_model(tmp_path / "model"),
        "--data.root",
        str(tmp_path / "data"),
        "--data.split",
        "valid",
    ]
    assert main([*words, "--out", str(tmp_path / "one"), "--quiet"]) == 0
    address = ["--ray", "--ray-address", cluster.address, "--workers", "2", "--quiet"]
    command = [sys.executable, "-m", "maskreel.cli.main", *words, "--out", str(tmp_path / "two"), *address]
    subprocess.run(command, check=True)
    assert (tmp_path / "two/results.json").read_bytes() == (tmp_path / "one/results.json").read_bytes()
    assert json.loads((tmp_path / "two/metrics.json").read_text()) == json.loads(
        (tmp_path / "one/metrics.json").read_text()
    )
