"""Several processes on one machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from maskreel.device import choose_device
from maskreel.errors import UsageError
from maskreel.training.distributed import processes, world_mean
from maskreel.training.recipe import Recipe
from maskreel.training.run_folder import write_recipe

SCRIPT = """
import sys
from pathlib import Path
from maskreel.training.loop import train
from maskreel.training.run_folder import read_recipe
train(read_recipe(Path(sys.argv[1])), Path(sys.argv[2]), quiet=True)
"""


def test_a_plain_run_is_one_process_and_its_mean_is_the_value() -> None:
    with processes("cpu") as group:
        assert (group.rank, group.world_size, group.is_first) == (0, 1, True)
        assert world_mean(torch.tensor(3.0)) == 3


@pytest.mark.parametrize("name", ["gpu", "meta", "mps"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="no CUDA"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


@pytest.mark.slow
def test_two_processes_train_one_run(recipe: Recipe, tmp_path: Path) -> None:
    write_recipe(tmp_path, recipe)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(tmp_path / "run")],
            env={**os.environ, **environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["run"]
    state = json.loads((tmp_path / "run/checkpoints/step-00000006/state.json").read_text())
    # Six steps of two clips, one in each of two processes, from an epoch of twelve clips.
    assert state["sampler"] == {"epoch": 1, "position": 0, "seed": 0, "num_clips": 12}
    assert len(state["others"]) == 1
