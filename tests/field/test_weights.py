"""Weights as people have them become a model folder with every tensor explained, or are refused in a sentence."""

import argparse
import collections
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.cli.main import main
from maskreel.models.folder import build_model, load_model, read_unused
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig

CONFIG = SeqFormerConfig(
    backbone=ResNetConfig(depth=18, width=8),
    transformer=DeformableTransformer(width=32, hidden=8, encoder_layers=1, decoder_layers=2),
    queries=BoxQueries(count=5),
)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return {name: entry.values.clone() for name, entry in to_seqformer(build_model(CONFIG)).items()}


def convert(weights: Path, *words: str) -> int:
    return main(["convert", str(weights), str(weights.parent / "model"), *words])


def prefixed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {f"{prefix}{name}": values for name, values in state.items()}


def beside(**others: Any) -> Callable[[State], Any]:
    return lambda state: {"model": state, **others}


READ: dict[str, Callable[[State], Any]] = {
    "as released": beside(epoch=11, args=argparse.Namespace(lr=1e-4)),
    "data parallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "data parallel and compiled": prefixed("module._orig_mod."),
    "compiled and data parallel": prefixed("_orig_mod.module."),
    "a training framework": lambda state: {"state_dict": prefixed("model.")(state), "epoch": 3},
    "a training framework over all": lambda state: {"state_dict": prefixed("model._orig_mod.module.")(state)},
    "a student": prefixed("student.module."),
    "sharded data parallel": prefixed("_fsdp_wrapped_module."),
    "a training framework with the tensors of its loss": lambda state: {
        "state_dict": prefixed("model.")(state) | {"criterion.empty_weight": torch.ones(3)}
    },
    "an entry of an entry": lambda state: {"model": {"state_dict": prefixed("module.")(state), "epoch": 3}},
    "averaged": lambda state: prefixed("module.")(state) | {"n_averaged": torch.tensor(3)},
    "a part compiled": lambda state: {
        name.replace("backbone.0", "backbone._orig_mod.0"): x for name, x in state.items()
    },
    "numpy scalars": beside(best=np.float64(0.4), step=np.int64(7), curve=np.arange(3.0)),
    "a defaultdict": beside(losses=collections.defaultdict(list, label=[0.5])),
    "a path": beside(folder=Path("runs/a")),
    "batches counted": lambda state: state | {"detr.backbone.0.body.bn1.num_batches_tracked": torch.tensor(9)},
}


