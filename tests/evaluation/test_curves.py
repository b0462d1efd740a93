"""Curves and the confusion matrix, on scenes that can be worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.average_precision import average_precision
from maskreel.evaluation.curves import ALL, CurveMeter, Curves
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.plots import measured_curves
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT, FAR = box(2, 3, 10, 8), box(15, 3, 10, 8), box(0, 15, 5, 4)


def curves(folder: Path, truth: Any, results: Any, min_score: float | None = None) -> Curves:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    if min_score is None:
        return measured_curves(ground_truth, predictions)
    meter = CurveMeter(ground_truth, min_score=min_score)
    for overlap in measure(ground_truth, predictions):
        meter.add(overlap)
    return meter.result()


def at(curve: np.ndarray, score: float) -> float:
    return float(curve[round(100 * score)])


def test_precision_recall_and_f1_count_what_is_left_from_a_score_on(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT])])
    found = curves(tmp_path, truth, [entry(0.9, [LEFT]), entry(0.6, [FAR]), entry(0.4, [RIGHT])])
    (name,) = found.precision
    precision, recall, f1 = found.precision[name], found.recall[name], found.f1[name]
    assert [at(precision, s) for s in (0.95, 0.9, 0.6, 0.4, 0)] == pytest.approx([1, 1, 1 / 2, 2 / 3, 2 / 3])
    assert [at(recall, s) for s in (0.95, 0.9, 0.6, 0.4, 0)] == pytest.approx([0, 1 / 2, 1 / 2, 1, 1])
    assert [at(f1, s) for s in (0.95, 0.9, 0.6, 0.4)] == pytest.approx([0, 2 / 3, 1 / 2, 4 / 5])


def test_the_mean_of_precision_over_recall_is_ap50(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT]), annotation(3, [FAR], category_id=2)])
    results = [entry(0.9, [LEFT]), entry(0.8, [box(0, 0, 2, 2)]), entry(0.7, [RIGHT]), entry(0.5, [FAR], category_id=2)]
    found = curves(tmp_path, truth, results)
    ground_truth = read_ground_truth(tmp_path / "gt.json")
    figures = average_precision(ground_truth, read_predictions(tmp_path / "pred.json", ground_truth))
    assert found.precision_at_recall[ALL].mean() == pytest.approx(figures.stats["AP50"])
    assert len(found.precision_at_recall) == 3


def test_classes_without_objects_have_no_curve(tmp_path: Path) -> None:
    found = curves(tmp_path, scene([annotation(1, [LEFT])]), [entry(0.9, [LEFT], category_id=2)])
    assert len(found.precision) == 1
    assert len(found.class_names) > 1


def test_no_prediction_at_all_is_flat(tmp_path: Path) -> None:
    found = curves(tmp_path, scene([annotation(1, [LEFT])]), [])
    (name,) = found.recall
    assert found.recall[name].max() == found.f1[name].max() == found.precision_at_recall[name].max() == 0


def test_the_matrix_counts_right_wrong_missed_and_spurious(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT], category_id=2), annotation(3, [FAR], category_id=2)])
    results = [entry(0.9, [LEFT]), entry(0.8, [RIGHT]), entry(0.7, [box(20, 15, 4, 4)], category_id=2)]
    matrix = curves(tmp_path, truth, results).confusion
    expected = np.zeros_like(matrix)
    expected[0, 0] = 1  # found
    expected[1, 0] = 1  # taken for the other class
    expected[1, -1] = 1  # missed
    expected[-1, 1] = 1  # nothing there
    np.testing.assert_array_equal(matrix, expected)


def test_an_object_counts_once_for_the_best_score(tmp_path: Path) -> None:
    results = [entry(0.6, [LEFT], category_id=2), entry(0.9, [LEFT])]
    matrix = curves(tmp_path, scene([annotation(1, [LEFT])]), results).confusion
    assert (matrix[0, 0], matrix[-1, 1], matrix.sum()) == (1, 1, 2)


def test_low_scores_are_no_part_of_the_matrix(tmp_path: Path) -> None:
    truth, results = scene([annotation(1, [LEFT])]), [entry(0.2, [LEFT])]
    assert curves(tmp_path, truth, results).confusion[0, -1] == 1
    assert curves(tmp_path, truth, results, min_score=0.1).confusion[0, 0] == 1


def test_crowds_are_neither_missed_nor_wrong(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT], iscrowd=1), annotation(2, [RIGHT])])
    matrix = curves(tmp_path, truth, [entry(0.9, [LEFT]), entry(0.8, [RIGHT])]).confusion
    assert (matrix[0, 0], matrix.sum()) == (1, 1)
