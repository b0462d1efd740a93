"""The rule of verdicts, and that every variant and every claim can be run as it is written down."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from maskreel.api import _changed
from maskreel.recipes.catalog import RECIPES, find_recipe
from maskreel.rendered.sets import RENDERED_SETS

SEEDS = (0, 1, 2)
WORSE_AP = {0: 20.0, 1: 30.0, 2: 25.0}


def judged(per_seed: tuple[float, ...], *, spread: float = 0.5, **changes: Any) -> Any:
    """The rule, for differences of the given means and of one spread over resamplings."""
    draw = np.random.default_rng(1)
    worse = {seed: np.concatenate(([30.0], 30 + draw.normal(size=1000))) for seed in SEEDS}
    better = {
        seed: worse[seed] + np.concatenate(([mean], mean + spread * draw.normal(size=1000)))
        for seed, mean in zip(SEEDS, per_seed, strict=False)
    }
    return import_module("claim_verdicts").judge(better, worse, **{"worse_ap": WORSE_AP, "seeds": SEEDS, **changes})


@pytest.mark.parametrize(
    ("per_seed", "verdict"),
    [
        ((2.0, 3.0, 2.5), "reproduced"),
        ((-2.0, -3.0, -2.5), "contradicted"),
        ((0.3, -0.2, 0.1), "undecided"),
        ((9.0, 8.0, -0.1), "undecided"),
        ((2.0, 3.0), "not run"),
    ],
)
def test_a_verdict_needs_the_interval_and_all_seeds_on_one_side(per_seed: tuple[float, ...], verdict: str) -> None:
    assert judged(per_seed).verdict == verdict


def test_a_wide_interval_decides_nothing_and_says_what_could_have_been_seen() -> None:
    found = judged((1.0, 1.2, 0.9), spread=10.0)
    assert found.verdict == "undecided"
    assert found.smallest_visible == pytest.approx((found.high - found.low) / 2)
    assert 3 < found.smallest_visible < 20


def test_differences_are_paired_video_by_video() -> None:
    """Both sides vary by several points over resamplings, their difference by half a point."""
    found = judged((2.0, 2.0, 2.0), spread=0.5)
    assert found.difference == pytest.approx(2.0)
    assert found.high - found.low < 2.0
    assert found.per_seed == pytest.approx((2.0, 2.0, 2.0))


def test_a_baseline_that_has_not_learnt_tests_nothing() -> None:
    assert judged((2.0, 3.0, 2.5), worse_ap={0: 14.0, 1: 14.0, 2: 14.0}).verdict == "not testable"
    assert judged((2.0, 3.0, 2.5), worse_ap={0: 16.0, 1: 14.5, 2: 15.5}).verdict == "reproduced"


def test_within_one_point_is_a_margin() -> None:
    assert judged((-0.5, -0.4, -0.6), spread=0.1).verdict == "contradicted"
    assert judged((-0.5, -0.4, -0.6), spread=0.1, margin=1.0).verdict == "reproduced"


def test_resamplings_are_always_the_same_and_begin_with_every_video_once() -> None:
    weights = import_module("claims").resamplings(7)
    assert weights.shape == (1001, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 7).all()
    assert (weights == import_module("claims").resamplings(7)).all()


def test_every_variant_is_a_recipe_with_options_that_exist() -> None:
    variants = import_module("claim_variants")
    built = {
        name: _changed(find_recipe(variant.recipe), variant.options) for name, variant in variants.VARIANTS.items()
    }
    assert {variant.start for variant in variants.VARIANTS.values()} == set(variants.STARTS)
    for start in variants.STARTS.values():
        assert _changed(find_recipe(start.recipe), start.options).data.num_frames == 1
    assert built["ms-sts-baseline"].model.encoder_variant == "baseline"
    assert built["taformer-encoder-one-level"].model.neighbours.temporal_levels == (2,)
    assert built["ms-sts-full"] == find_recipe("ms-sts-tiny")


def test_every_claim_compares_two_different_variants_on_sets_that_they_are_measured_on() -> None:
    variants = import_module("claim_variants")
    names = [comparison.name for comparison in variants.COMPARISONS]
    assert len(set(names)) == len(names)
    for comparison in variants.COMPARISONS:
        better, worse = (variants.VARIANTS[name] for name in (comparison.better, comparison.worse))
        assert better != worse, comparison.name
        for name in comparison.sets:
            assert name in RENDERED_SETS
            assert name in better.sets, comparison.name
            assert name in worse.sets, comparison.name
    assert {f"{system}-tiny" for system in variants.SYSTEMS} <= set(RECIPES)


def test_the_plan_and_the_table_list_everything(tmp_path: Any) -> None:
    claims, variants = import_module("claims"), import_module("claim_variants")
    units = claims.Work(tmp_path).units()
    assert len(units) == len(variants.STARTS) + len(variants.VARIANTS) * len(variants.SEEDS)
    lines = list(claims.table())
    assert len(lines) == 2 + sum(len(one.sets) * len(one.metrics) for one in variants.COMPARISONS)
