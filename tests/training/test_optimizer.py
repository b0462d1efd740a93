"""Parameter groups and the learning rate as a function of the step."""

import pytest
import torch
from torch import nn

from maskreel.training.objective import build_objective
from maskreel.training.optimizer import build_optimizer, learning_rate_factor, parameter_group, set_learning_rates
from maskreel.training.recipe import TrainingConfig
from tests.training.conftest import TINY_MODEL


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("backbone.stem.weight", "backbone"),
        ("encoder.layers.0.attention.sampling_offsets.weight", "sampling"),
        ("decoder.reference_points.bias", "sampling"),
        ("pyramid.backbone.weight", "rest"),
        ("classify.0.weight", "rest"),
    ],
)
def test_a_parameter_belongs_to_the_group_of_its_name(name: str, group: str) -> None:
    assert parameter_group(name) == group


def test_the_model_has_parameters_in_every_group_and_each_in_one() -> None:
    objective = build_objective(TINY_MODEL)
    optimizer = build_optimizer(objective.parameters_by_name(), TrainingConfig(learning_rate=1.0, sampling_factor=0.3))
    sizes = {group["name"]: len(group["params"]) for group in optimizer.param_groups}
    assert all(sizes.values())
    assert sum(sizes.values()) == sum(1 for _ in objective.model.parameters())
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "rest": 1.0,
        "backbone": 0.1,
        "sampling": 0.3,
    }


def test_frozen_parameters_are_left_out() -> None:
    frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    optimizer = build_optimizer([("a", nn.Parameter(torch.zeros(3))), ("b", frozen)], TrainingConfig())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1


def test_the_rate_drops_tenfold_at_every_drop() -> None:
    config = TrainingConfig(steps=10, drops=(4, 8))
    assert [learning_rate_factor(config, step) for step in (0, 3, 4, 7, 8)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_the_warmup_rises_linearly_to_the_full_rate() -> None:
    config = TrainingConfig(steps=10, warmup=4)
    assert [learning_rate_factor(config, step) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_the_cosine_starts_at_one_and_ends_at_zero() -> None:
    config = TrainingConfig(steps=12, warmup=2, schedule="cosine")
    assert learning_rate_factor(config, 2) == 1
    assert learning_rate_factor(config, 7) == pytest.approx(0.5)
    assert learning_rate_factor(config, 12) == pytest.approx(0)


def test_every_group_follows_the_schedule() -> None:
    parameters = [("backbone.a", nn.Parameter(torch.zeros(1))), ("b", nn.Parameter(torch.zeros(1)))]
    config = TrainingConfig(learning_rate=1.0, drops=(5,))
    optimizer = build_optimizer(parameters, config)
    for step in (9, 0, 9):
        set_learning_rates(optimizer, config, step)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"rest": 0.1, "backbone": 0.01, "sampling": 0.01}
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps 0 must be at least 1"),
        ({"learning_rate": -1.0}, r"learning_rate -1\.0 must not be negative"),
        ({"schedule": "cosine", "drops": (3,)}, r"drops \(3,\) belong to schedule step"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)
