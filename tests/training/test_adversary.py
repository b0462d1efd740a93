"""Training against a discriminator: it rests, learns beside the model, survives an interruption, and stays behind."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from maskreel.models.ms_sts import Adversary, MsStsConfig, SplitScale
from maskreel.training.loop import resume, train
from maskreel.training.recipe import Recipe
from tests.training.conftest import TINY_MODEL
from tests.training.test_loop import assert_same_run, train_until_interrupted

WARMUP = 3


@pytest.fixture(scope="module")
def rivals(recipe: Recipe) -> Recipe:
    shape = {field.name: getattr(TINY_MODEL, field.name) for field in fields(TINY_MODEL) if field.name != "kind"}
    split = SplitScale(width=8, hidden=8, num_heads=2)
    model = MsStsConfig(**shape, split=split, adversary=Adversary(warmup=WARMUP))
    return replace(recipe, model=model, training=replace(recipe.training, keep_checkpoints=3))


@pytest.fixture(scope="module")
def whole(rivals: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rivals") / "whole"
    train(rivals, folder, quiet=True)
    return folder


def discriminator(run: Path, step: int) -> dict[str, Tensor]:
    state = load_file(run / f"checkpoints/step-{step:08d}/model.safetensors")
    return {name: value for name, value in state.items() if "discriminator" in name}


def test_the_discriminator_rests_through_its_warmup_and_then_learns(
    whole: Path, rivals: Recipe, tmp_path: Path
) -> None:
    untrained = replace(rivals, training=replace(rivals.training, steps=1))
    train(untrained, tmp_path / "first", quiet=True)
    first, resting, last = discriminator(tmp_path / "first", 1), discriminator(whole, 2), discriminator(whole, 6)
    assert first
    assert all(torch.equal(first[name], resting[name]) for name in first)
    assert [name for name in first if torch.equal(first[name], last[name])] == []


def test_an_interrupted_run_against_a_discriminator_resumes_to_the_same_bits(
    whole: Path, rivals: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train_until_interrupted(rivals, folder, lambda: (folder / "checkpoints/step-00000004").exists())
    resume(rivals, folder, quiet=True)
    assert_same_run(whole, folder)


def test_the_trained_model_is_stored_without_its_discriminator(whole: Path) -> None:
    names = load_file(whole / "weights/last/model.safetensors")
    assert names
    assert not any("discriminator" in name for name in names)
