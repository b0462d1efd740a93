"""Parameter groups and the learning rate as a function of the step."""

from typing import cast

import pytest
import torch
from torch import nn

from maskreel.nn.layers.parameter_groups import LocationLinear, ParameterGroups, group_parameters
from maskreel.recipes.catalog import RECIPES
from maskreel.training.objective import build_objective
from maskreel.training.optimizer import Grouped, build_optimizer, learning_rate_factor, set_learning_rates
from maskreel.training.recipe import TrainingConfig
from tests.checkpoints.tables import TINY
from tests.counting import CountedOperators
from tests.training.conftest import TINY_MODEL


def group_by_name(name: str) -> str:
    """The rule by which the published systems sort parameters, with our names."""
    if "reference_points" in name or "sampling_offsets" in name:
        return "sampling"
    return "backbone" if name.startswith("backbone.") else "rest"


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_model_of_a_recipe_names_the_groups_that_the_published_rule_makes(recipe: str) -> None:
    with torch.device("meta"):
        model = build_objective(RECIPES[recipe]().model).model
    wanted = {"rest": [], "backbone": [], "sampling": []}
    for name, parameter in model.named_parameters():
        wanted[group_by_name(name)].append(parameter)
    groups = cast(Grouped, model).parameter_groups()
    for group, parameters in wanted.items():
        found = getattr(groups, group)
        assert len(found) == len(parameters)
        assert all(own is other for own, other in zip(found, parameters, strict=True)), group


@pytest.mark.parametrize("tiny", TINY)
def test_every_parameter_of_a_model_stands_in_one_group(tiny: str) -> None:
    with torch.device("meta"):
        model = build_objective(TINY[tiny]).model
    groups = cast(Grouped, model).parameter_groups()
    members = [*groups.rest, *groups.backbone, *groups.sampling]
    assert {id(each) for each in members} == {id(each) for each in model.parameters()}
    assert len(members) == sum(1 for _ in model.parameters())


def test_a_layer_that_says_where_to_sample_is_found_inside_a_backbone_too() -> None:
    location = LocationLinear(2, 2)
    backbone = nn.Sequential(nn.Linear(2, 2), location)
    groups = group_parameters(nn.Sequential(backbone, nn.Linear(2, 2)), backbone)
    assert all(each is own for each, own in zip(groups.sampling, location.parameters(), strict=True))
    assert (len(groups.rest), len(groups.backbone), len(groups.sampling)) == (2, 2, 2)


def test_every_group_has_the_rate_of_its_factor() -> None:
    config = TrainingConfig(learning_rate=1.0, backbone_factor=0.1, sampling_factor=0.3)
    optimizer = build_optimizer(cast(Grouped, build_objective(TINY_MODEL).model).parameter_groups(), config)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "rest": 1.0,
        "backbone": 0.1,
        "sampling": 0.3,
    }


def test_frozen_parameters_are_left_out() -> None:
    frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    groups = ParameterGroups(rest=(nn.Parameter(torch.zeros(3)), frozen), backbone=(frozen,), sampling=())
    optimizer = build_optimizer(groups, TrainingConfig())
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
    groups = ParameterGroups(
        rest=(nn.Parameter(torch.zeros(1)),), backbone=(nn.Parameter(torch.zeros(1)),), sampling=()
    )
    config = TrainingConfig(learning_rate=1.0, drops=(5,))
    optimizer = build_optimizer(groups, config)
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


def test_the_optimizer_is_one_operator_for_each_group() -> None:
    objective = build_objective(TINY_MODEL)
    optimizer = build_optimizer(cast(Grouped, objective.model).parameter_groups(), TrainingConfig())
    for parameter in objective.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with CountedOperators() as counted:
        optimizer.step()
    assert counted.calls["_fused_adamw_"] == len(optimizer.param_groups)
    # The other operators count steps: one call per group.
    assert counted.total <= 2 * len(optimizer.param_groups) + 2
