"""The same training, however many processes share it, on however many machines; and what a lost one costs: nothing."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskreel.errors import UsageError
from maskreel.training.distributed import BatchShare, share_batches
from maskreel.training.recipe import Recipe
from maskreel.training.run_folder import write_recipe
from tests.builders import write_youtube_vis
from tests.checkpoints.tables import TINY

ROOT = Path(__file__).parents[2]
STEPS = "tests.training.shared_steps"
ZERO = {"float64": 1e-10, "float32": 1e-6}
"""Zero but for rounding: gradients of biases that a softmax over frames, or a norm of one channel per group, takes away
again, and what these biases become."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def torchrun(
    processes: int, words: Sequence[str | Path], *, nodes: int = 1, restarts: int = 0
) -> list[subprocess.Popen]:
    """An agent per node, all on this machine."""
    port = free_port()
    place = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    agent = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", f"--nnodes={nodes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*agent, f"--max-restarts={restarts}", *place, *map(str, words)]
    return [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(nodes)
    ]


def finish(running: list[subprocess.Popen]) -> None:
    errors = [process.communicate(timeout=500)[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), errors


def alone(words: Sequence[str | Path]) -> None:
    subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, check=True, timeout=500)


def assert_same_training(one: Path, other: Path, kind: str) -> None:
    """The bounds of the issue: losses within 1e-5 of themselves, weights within 1e-5 of the largest of their tensor."""
    before, after = (json.loads((folder / kind / "losses.json").read_text()) for folder in (one, other))
    for step, (expected, found) in enumerate(zip(before, after, strict=True)):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-12), (kind, step)
    first, second = (load_file(folder / kind / "weights.safetensors") for folder in (one, other))
    for name, expected in first.items():
        bound = max(1e-5 * float(expected.abs().max()), ZERO["float64"]) if expected.is_floating_point() else 0
        torch.testing.assert_close(
            second[name], expected, rtol=0, atol=bound, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_youtube_vis(root, split="train", num_videos=3)
    return root


@pytest.mark.nightly
@pytest.mark.parametrize(("batch", "accumulate", "processes"), [(2, 1, 2), (1, 2, 2), (2, 2, 4)])
def test_all_systems_learn_the_same_on_any_number_of_processes(
    batch: int, accumulate: int, processes: int, data: Path, tmp_path: Path
) -> None:
    """Sharing one batch, having a batch each, and both."""
    kinds = ",".join(TINY)
    words = [kinds, "20", str(batch), str(accumulate), "float64"]
    finish(torchrun(processes, ["-m", STEPS, data, tmp_path / "many", *words]))
    alone([STEPS, data, tmp_path / "one", *words])
    for kind in TINY:
        assert_same_training(tmp_path / "one", tmp_path / "many", kind)


@pytest.mark.nightly
def test_the_first_gradients_agree_in_float32(data: Path, tmp_path: Path) -> None:
    kinds = ",".join(TINY)
    words = [kinds, "1", "2", "1", "float32"]
    finish(torchrun(2, ["-m", STEPS, data, tmp_path / "two", *words]))
    alone([STEPS, data, tmp_path / "one", *words])
    for kind in TINY:
        one, two = (load_file(tmp_path / place / kind / "gradients.safetensors") for place in ("one", "two"))
        assert one.keys() == two.keys()
        for name, expected in one.items():
            bound = max(1e-4 * float(expected.abs().max()), ZERO["float32"])
            torch.testing.assert_close(
                two[name], expected, rtol=0, atol=bound, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.nightly
def test_two_nodes_over_loopback_learn_what_one_process_learns(data: Path, tmp_path: Path) -> None:
    words = ["seqformer", "20", "2", "1", "float64"]
    finish(torchrun(1, ["-m", STEPS, data, tmp_path / "two", *words], nodes=2))
    alone([STEPS, data, tmp_path / "one", *words])
    assert_same_training(tmp_path / "one", tmp_path / "two", "seqformer")


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "share"),
    [
        (2, 8, 1, BatchShare(batch_size=2, accumulate=8, sharers=1)),
        (2, 8, 8, BatchShare(batch_size=2, accumulate=1, sharers=1)),
        (2, 8, 16, BatchShare(batch_size=1, accumulate=1, sharers=2)),
        (1, 18, 6, BatchShare(batch_size=1, accumulate=3, sharers=1)),
        (4, 1, 2, BatchShare(batch_size=2, accumulate=1, sharers=2)),
        (6, 4, 12, BatchShare(batch_size=2, accumulate=1, sharers=3)),
    ],
)
def test_processes_share_the_batches_of_a_step(batch: int, accumulate: int, processes: int, share: BatchShare) -> None:
    found = share_batches(batch, accumulate, processes)
    assert found == share
    assert found.batch_size * found.accumulate * processes == batch * accumulate


@pytest.mark.parametrize(("batch", "accumulate", "processes"), [(2, 8, 3), (1, 1, 2), (2, 8, 32), (5, 3, 2)])
def test_a_number_of_processes_that_does_not_divide_the_step_is_refused(
    batch: int, accumulate: int, processes: int
) -> None:
    with pytest.raises(
        UsageError, match=f"{processes} processes cannot share a step of {accumulate} batches of {batch}"
    ):
        share_batches(batch, accumulate, processes)


TRAIN = """
import sys
from pathlib import Path
from maskreel.training.loop import begin_or_resume
from maskreel.training.run_folder import read_recipe
begin_or_resume(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), quiet=True)
"""


def last_row(run: Path) -> dict[str, str]:
    with (run / "results.csv").open() as file:
        return {name: value for name, value in list(csv.DictReader(file))[-1].items() if name != "time"}


@pytest.mark.nightly
def test_a_run_that_loses_a_process_ends_with_the_same_weights(recipe: Recipe, tmp_path: Path) -> None:
    """With dropout: every process goes on with its own random numbers. Validation is shared, its AP is that of one."""
    from dataclasses import replace

    recipe = replace(recipe, training=replace(recipe.training, steps=20, validate_every=20, ema=0.9))
    write_recipe(tmp_path, recipe)
    (tmp_path / "train.py").write_text(TRAIN)
    finish(torchrun(2, [tmp_path / "train.py", tmp_path, tmp_path / "whole"]))
    run = tmp_path / "lost"
    running = torchrun(2, [tmp_path / "train.py", tmp_path, run], restarts=2)
    while not list(run.glob("checkpoints/step-0000000[4-9]")):
        assert running[0].poll() is None
        time.sleep(0.01)
    pids = Path(f"/proc/{running[0].pid}/task/{running[0].pid}/children").read_text().split()
    victims = [pid for pid in pids if b"train.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(victims[-1]), signal.SIGKILL)
    finish(running)
    for name in ("last", "best", "ema-last", "ema-best"):
        file = f"weights/{name}/model.safetensors"
        assert (run / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), name
    assert last_row(run) == last_row(tmp_path / "whole")
