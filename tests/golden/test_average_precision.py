"""AP and AR against the metrics of the reference evaluator."""

import json
from pathlib import Path

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.average_precision import average_precision
from maskreel.evaluation.results import read_predictions
from tests.builders import shared_path
from tests.golden.made_scene import FIGURES, write_scene

CASES = ("mixed20", "areas", "real_sav", "real_bdd", "real_davis osvos", "real_davis rvos")


def assert_figures(ours: object, theirs: object) -> None:
    """Equal to 1e-9 all the way down; None stands for their -1 and for their null."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict)
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_figures(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert isinstance(ours, list)
        for one, other in zip(ours, theirs, strict=True):
            assert_figures(one, other)
    elif isinstance(theirs, str):
        assert ours == theirs
    elif theirs is None or theirs == -1:
        assert ours is None
    else:
        assert ours == pytest.approx(theirs, rel=0, abs=1e-9)


@pytest.mark.golden
@pytest.mark.parametrize("strict_reference", [False, True], ids=["repaired", "strict"])
@pytest.mark.parametrize("case", CASES)
def test_all_figures_equal_those_of_the_reference_evaluator(case: str, strict_reference: bool) -> None:
    folder, _, results = case.partition(" ")
    suffix = f"_{results}" if results else ""
    golden = json.loads(shared_path(f"eval/{folder}/golden{suffix}.json").read_text())
    ground_truth = read_ground_truth(shared_path(f"eval/{folder}/gt.json"), strict_reference=strict_reference)
    predictions = read_predictions(
        shared_path(f"eval/{folder}/pred{suffix}.json"), ground_truth, strict_reference=strict_reference
    )
    ours = average_precision(ground_truth, predictions, strict_reference=strict_reference).to_json()
    assert_figures([ours[name] for name in golden["stat_names"]], golden["stats"])
    for key in ("ap_per_iou", "ar100_per_iou", "per_category", "class_agnostic_stats"):
        assert_figures(ours[key], golden[key])


@pytest.mark.golden(shipped=True)
@pytest.mark.parametrize("strict_reference", [False, True], ids=["repaired", "strict"])
def test_all_figures_of_the_made_scene_stay(tmp_path: Path, strict_reference: bool) -> None:
    truth, results = write_scene(tmp_path)
    recorded = json.loads(FIGURES.read_text())["ap"]
    ground_truth = read_ground_truth(truth, strict_reference=strict_reference)
    predictions = read_predictions(results, ground_truth, strict_reference=strict_reference)
    ours = average_precision(ground_truth, predictions, strict_reference=strict_reference).to_json()
    for key, metrics in recorded.items():
        assert_figures(ours[key], metrics)
