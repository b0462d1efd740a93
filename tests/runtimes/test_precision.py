"""What `--precision auto` stands for: a matter of what the processor can do, and told."""

import logging
from pathlib import Path

import pytest
import torch

from maskreel.inference.options import PredictorOptions
from maskreel.inference.predictor import VideoPredictor, settled
from maskreel.models.folder import build_model
from maskreel.runtimes import precision
from maskreel.runtimes.precision import choose_precision, processor_flags
from maskreel.runtimes.pytorch import PyTorchRuntime
from tests.checkpoints.tables import TINY

AMX = frozenset({"avx512f", "amx_tile", "amx_bf16"})


@pytest.mark.parametrize(
    ("flags", "chosen", "reason"),
    [
        (AMX, "bf16", "the processor has AMX"),
        (AMX - {"amx_bf16"}, "float32", "the processor has no AMX"),
        (frozenset({"avx512_bf16"}), "float32", "the processor has no AMX"),
        (frozenset(), "float32", "the processor has no AMX"),
    ],
)
def test_a_processor_computes_in_bf16_where_it_has_amx(
    flags: frozenset[str], chosen: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    assert choose_precision("cpu") == (chosen, reason)
    with caplog.at_level(logging.INFO, logger="maskreel"):
        predictor = VideoPredictor(build_model(TINY["seqformer"]), (), PredictorOptions(precision="auto"))
    assert predictor.options.precision == chosen
    assert f"precision auto: {chosen}, {reason}" in caplog.text


@pytest.mark.parametrize(("has_bf16", "chosen"), [(True, "bf16"), (False, "float32")])
def test_a_gpu_computes_in_bf16_where_it_has_it(has_bf16: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert choose_precision("cuda")[0] == chosen


def test_what_was_chosen_by_hand_stays_and_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    for chosen in ("float32", "bf16"):
        options = PredictorOptions(precision=chosen)
        assert settled(options, build_model(TINY["seqformer"]), "cpu") is options
    assert not caplog.text


def test_an_exported_graph_keeps_its_own_numbers() -> None:
    # What is no module computes elsewhere.
    graph = PyTorchRuntime(build_model(TINY["seqformer"]))
    assert settled(PredictorOptions(precision="auto"), graph, "cpu").precision == "float32"


def test_flags_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu amx_tile amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert processor_flags(file) in ({"fpu", "amx_tile", "amx_bf16"}, frozenset())
    assert processor_flags(tmp_path / "none") == frozenset()
