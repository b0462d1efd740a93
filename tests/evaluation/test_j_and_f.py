"""Region similarity and boundary accuracy against a plain computation and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation import j_and_f
from maskreel.evaluation.j_and_f import boundary_accuracy, boundary_map
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from maskreel.geometry.rle import encode
from maskreel.geometry.runs import pack_tracks
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT = box(2, 3, 10, 8), box(15, 3, 10, 8)


def measured(folder: Path, truth: Any, results: Any) -> dict[str, Any]:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    return score(ground_truth, predictions, ScoreOptions(metrics=("jf",)))["jf"]


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel: does a neighbour to the right or below, inside the frame, differ?"""
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            for below, right in ((0, 1), (1, 0), (1, 1)):
                if y + below < height and x + right < width:
                    edge[y, x] |= mask[y, x] != mask[y + below, x + right]
    return edge


def plain_accuracy(true: np.ndarray, found: np.ndarray) -> float:
    """F-measure of boundaries that are dilated by a disc."""
    radius = int(np.ceil(0.008 * np.hypot(*true.shape)))
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = rows**2 + columns**2 <= radius**2
    true, found = plain_boundary(true), plain_boundary(found)
    if not true.any() or not found.any():
        return float(true.any() == found.any())
    precision = (found & binary_dilation(true, disc)).sum() / found.sum()
    recall = (true & binary_dilation(found, disc)).sum() / true.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_mask(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    centre, radii = rng.random(2) * (height, width), 1 + rng.random(2) * (height, width)
    return {
        0: np.zeros((height, width), dtype=bool),
        1: np.ones((height, width), dtype=bool),
        2: rng.random((height, width)) < 0.1,
    }.get(int(rng.integers(6)), ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 0.3)


@pytest.mark.slow
def test_boundaries_and_their_accuracy_equal_a_plain_computation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(n) for n in rng.integers(3, 60, 2) * rng.integers(1, 4))
        true, found = random_mask(rng, height, width), random_mask(rng, height, width)
        assert np.array_equal(boundary_map(true), plain_boundary(true))
        packed = pack_tracks(
            [[encode(true)], [encode(found)]], height=height, width=width, place=lambda track, frame: ""
        )
        (accuracy,) = boundary_accuracy(packed, 0, 1, height=height, width=width)
        assert accuracy == pytest.approx(plain_accuracy(true, found), abs=1e-12)


@pytest.mark.parametrize("strip", [1, 40, 700])
def test_large_windows_are_taken_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    rng = np.random.default_rng(1)
    size = {"height": 90, "width": 140}
    for _ in range(6):
        masks = [[encode(random_mask(rng, 90, 140)), encode(random_mask(rng, 90, 140))] for _ in range(2)]
        packed = pack_tracks(masks, **size, place=lambda track, frame: "")
        whole = boundary_accuracy(packed, 0, 1, **size)
        with monkeypatch.context() as patched:
            patched.setattr(j_and_f, "_STRIP", strip)
            np.testing.assert_array_equal(boundary_accuracy(packed, 0, 1, **size), whole)


def test_perfect_masks_score_1_whatever_their_class_and_score(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT, None]), annotation(2, [RIGHT] * 2, category_id=2)], frames=2)
    metrics = measured(tmp_path, truth, [entry(0.1, [RIGHT] * 2), entry(0.0, [LEFT, None], category_id=2)])
    assert (metrics["J&F"], metrics["J-Recall"], metrics["F-Mean"], metrics["J-Decay"]) == (1.0, 1.0, 1.0, 0.0)


def test_region_figures_follow_the_frames(tmp_path: Path) -> None:
    half = box(2, 3, 10, 4)
    truth = scene([annotation(1, [LEFT] * 8)], frames=8)
    metrics = measured(tmp_path, truth, [entry(0.9, [LEFT, LEFT, LEFT, LEFT, half, half, half, half])])
    assert metrics["J-Mean"] == pytest.approx(0.75)
    assert metrics["J-Recall"] == pytest.approx(0.5)
    assert metrics["J-Decay"] == pytest.approx(0.5)


def test_an_object_that_nobody_found_is_right_where_it_is_absent_only(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 4), annotation(2, [RIGHT, RIGHT, RIGHT, None])], frames=4)
    metrics = measured(tmp_path, truth, [entry(0.9, [LEFT] * 4)])
    assert metrics["J-Mean"] == pytest.approx((1 + 0.25) / 2)
    assert metrics["F-Mean"] == pytest.approx((1 + 0.25) / 2)


def test_each_prediction_serves_one_object_and_surplus_ones_cost_nothing(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [LEFT])])
    metrics = measured(tmp_path, truth, [entry(0.9, [LEFT]), entry(0.9, [RIGHT]), entry(0.9, [RIGHT])])
    assert metrics["J-Mean"] == pytest.approx(0.5)


def test_crowds_do_not_count_and_nothing_is_measured_without_objects(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT], iscrowd=1)])
    metrics = measured(tmp_path, truth, [entry(0.9, [RIGHT])])
    assert metrics["J&F"] is None
    assert metrics["per_class"]["class 1"]["F-Mean"] is None
