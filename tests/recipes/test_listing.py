"""What is said of every recipe: the AP in its docstring, and what it changes."""

import pytest

from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.listing import Listing, differences, known_figures, listings
from maskreel.training.recipe import Recipe

MS_STS = {
    "r50-ytvis19": 50.1,
    "r101-ytvis19": 51.1,
    "swin-l-ytvis19": 61.0,
    "r50-ytvis19-baseline": 46.4,
    "r50-ytvis19-attention-after": 47.0,
    "r50-ytvis19-attention-before": 47.3,
    "r50-ytvis19-encoder-after": 46.8,
    "r50-ytvis19-encoder-before": 47.1,
    "r50-ytvis19-split": 48.4,
    "r50-ytvis19-t2": 40.7,
    "r50-ytvis19-t3": 44.4,
    "r50-ytvis19-t4": 47.5,
    "r50-ytvis19-baseline-t2": 38.4,
    "r50-ytvis19-baseline-t3": 41.7,
    "r50-ytvis19-baseline-t4": 44.3,
    "r50-ytvis19-t36": None,
    "r50-ytvis19-baseline-t36": None,
}
TAFORMER = {
    "r50-ytvis19": 48.1,
    "r101-ytvis19": 50.6,
    "swin-l-ytvis19": 61.2,
    "r50-ytvis21": 42.1,
    "r50-ytvis19-baseline": 44.9,
    "r50-ytvis19-encoder": 46.4,
    "r50-ytvis19-encoder-decoder": 47.0,
    "r50-ytvis19-fusion-add": 45.9,
    "r50-ytvis19-fusion-concat": 46.2,
    "r50-ytvis19-baseline-one-level": 41.7,
    "r50-ytvis19-encoder-one-level": 42.6,
    "r50-ytvis19-contrast-last": 47.7,
    "r50-ytvis19-points1": 46.6,
    "r50-ytvis19-points2": 47.5,
    "r50-ytvis19-points3": 47.9,
}
VISTR_FAMILY = {
    "vistr-r50-ytvis19": 36.2,
    "vistr-r101-ytvis19": 40.1,
    "deformable-vistr-r50-ytvis19": 34.6,
    "deformable-vistr-r50-ytvis19-k16": 33.8,
    "tt-spn-twins-ytvis19": 39.3,
    "tt-spn-twins-ytvis19-mlp": None,
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Listing]:
    return {row.name: row for row in listings()}


@pytest.mark.parametrize(
    ("name", "ap"),
    [
        *((f"ms-sts-{row}", ap) for row, ap in MS_STS.items()),
        *((f"taformer-{row}", ap) for row, ap in TAFORMER.items()),
        *VISTR_FAMILY.items(),
    ],
)
def test_every_row_of_the_papers_is_a_recipe_that_states_its_reported_ap(
    name: str, ap: float | None, rows: dict[str, Listing]
) -> None:
    assert rows[name].reported == ap
    assert rows[name].measured is None


def test_every_recipe_is_listed_in_order(rows: dict[str, Listing]) -> None:
    assert list(rows) == list(RECIPES)


def test_rows_say_what_they_change(rows: dict[str, Listing]) -> None:
    assert rows["ms-sts-r50-ytvis19"].differences == {}
    assert rows["ms-sts-r50-ytvis19-encoder-before"].differences == {
        "model.encoder_variant": "encoder_before",
        "model.temporal_decoder": None,
        "model.adversary": None,
    }
    assert rows["taformer-r50-ytvis19-points2"].differences == {"model.neighbours.num_points": 2}
    assert rows["taformer-swin-l-ytvis19"].differences["model.backbone"]["kind"] == "swin"


def test_no_two_rows_of_a_model_are_the_same() -> None:
    recipes = [build() for build in RECIPES.values()]
    for index, recipe in enumerate(recipes):
        for other in recipes[:index]:
            assert (recipe.model, recipe.data, recipe.training) != (other.model, other.data, other.training), (
                recipe.name
            )


def test_figures_are_read_from_the_docstring() -> None:
    def build() -> Recipe:
        """A row: AP 48.4 (reported; supplement, table S1 f).

        AP 31.5 and AP50 60.0 on 40 videos (measured; command in EXPERIMENTS.md).
        """
        raise AssertionError("not built")

    assert known_figures(build) == {
        "reported": (48.4, "supplement, table S1 f"),
        "measured": (31.5, "command in EXPERIMENTS.md"),
    }

    def silent() -> Recipe:
        """A row whose AP (in percent) nobody states."""
        raise AssertionError("not built")

    assert known_figures(silent) == {}


def test_differences_go_down_to_the_option() -> None:
    before = {"name": "a", "model": {"kind": "x", "width": 1, "part": {"size": 3}}, "steps": [1, 2]}
    after = {"name": "b", "model": {"kind": "x", "width": 2, "part": None}, "steps": [1, 2]}
    assert dict(differences(before, after)) == {"model.width": 2, "model.part": None}
