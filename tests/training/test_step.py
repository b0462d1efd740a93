"""One step of learning and one validation, apart from the loop."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskreel.data.loading import TrainingBatch
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.left_out import LeftOut
from maskreel.training.distributed import Processes
from maskreel.training.interruption import Interruption
from maskreel.training.optimizer import learning_rate_factor
from maskreel.training.random_state import capture_random, seed_random
from maskreel.training.recipe import Recipe, TrainingConfig
from maskreel.training.run_data import RunData, load_run_data, training_loader
from maskreel.training.step import Learner
from maskreel.training.validation import Validation
from tests.checkpoints.tables import replaced

ALONE = Processes(rank=0, world_size=1, device=torch.device("cpu"))


def with_training(recipe: Recipe, **options: object) -> Recipe:
    return replace(recipe, training=replace(recipe.training, **options))


@pytest.fixture(scope="module")
def data(recipe: Recipe) -> RunData:
    return load_run_data(with_training(recipe, validate_every=1))


@pytest.fixture
def batches(recipe: Recipe, data: RunData) -> Iterator[TrainingBatch]:
    return iter(training_loader(data.training, recipe.data, ALONE, seed=0))


@pytest.mark.parametrize("number", [0, 1, 4, 5])
def test_a_step_has_the_learning_rate_of_its_number(
    number: int, recipe: Recipe, batches: Iterator[TrainingBatch], tmp_path: Path
) -> None:
    config = TrainingConfig(steps=6, warmup=2, drops=(5,), device="cpu")
    learner = Learner(replace(recipe, training=config), ALONE, tmp_path)
    learner.step(number, batches)
    factor = learning_rate_factor(config, number)
    assert {group["name"]: group["lr"] for group in learner.optimizers.model.param_groups} == pytest.approx(
        {"rest": 2e-4 * factor, "backbone": 2e-5 * factor, "sampling": 2e-5 * factor}
    )


def test_losses_and_gradients_of_a_step_are_the_means_of_its_batches(
    recipe: Recipe, batches: Iterator[TrainingBatch], tmp_path: Path
) -> None:
    """No dropout and no batch statistics, so that a batch has the same losses on its own."""
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, norm="group", frozen_stages=0))
    model = replace(model, transformer=replace(model.transformer, dropout=0.0))
    still = with_training(
        replace(recipe, model=model), learning_rate=0.0, weight_decay=0.0, clip_norm=0.0, accumulate=2
    )
    seed_random(0)
    learner = Learner(still, ALONE, tmp_path)
    first, second, third = (next(batches) for _ in range(3))
    given = iter((first, second, third))
    together = learner.step(0, given)
    assert next(given) is third, "a step takes as many batches as it accumulates"
    alone, gradients = [], []
    for each in (first, second):
        seed_random(0)
        one = Learner(with_training(still, accumulate=1), ALONE, tmp_path)
        alone.append(one.step(0, iter((each,))))
        gradients.append([parameter.grad for parameter in one.objective.parameters()])
    for parameter, *own in zip(learner.objective.parameters(), *gradients, strict=True):
        torch.testing.assert_close(parameter.grad, torch.stack(own).mean(0), rtol=1e-3, atol=1e-6)
    assert next(iter(together)) == "total"
    for name, value in together.items():
        assert value == pytest.approx((alone[0][name] + alone[1][name]) / 2, rel=1e-4), name
    assert together["total"] == pytest.approx(sum(value for name, value in together.items() if name != "total"))


def test_the_gradient_is_clipped_to_the_norm_of_the_recipe(
    recipe: Recipe, batches: Iterator[TrainingBatch], tmp_path: Path
) -> None:
    learner = Learner(with_training(recipe, clip_norm=0.1), ALONE, tmp_path)
    learner.step(0, batches)
    gradients = [each.grad for each in learner.objective.parameters() if each.grad is not None]
    assert torch.stack([gradient.norm() for gradient in gradients]).norm().item() == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("what", ["layers", "stages"])
def test_what_cannot_be_checkpointed_is_refused_by_option(
    what: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskreel.training.step.checkpoint_activations", lambda module, what: 0)
    with pytest.raises(UsageError, match=rf"--training\.checkpointing {what}: seqformer has no {what}"):
        Learner(with_training(recipe, checkpointing=what), ALONE, tmp_path)


def test_recomputed_stages_change_no_loss_and_no_gradient(
    recipe: Recipe, batches: Iterator[TrainingBatch], tmp_path: Path
) -> None:
    # With batch norm a stage cannot be computed again.
    recipe = replaced(recipe, "model.backbone.norm", "frozen")
    batch, found = next(batches), []
    for checkpointing in ("none", "layers", "stages"):
        torch.manual_seed(0)
        learner = Learner(with_training(recipe, checkpointing=checkpointing), ALONE, tmp_path)
        losses = learner.step(0, iter([batch]))
        found.append((losses, [each.grad for each in learner.objective.parameters() if each.grad is not None]))
    for losses, gradients in found[1:]:
        assert losses == found[0][0]
        assert all(torch.equal(*pair) for pair in zip(gradients, found[0][1], strict=True))


class Pressed(Interruption):
    """Ctrl-C was pressed before the validation began."""

    def __init__(self) -> None:
        super().__init__()
        self.is_requested = True


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_validation_leaves_generators_and_mode_as_they_were(
    is_cut_off: bool, recipe: Recipe, data: RunData, tmp_path: Path
) -> None:
    """With a model that draws numbers even when it is evaluated."""
    assert data.validation is not None
    model = Learner(recipe, ALONE, tmp_path).objective.model

    def draw(*_: object) -> None:
        assert not model.training
        torch.rand(7)
        np.random.rand(3)  # noqa: NPY002

    model.backbone.register_forward_pre_hook(draw)
    validate = Validation(data.validation, data.classes, recipe.evaluation, ALONE, tmp_path, LeftOut())
    before = capture_random()
    metrics = validate(model, Pressed() if is_cut_off else Interruption())
    after = capture_random()
    assert (after.torch, after.numpy, after.numpy_position) == (before.torch, before.numpy, before.numpy_position)
    assert all(module.training for module in model.modules())
    assert (metrics is None) == is_cut_off
    assert (tmp_path / "val_batch0_pred.jpg").exists() != is_cut_off


def test_a_validation_video_that_cannot_be_read_does_not_end_the_run_unless_it_is_to(
    recipe: Recipe, data: RunData, tmp_path: Path
) -> None:
    shutil.copytree(recipe.data.root or Path(), tmp_path / "data")
    split = YouTubeVIS.load(tmp_path / "data", "valid")
    (split.frames_folder / split.videos[0].file_names[2]).write_bytes(b"no image")
    model = Learner(recipe, ALONE, tmp_path).objective.model
    left_out = LeftOut()
    metrics = Validation(split, data.classes, recipe.evaluation, ALONE, tmp_path, left_out)(model, Interruption())
    assert metrics is not None
    assert metrics.keys() >= {"AP", "AR1"}
    assert [(one.loss, one.item) for one in left_out.omissions] == [("video", "video 11")]
    assert Image.open(tmp_path / "val_batch0_labels.jpg").height > 0
    stop = Validation(split, data.classes, recipe.evaluation, ALONE, tmp_path, LeftOut("stop"))
    with pytest.raises(DataError, match="00002"):
        stop(model, Interruption())
