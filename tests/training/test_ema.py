"""Averaged weights: the formula, their place in a run, and that a resumed run has the same."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from maskreel.errors import OptionError
from maskreel.models.folder import load_model
from maskreel.training.ema import MovingAverage
from maskreel.training.loop import begin_or_resume, train
from maskreel.training.recipe import Recipe, TrainingConfig
from tests.training.test_loop import assert_same_run, train_until_interrupted


def test_the_average_moves_by_the_rest_of_the_decay_and_faster_at_first() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = MovingAverage(model, 0.5)
    nn.init.constant_(model.weight, 1.0)
    expected = 0.0
    for step in range(1, 20):
        average.update(model, step)
        decay = min(0.5, step / (step + 9))
        expected = decay * expected + (1 - decay) * 1.0
        assert float(average.state["weight"]) == pytest.approx(expected, abs=1e-6)


def test_counters_are_copied_and_the_model_gets_its_own_weights_back() -> None:
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, 0.99)
    model(torch.randn(4, 2))
    nn.init.constant_(model.weight, 3.0)
    own = {name: one.clone() for name, one in model.state_dict().items()}
    average.update(model, 1)
    assert int(average.state["num_batches_tracked"]) == 1
    with average.in_place_in(model):
        assert torch.equal(model.weight, average.state["weight"])
        assert not torch.equal(model.weight, own["weight"])
    assert all(torch.equal(one, own[name]) for name, one in model.state_dict().items())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(OptionError, match="ema"):
        TrainingConfig(ema=decay)


@pytest.mark.slow
def test_averaged_weights_are_measured_kept_and_resumed_exactly(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, training=replace(recipe.training, ema=0.9, validate_every=6))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(recipe, whole, quiet=True)
    train_until_interrupted(recipe, cut, lambda: (cut / "checkpoints/step-00000002").exists())
    begin_or_resume(recipe, cut, quiet=True)
    assert_same_run(whole, cut)
    for name in ("ema-last", "ema-best"):
        file = f"weights/{name}/model.safetensors"
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
        assert load_model(whole / "weights" / name).classes == ((3, "line"), (7, "block"))
    last, average = (load_file(whole / f"weights/{name}/model.safetensors") for name in ("last", "ema-last"))
    moving = [name for name in last if not torch.equal(last[name], average[name])]
    assert len(moving) > len(last) / 2
    with (whole / "results.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    assert row["metrics/ema_AP"]
    state = json.loads((whole / "checkpoints/step-00000006/state.json").read_text())
    assert state["best_average"]["ap"] == pytest.approx(float(row["metrics/ema_AP"]), abs=1e-6)


def test_the_same_command_begins_a_run_and_goes_on_with_it(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = replace(recipe, training=replace(recipe.training, steps=2))
    begin_or_resume(short, run, quiet=True)
    before = (run / "weights/last/model.safetensors").read_bytes()
    begin_or_resume(short, run, quiet=True)
    assert (run / "weights/last/model.safetensors").read_bytes() == before
    begin_or_resume(replace(recipe, training=replace(recipe.training, steps=3)), run, quiet=True)
    assert (run / "checkpoints/step-00000003").is_dir()
