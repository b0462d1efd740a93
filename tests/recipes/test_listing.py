"""What is said of every recipe: the metrics that are known of it, and what it changes."""

import itertools
import re
import sys
from dataclasses import replace

import pytest

from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.listing import Listing, differences, listings
from maskreel.recipes.metrics import MEASURED, REPORTED, WITHOUT_RECIPE
from tests.recipes.test_recipes import COUNTS

MS_STS = {
    "r50-ytvis19-joint": 50.1,
    "r101-ytvis19-joint": 51.1,
    "swin-l-ytvis19-joint": 61.0,
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
    "vistr-r50-ytvis21": 31.8,
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
    known = rows[name].reported
    assert (None if known is None else known.ap) == ap
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
            ours, theirs = (replace(each, name="") for each in (recipe, other))
            assert ours != theirs, recipe.name


UNSTATED = {
    "ms-sts-r50-ytvis19-consecutive",
    "ms-sts-r50-ytvis19-without-decoder",
    "ms-sts-r50-ytvis19-decoder",
    "ms-sts-r50-ytvis19-adversary",
    "ms-sts-r50-ytvis19-intra-paired",
    "ms-sts-r50-ytvis19-intra-window",
    "ms-sts-r50-ytvis19-inter-window",
    *(f"ms-sts-r50-ytvis19-{row}t{frames}-linked" for row in ("", "baseline-") for frames in (2, 3, 4, 5)),
    "taformer-r50-coco",
    "taformer-r50-ytvis19-consecutive",
    "taformer-r50-ytvis19-raw-time",
    "taformer-r50-ytvis19-baseline-one-level-tokens",
    "taformer-r50-ytvis19-encoder-one-level-tokens",
    "taformer-r50-ytvis19-contrast-sum",
    "tt-spn-twins-ytvis19-deep",
    "tt-spn-twins-ytvis19-stated",
    "tt-spn-twins-ytvis19-siren",
    "tt-spn-r50-ytvis19",
    "ms-sts-r50-ytvis19-t36",
    "ms-sts-r50-ytvis19-baseline-t36",
    "ms-sts-r50-ytvis19-intra-only",
    "ms-sts-r50-ytvis19-inter-only",
    "tt-spn-twins-ytvis19-mlp",
}
"""Rows of the papers whose AP is stated nowhere."""


def test_every_recipe_of_a_published_row_has_a_report() -> None:
    published = {name for name in RECIPES if "-tiny" not in name}
    assert set(REPORTED) == published - UNSTATED
    assert set(MEASURED) <= set(RECIPES)
    assert all(REPORTED.values())


@pytest.mark.parametrize("name", REPORTED)
def test_reports_hold_plausible_numbers_with_their_source(name: str) -> None:
    for known in REPORTED[name]:
        assert known.source
        percent = [getattr(known, field) for field in ("ap", "ap50", "ap75", "ar1", "ar10")]
        assert all(25 < value < 80 for value in percent if value is not None)
        if known.ap50 is not None:
            assert known.ap50 > known.ap
        if known.ar10 is not None:
            assert known.ar10 > known.ar1
        # Within a few percent of ours, whose layout has no aliases and no unused parts.
        if known.parameters is not None:
            assert known.parameters == pytest.approx(COUNTS[name].state_dict / 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("ms-sts-r50-ytvis19", (50.1, 73.2, 56.6, 46.1, 57.7, 10.0, 50.6)),
        ("ms-sts-r50-ytvis19-baseline", (46.4, 68.7, 50.3, 44.9, 54.3, 11.0, None)),
        ("ms-sts-r50-ytvis19-attention-after", (47.0, 69.1, 51.5, 45.4, 54.8, None, None)),
        ("ms-sts-r50-ytvis19-attention-before", (47.3, 69.3, 51.8, 45.6, 55.1, None, None)),
        ("ms-sts-r50-ytvis19-encoder-after", (46.8, 68.8, 51.3, 45.3, 54.6, None, None)),
        ("ms-sts-r50-ytvis19-encoder-before", (47.1, 68.9, 51.4, 45.5, 54.4, None, None)),
        ("ms-sts-r50-ytvis19-split", (48.4, 70.4, 54.8, 45.9, 56.1, None, None)),
        ("taformer-r50-ytvis19", (48.1, 71.6, 52.5, 45.9, 56.6, None, 52.2)),
        ("tt-spn-twins-ytvis19", (39.3, 61.3, 38.2, 40.0, 41.3, 55.3, None)),
        ("vistr-r50-ytvis19", (36.2, None, None, None, None, 69.9, 57.2)),
        ("deformable-vistr-r50-ytvis19", (34.6, None, None, None, None, 33.0, None)),
        ("seqformer-swin-l-ytvis19-joint", (59.3, None, None, None, None, None, 220.0)),
    ],
)
def test_full_rows_are_those_of_the_papers(name: str, numbers: tuple[float | None, ...]) -> None:
    known = REPORTED[name][0]
    assert (known.ap, known.ap50, known.ap75, known.ar1, known.ar10, known.fps, known.parameters) == numbers


def test_a_figure_that_nobody_states_is_called_derived() -> None:
    derived = [name for name, reports in REPORTED.items() if reports[0].is_derived]
    assert derived == ["ms-sts-r50-ytvis19-without-adversary"]


def test_rows_that_were_published_twice_keep_both() -> None:
    assert [(known.ap, known.fps) for known in REPORTED["vistr-r50-ytvis19"]] == [(36.2, 69.9), (35.6, 30.0)]
    assert [known.ap for known in REPORTED["vistr-r101-ytvis19"]] == [40.1, 38.6]


def test_published_rows_without_a_recipe_are_known_as_well() -> None:
    assert [known.ap for known in WITHOUT_RECIPE.values()] == [51.2]


def test_no_docstring_repeats_a_number_of_the_tables() -> None:
    """Numbers have one home; prose that copies them is forgotten when they change."""
    modules = {sys.modules[build.__module__] for build in RECIPES.values()}
    texts = {each.__name__: each.__doc__ or "" for each in (*modules, *RECIPES.values())}
    records = [*itertools.chain(*REPORTED.values()), *WITHOUT_RECIPE.values(), *MEASURED.values()]
    numbers = {f"{value:.1f}" for known in records for value in vars(known).values() if isinstance(value, float)}
    pattern = re.compile(rf"\bA[PR]\d*\s+\d|(?<![\d.])({'|'.join(map(re.escape, numbers))})(?!\d)")
    found = [bool(pattern.search(text)) for text in ("AP 12", "ends at 50.1.", "arXiv 2203.06318")]
    assert found == [True, True, False]
    assert {name: match[0] for name, text in texts.items() if (match := pattern.search(text))} == {}


def test_differences_go_down_to_the_option() -> None:
    before = {"name": "a", "model": {"kind": "x", "width": 1, "part": {"size": 3}}, "steps": [1, 2]}
    after = {"name": "b", "model": {"kind": "x", "width": 2, "part": None}, "steps": [1, 2]}
    assert dict(differences(before, after)) == {"model.width": 2, "model.part": None}
