"""Which device a word means."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from maskreel.device import choose_device, without_values
from maskreel.errors import UsageError


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda", 0)


def test_every_process_of_a_machine_takes_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name, local_rank=3).index for name in ("auto", "cuda")] == [3, 3]
    assert choose_device("cuda:1", local_rank=3) == torch.device("cuda", 1)
    assert choose_device("cpu", local_rank=3) == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_is_refused_where_there_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=f"device '{name}': this machine, or this build of torch, has no CUDA"):
        choose_device(name)


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "cpu:"])
def test_words_that_name_no_device_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '{name}' is unknown; use auto, cpu, cuda or cuda:1"):
        choose_device(name)


@pytest.mark.parametrize("name", ["meta", "mps", "xpu"])
def test_devices_of_other_kinds_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '{name}' is not supported"):
        choose_device(name)


ROOT = Path(__file__).parents[1]
COMPILER = """
import sys
import torch
from maskreel.models.folder import load_model
from tests.builders import clip_batch
model = load_model("bundled").model
with torch.inference_mode():
    model(clip_batch(((96, 160),), num_frames=2))
print(sorted({"torch._dynamo", "sympy"} & sys.modules.keys()))
"""


def test_a_model_is_loaded_and_run_without_the_compiler_of_pytorch() -> None:
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr == ""
    assert done.stdout == "[]\n"


def test_parameters_without_values_are_left_as_memory_was() -> None:
    layer = torch.nn.Embedding(2, 3)
    before = layer.weight.detach().clone()
    with without_values():
        torch.nn.init.kaiming_normal_(layer.weight)
        torch.nn.init.normal_(layer.weight)
        layer.reset_parameters()
        filled = torch.zeros(2).fill_(3)
    torch.testing.assert_close(layer.weight.detach(), before)
    assert filled.tolist() == [3, 3]
    layer.reset_parameters()
    assert (layer.weight != before).any()
