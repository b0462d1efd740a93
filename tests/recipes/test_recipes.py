"""Every recipe: its name, its config file, the size of its model."""

import json
import re

import pytest
import torch

from maskreel.config import from_dict, to_dict
from maskreel.models.published import Counts, own_counts
from maskreel.models.weights import build_criterion, build_model
from maskreel.recipes.catalog import RECIPES
from maskreel.training.recipe import Recipe

COUNTS = {
    "seqformer-r50-ytvis19": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "seqformer-r50-ytvis19-joint": Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577),
    "seqformer-r101-ytvis19-joint": Counts(trainable=66_723_841, parameters=66_946_241, state_dict=67_156_929),
    "seqformer-tiny": Counts(trainable=3_125_918, parameters=3_125_918, state_dict=3_129_538),
}
"""In our own layout."""
SCHEME = r"(?P<model>seqformer)-((?P<backbone>r18|r34|r50|r101)-(?P<data>ytvis19|ytvis21)(-[a-z0-9]+)*|tiny)"
"""<model>-<backbone>-<dataset>[-<row>], or <model>-tiny for small ones."""


@pytest.fixture(params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]()


def test_the_size_of_every_model_is_pinned() -> None:
    assert set(COUNTS) == set(RECIPES)


def test_the_model_builds_and_has_the_pinned_size(recipe: Recipe) -> None:
    with torch.device("meta"):
        assert own_counts(build_model(recipe.model)) == COUNTS[recipe.name]
    assert sum(p.numel() for p in build_criterion(recipe.model).parameters()) == 0


def test_the_tiny_model_has_at_most_3_8_million_parameters() -> None:
    assert COUNTS["seqformer-tiny"].parameters <= 3_800_000


def test_a_recipe_is_listed_under_its_own_name(recipe: Recipe) -> None:
    assert RECIPES[recipe.name]() == recipe


def test_the_name_says_model_and_backbone(recipe: Recipe) -> None:
    parts = re.fullmatch(SCHEME, recipe.name)
    assert parts, f"{recipe.name} does not follow the scheme of names"
    assert parts["model"].replace("-", "_") == recipe.model.kind
    if parts["backbone"]:
        assert parts["backbone"] == f"r{recipe.model.backbone.depth}"


def test_a_recipe_survives_its_config_file(recipe: Recipe) -> None:
    assert from_dict(Recipe, json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_every_recipe_says_what_it_is() -> None:
    assert [name for name, recipe in RECIPES.items() if not (recipe.__doc__ or "").strip()] == []
