"""Reasons of errors, and what they cost, on scenes that can be worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT, FAR = box(2, 3, 10, 8), box(15, 3, 10, 8), box(0, 15, 5, 4)


def errors(folder: Path, truth: Any, results: Any) -> dict[str, Any]:
    """The errors that occur, with their number and cost."""
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    report = score(ground_truth, predictions, ScoreOptions(errors=True))["ap"]["errors"]
    assert list(report) == ["wrong_class", "weak_mask", "identity", "duplicate", "missed", "spurious"]
    return {kind: cost for kind, cost in report.items() if cost["count"]}


def cost(count: int, ap: float, ap50: float) -> dict[str, Any]:
    return {"count": count, "AP": pytest.approx(ap), "AP50": pytest.approx(ap50)}


def test_perfect_output_has_no_errors(tmp_path: Path) -> None:
    assert errors(tmp_path, scene([annotation(1, [LEFT])]), [entry(0.9, [LEFT])]) == {}


def test_a_wrong_class_costs_the_whole_object_and_is_not_missed_as_well(tmp_path: Path) -> None:
    found = errors(tmp_path, scene([annotation(1, [LEFT])]), [entry(0.9, [LEFT], category_id=2)])
    assert found == {"wrong_class": cost(1, 1.0, 1.0)}


def test_a_wrong_class_of_an_object_that_is_found_anyway_costs_its_false_positive(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT], category_id=2)])
    results = [entry(0.9, [LEFT]), entry(0.8, [LEFT], category_id=2), entry(0.7, [RIGHT], category_id=2)]
    assert errors(tmp_path, truth, results) == {"wrong_class": cost(1, 0.25, 0.25)}


def test_a_weak_mask_costs_what_a_right_one_would_bring(tmp_path: Path) -> None:
    weak = box(2, 3, 10, 3)
    assert errors(tmp_path, scene([annotation(1, [LEFT])]), [entry(0.9, [weak])]) == {"weak_mask": cost(1, 1.0, 1.0)}


def test_a_lost_object_is_an_identity_error(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 5)], frames=5)
    found = errors(tmp_path, truth, [entry(0.9, [LEFT, LEFT, None, None, None])])
    assert found == {"identity": cost(1, 1.0, 1.0)}


def test_passing_to_another_object_is_an_identity_error(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 6), annotation(2, [RIGHT] * 6)], frames=6)
    results = [entry(0.9, [LEFT] * 3 + [RIGHT] * 3), entry(0.8, [RIGHT] * 6)]
    # Repaired, both objects are found: AP goes from 51 levels at precision 1/2 to 1.
    assert errors(tmp_path, truth, results) == {"identity": cost(1, 1 - 51 / 101 / 2, 1 - 51 / 101 / 2)}


def test_a_mask_that_is_inexact_more_often_than_lost_is_weak(tmp_path: Path) -> None:
    weak = box(2, 3, 10, 3)
    truth = scene([annotation(1, [LEFT] * 5)], frames=5)
    assert list(errors(tmp_path, truth, [entry(0.9, [LEFT, weak, weak, weak, None])])) == ["weak_mask"]


def test_duplicates_and_spurious_predictions_cost_precision(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT])])
    results = [entry(0.9, [LEFT]), entry(0.8, [LEFT]), entry(0.7, [RIGHT])]
    # 50 of 101 levels at precision 2/3.
    assert errors(tmp_path, truth, results) == {"duplicate": cost(1, 50 / 101 / 3, 50 / 101 / 3)}
    results[1] = entry(0.8, [FAR])
    assert errors(tmp_path, truth, results) == {"spurious": cost(1, 50 / 101 / 3, 50 / 101 / 3)}


def test_a_missed_object_costs_its_recall(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT])])
    assert errors(tmp_path, truth, [entry(0.9, [LEFT])]) == {"missed": cost(1, 50 / 101, 50 / 101)}


def test_predictions_on_crowds_are_no_errors(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT], iscrowd=1)])
    assert errors(tmp_path, truth, [entry(0.9, [LEFT]), entry(0.8, [RIGHT]), entry(0.7, [RIGHT])]) == {}


def test_costs_are_unknown_where_nothing_can_be_measured(tmp_path: Path) -> None:
    found = errors(tmp_path, scene([]), [entry(0.9, [LEFT])])
    assert found == {"spurious": {"count": 1, "AP": None, "AP50": None}}
