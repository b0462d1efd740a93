"""Differences of two score files."""

from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.errors import DataError
from maskreel.evaluation.catalog import METRICS
from maskreel.evaluation.comparison import by_item, differences, headlines, read_scores
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT = box(2, 3, 10, 8), box(15, 3, 10, 8)
TRUTH = scene(
    [annotation(1, [LEFT]), annotation(2, [RIGHT], category_id=2, video_id=2)],
    videos=2,
)


def scored(folder: Path, results: Any) -> dict[str, Any]:
    ground_truth = read_ground_truth(write(folder, "gt.json", TRUTH))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    return score(ground_truth, predictions, ScoreOptions(metrics=tuple(METRICS), per_video=True))


def test_figures_classes_and_videos_are_compared(tmp_path: Path) -> None:
    before = scored(tmp_path, [entry(0.9, [LEFT])])
    after = scored(tmp_path, [entry(0.9, [RIGHT], category_id=2, video_id=2), entry(0.5, [RIGHT])])
    found = differences(before, after)
    main = {one.metric: one.change for one in headlines(found)}
    assert list(main) == list(METRICS)
    assert main["ap"] == 0.0
    assert main["hota"] == pytest.approx(
        after["hota"]["detection_averaged"]["HOTA"] - before["hota"]["detection_averaged"]["HOTA"]
    )
    classes = [(one.item, one.change) for one in by_item(found, "ap", of_videos=False)]
    assert classes == [("1", -1.0), ("2", 1.0)]
    videos = [(one.item, one.change) for one in by_item(found, "ap", of_videos=True)]
    assert videos == [("1", -1.0), ("2", 1.0)]


def test_what_one_file_lacks_has_no_change(tmp_path: Path) -> None:
    report = scored(tmp_path, [entry(0.9, [LEFT])])
    found = differences({"ap": report["ap"]}, report)
    assert next(one for one in headlines(found) if one.metric == "hota").change is None
    assert next(one for one in headlines(found) if one.metric == "ap").change == 0.0


@pytest.mark.parametrize("content", [[], {}, {"ap": 3}, {"loss": {"AP": 1.0}}])
def test_other_files_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match="no Score JSON"):
        read_scores(write(tmp_path, "a.json", content))


def test_a_score_file_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match="not the layout of a Score JSON"):
        differences({"ap": {"AP": 0.5, "per_category": {"1": 3}}}, {"ap": {}})
