"""Training against a discriminator: it rests, learns beside the model, survives an interruption, and stays behind."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from maskreel.models.ms_sts import Adversary, MSSTSConfig
from maskreel.models.parts.split_scale import SplitScale
from maskreel.training.loop import resume, train
from maskreel.training.objective import Objective, build_objective
from maskreel.training.optimizer import Optimizers
from maskreel.training.recipe import Recipe, TrainingConfig
from tests.training.conftest import TINY_MODEL
from tests.training.test_loop import assert_same_run, train_until_interrupted

WARMUP = 3


@pytest.fixture(scope="module")
def adversarial(recipe: Recipe) -> Recipe:
    shape = {field.name: getattr(TINY_MODEL, field.name) for field in fields(TINY_MODEL) if field.name != "kind"}
    split = SplitScale(width=8, hidden=8, num_heads=2)
    model = MSSTSConfig(**shape, split=split, adversary=Adversary(warmup=WARMUP))
    return replace(recipe, model=model, training=replace(recipe.training, keep_checkpoints=3))


@pytest.fixture(scope="module")
def whole(adversarial: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adversarial") / "whole"
    train(adversarial, folder, quiet=True)
    return folder


def discriminator(run: Path, step: int) -> dict[str, Tensor]:
    state = load_file(run / f"checkpoints/step-{step:08d}/model.safetensors")
    return {name: value for name, value in state.items() if "discriminator" in name}


def test_the_discriminator_rests_through_its_warmup_and_then_learns(
    whole: Path, adversarial: Recipe, tmp_path: Path
) -> None:
    untrained = replace(adversarial, training=replace(adversarial.training, steps=1))
    train(untrained, tmp_path / "first", quiet=True)
    first, resting, last = discriminator(tmp_path / "first", 1), discriminator(whole, 2), discriminator(whole, 6)
    assert first
    assert all(torch.equal(first[name], resting[name]) for name in first)
    assert [name for name in first if torch.equal(first[name], last[name])] == []


def test_an_interrupted_run_against_a_discriminator_resumes_to_the_same_bits(
    whole: Path, adversarial: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train_until_interrupted(adversarial, folder, lambda: (folder / "checkpoints/step-00000004").exists())
    resume(adversarial, folder, quiet=True)
    assert_same_run(whole, folder)


def test_the_trained_model_is_stored_without_its_discriminator(whole: Path) -> None:
    names = load_file(whole / "weights/last/model.safetensors")
    assert names
    assert not any("discriminator" in name for name in names)


class LossWithDiscriminator(nn.Module):
    """A loss from outside the library, with a discriminator of one number; it rests in the first step."""

    learning_rate = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = nn.Linear(1, 1, bias=False)
        self.steps = 0

    def discriminator_parameters(self) -> Iterator[nn.Parameter]:
        return self.discriminator.parameters()

    @property
    def is_active(self) -> bool:
        return self.steps >= 1

    def after_step(self) -> None:
        self.steps += 1


def test_any_loss_with_a_discriminator_gets_an_optimizer_for_it() -> None:
    criterion = LossWithDiscriminator()
    objective = Objective(build_objective(TINY_MODEL).model, criterion)
    optimizers = Optimizers(objective, TrainingConfig(learning_rate=1e-3, weight_decay=0.0, clip_norm=0.1))
    weight = criterion.discriminator.weight
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    first = weight.item()
    for steps in (1, 2):
        for parameter in objective.parameters():
            parameter.grad = torch.ones_like(parameter)
        assert optimizers.unscale_and_clip(scaler) > 1
        assert weight.grad == 1, "the gradient of the discriminator is not clipped"
        optimizers.step(scaler)
        assert criterion.steps == steps
        # AdamW's first step is as long as the learning rate.
        assert weight.item() == pytest.approx(first - (0.25 if steps == 2 else 0), abs=1e-5)
    assert optimizers.state(weight)["step"] == 1


def test_a_loss_without_a_discriminator_has_no_adversarial_step() -> None:
    assert build_objective(TINY_MODEL).adversarial_step is None
    assert Objective(nn.Identity(), LossWithDiscriminator()).adversarial_step is not None


def test_the_adversarial_loss_is_an_adversarial_step(adversarial: Recipe) -> None:
    objective = build_objective(adversarial.model)
    step = objective.adversarial_step
    assert step is objective.criterion
    assert not step.is_active
    for _ in range(WARMUP):
        step.after_step()
    assert step.is_active