@pytest.mark.parametrize("kind", READ)
def test_weights_are_read_without_what_stands_around_them(
    kind: str, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(READ[kind](state), tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth") == 0, capsys.readouterr().err
    assert "unexplained: none" in capsys.readouterr().out
    assert_same(tmp_path / "model", state)


UNTOLD: dict[str, tuple[Callable[[State], Any], list[str], int, str]] = {
    "two of one rank": (
        lambda state: {"teacher": state, "student": state},
        [],
        1,
        "holds weights under teacher, student; name one of them with --key",
    ),
    "an entry that is not there": (beside(), ["--key", "model.nope"], 2, "--key model.nope: "),
    "tensors without numbers": (
        lambda state: {name: values.to("meta") for name, values in state.items()},
        [],
        1,
        "is a tensor without numbers",
    ),
}


@pytest.mark.parametrize("kind", UNTOLD)
def test_weights_that_cannot_be_told_are_refused_in_a_sentence(
    kind: str, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, words, code, said = UNTOLD[kind]
    torch.save(build(state), tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth", *words) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_an_entry_of_an_entry_is_named_with_a_point(state: State, tmp_path: Path) -> None:
    torch.save({"runs": {"teacher": {}, "student": prefixed("module.")(state)}}, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth", "--key", "runs.student") == 0
    assert_same(tmp_path / "model", state)


def test_weights_that_are_not_finite_are_told(state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = next(name for name in state if "bbox_embed.0.layers.0.weight" in name)
    torch.save({one: x * torch.nan if one.endswith(name[-30:]) else x for one, x in state.items()}, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth") == 0
    assert "tensors hold values that are not finite, such as" in caplog.text


def assert_same(folder: Path, state: State) -> None:
    loaded = load_model(str(folder))
    assert loaded.config == CONFIG
    again = to_seqformer(loaded.model, read_unused(folder))
    assert all(torch.equal(again[name].values, values) for name, values in state.items())


def test_averaged_weights_beside_the_others_are_named_and_chosen(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    averaged = {name: values + 1 if values.is_floating_point() else values for name, values in state.items()}
    torch.save({"model": state, "model_ema": prefixed("module.")(averaged)}, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth") == 0
    assert "model_ema stand beside them (--key model_ema takes those)" in capsys.readouterr().err
    (tmp_path / "model").rename(tmp_path / "first")
    assert convert(tmp_path / "x.pth", "--key", "model_ema") == 0
    assert_same(tmp_path / "first", state)
    assert_same(tmp_path / "model", averaged)


def test_a_key_that_is_not_there_is_answered_with_those_that_are(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": state, "ema": state}, tmp_path / "x.pth")
    assert convert(tmp_path / "x.pth", "--key", "model_ema") == 2
    assert "holds no weights under that name; it holds: model, ema" in capsys.readouterr().err


@pytest.mark.parametrize(("ending", "save"), [(".safetensors", save_file), (".bin", torch.save)])
@pytest.mark.parametrize("is_folder", [True, False])
def test_a_model_in_several_files_is_read_by_its_index_or_its_folder(
    is_folder: bool, ending: str, save: Callable[..., None], state: State, tmp_path: Path
) -> None:
    folder = sharded(tmp_path, ending, save, state)
    weights = folder if is_folder else folder / f"model{ending}.index.json"
    assert main(["convert", str(weights), str(tmp_path / "model")]) == 0
    assert_same(tmp_path / "model", state)


def sharded(folder: Path, ending: str, save: Callable[..., None], state: State) -> Path:
    folder = folder / "sharded"
    folder.mkdir()
    places = {key: f"model-{place % 3}{ending}" for place, key in enumerate(sorted(state))}
    for file in set(places.values()):
        save({key: state[key].clone() for key, place in places.items() if place == file}, folder / file)
    (folder / f"model{ending}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def test_a_shard_that_was_not_downloaded_is_named(
    state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sharded(tmp_path, ".safetensors", save_file, state)
    (folder / "model-1.safetensors").unlink()
    assert main(["convert", str(folder), str(tmp_path / "model")]) == 1
    assert "names model-1.safetensors, which is not beside it" in capsys.readouterr().err


def test_an_index_leads_to_no_other_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.safetensors.index.json").write_text('{"weight_map": {"a": "../secret.safetensors"}}')
    assert convert(tmp_path / "m.safetensors.index.json") == 1
    assert "only files beside the index are read" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_was_exported_comes_back_bit_by_bit(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the bundled model, whose batch norms count, and whose classes are fewer than its logits there."""
    weights = tmp_path / f"x{ending}"
    assert main(["export-weights", "bundled", str(weights)]) == 0
    assert convert(weights, "--heads", str(load_model("bundled").config.transformer.num_heads)) == 0
    assert "unexplained: none" in capsys.readouterr().out
    ours, theirs = load_model("bundled"), load_model(str(tmp_path / "model"))
    assert theirs.classes == ours.classes
    state = ours.model.state_dict()
    assert all(torch.equal(values, state[name]) for name, values in theirs.model.state_dict().items())


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


REFUSED: dict[str, tuple[bytes, str]] = {
    "an HTML page": (b"<!DOCTYPE html><html><body>Google Drive can't scan this file</body></html>", "HTML page"),
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "nothing": (b"", "the file is empty"),
    "text": (b"see the other folder", "plain text"),
    "an array of objects": (
        pickle.dumps({"model": {"backbone.conv1.weight": np.array([{}, []], dtype=object)}}),
        "backbone.conv1.weight",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_weights_is_named_as_what_it_is(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = REFUSED[kind]
    (tmp_path / "model.pth").write_bytes(content)
    assert convert(tmp_path / "model.pth") == 1
    said = capsys.readouterr().err
    assert "model.pth" in said
    assert words in said
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("is_archive", [True, False])
def test_nothing_that_stands_in_a_file_is_run(
    is_archive: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"model": {"a": torch.zeros(1)}, "x": Runs(tmp_path / "was_run")}
    if is_archive:
        torch.save(content, tmp_path / "x.pth")
        assert zipfile.is_zipfile(tmp_path / "x.pth")
    else:
        (tmp_path / "x.pth").write_bytes(pickle.dumps({"x": Runs(tmp_path / "was_run")}))
    assert convert(tmp_path / "x.pth") == 1
    assert "wants to import" in capsys.readouterr().err
    assert not (tmp_path / "was_run").exists()
