"""How steady masks are, by hand."""

from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

WHOLE, HALF, QUARTER = (box(2, 3, width, 8) for width in (12, 6, 3))


def measured(folder: Path, truth: list[Any], results: list[Any], *, frames: int = 4, **options: Any) -> dict[str, Any]:
    ground_truth = read_ground_truth(write(folder, "gt.json", scene(truth, frames=frames, classes=1)))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    found = score(ground_truth, predictions, ScoreOptions(metrics=("consistency",), **options))
    return found["consistency"]["detection_averaged"]


def test_masks_that_are_always_right_or_always_half_right_are_steady(tmp_path: Path) -> None:
    truth = [annotation(1, [WHOLE] * 4)]
    assert measured(tmp_path, truth, [entry(0.9, [WHOLE] * 4)]) == {"Consistency": 1.0, "IoU_change": 0.0, "IoU": 1.0}
    assert measured(tmp_path, truth, [entry(0.9, [HALF] * 4)]) == {"Consistency": 1.0, "IoU_change": 0.0, "IoU": 0.5}


def test_flicker_counts_by_how_far_the_overlap_changes(tmp_path: Path) -> None:
    truth = [annotation(1, [WHOLE] * 4)]
    found = measured(tmp_path, truth, [entry(0.9, [WHOLE, HALF, WHOLE, HALF])])
    assert found["IoU_change"] == pytest.approx(0.5)
    assert found["Consistency"] == pytest.approx(0.5)
    assert found["IoU"] == pytest.approx(0.75)
    found = measured(tmp_path, truth, [entry(0.9, [WHOLE, WHOLE, WHOLE, QUARTER])])
    assert found["IoU_change"] == pytest.approx(0.75 / 3)


def test_a_missing_mask_is_an_overlap_of_nothing_and_an_absent_object_is_no_step(tmp_path: Path) -> None:
    found = measured(tmp_path, [annotation(1, [WHOLE] * 4)], [entry(0.9, [WHOLE, None, WHOLE, WHOLE])])
    assert found["IoU_change"] == pytest.approx(2 / 3)
    truth = [annotation(1, [WHOLE, None, WHOLE, WHOLE])]
    found = measured(tmp_path, truth, [entry(0.9, [WHOLE, HALF, HALF, WHOLE])])
    assert found["IoU_change"] == pytest.approx(0.5)


def test_only_tracks_that_are_found_count_and_each_once(tmp_path: Path) -> None:
    truth = [annotation(1, [WHOLE] * 4), annotation(2, [box(16, 3, 12, 8)] * 4)]
    flickering = [WHOLE, HALF, WHOLE, HALF]
    found = measured(tmp_path, truth, [entry(0.9, flickering), entry(0.8, [WHOLE] * 4)])
    assert found["IoU_change"] == 0.0
    assert measured(tmp_path, truth, [entry(0.9, [QUARTER] * 4)]) == dict.fromkeys(("Consistency", "IoU_change", "IoU"))


def test_videos_are_weighed_by_their_frames(tmp_path: Path) -> None:
    truth = [annotation(1, [WHOLE] * 4), annotation(2, [WHOLE] * 2 + [None] * 2, video_id=2)]
    ground_truth = read_ground_truth(write(tmp_path, "gt.json", scene(truth, frames=4, videos=2, classes=1)))
    results = [entry(0.9, [WHOLE] * 4), entry(0.9, [WHOLE, HALF, None, None], video_id=2)]
    predictions = read_predictions(write(tmp_path, "pred.json", results), ground_truth)
    section = score(ground_truth, predictions, ScoreOptions(metrics=("consistency",), per_video=True))["consistency"]
    assert section["detection_averaged"]["IoU_change"] == pytest.approx(0.5 / 4)
    assert section["per_video"]["2"]["IoU_change"] == pytest.approx(0.5)
