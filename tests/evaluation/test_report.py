"""Metrics per video, confidence intervals, occlusion ranges and the flat table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.tracks import GroundTruth
from maskreel.errors import DataError
from maskreel.evaluation.average_precision import AveragePrecisionMeter
from maskreel.evaluation.catalog import METRICS
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.report import ScoreOptions, rows_of, score
from maskreel.evaluation.results import Predictions, read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write
from tests.evaluation.test_average_precision import random_scene

LEFT, RIGHT = box(2, 3, 10, 8), box(15, 3, 10, 8)


def read(folder: Path, truth: Any, results: Any) -> tuple[GroundTruth, Predictions]:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    return ground_truth, read_predictions(write(folder, "pred.json", results), ground_truth)


def measured(folder: Path, truth: Any, results: Any, **options: Any) -> dict[str, Any]:
    return score(*read(folder, truth, results), ScoreOptions(**options))


def copies(records: list[dict[str, Any]], times: list[int]) -> list[dict[str, Any]]:
    """Every video of the scene as often as `times` says, under ids of their own."""
    repeated = []
    for video, number in enumerate(times, start=1):
        of_video = [record for record in records if record["video_id"] == video]
        repeated += [{**record, "video_id": 100 * video + copy} for copy in range(number) for record in of_video]
    return [{**record, "id": index} if "id" in record else record for index, record in enumerate(repeated, start=1)]


@pytest.mark.parametrize("seed", range(4))
def test_a_video_that_is_weighted_twice_counts_like_two_copies(tmp_path: Path, seed: int) -> None:
    annotations, results = random_scene(seed)
    times = [2, 0, 3, 1]
    ground_truth, predictions = read(tmp_path, scene(annotations, frames=2, videos=4), results)
    meter = AveragePrecisionMeter(ground_truth)
    for overlap in measure(ground_truth, predictions):
        meter.add(overlap)
    weighted = meter.metrics(np.array([times]))
    repeated = scene(copies(annotations, times), frames=2, videos=1)
    repeated["videos"] = [
        {**repeated["videos"][0], "id": 100 * video + copy} for video, n in enumerate(times, 1) for copy in range(n)
    ]
    plain = measured(tmp_path, repeated, copies(results, times))["ap"]
    for name, values in weighted.items():
        expected = plain[name]
        assert (None if np.isnan(values[0]) else values[0]) == (None if expected is None else pytest.approx(expected))


def test_figures_of_one_video_are_those_of_a_file_with_that_video_alone(tmp_path: Path) -> None:
    annotations, results = random_scene(1)
    truth = scene(annotations, frames=2, videos=4)
    together = measured(tmp_path, truth, results, metrics=tuple(METRICS), per_video=True)
    alone = {
        **truth,
        "videos": [video for video in truth["videos"] if video["id"] == 3],
        "annotations": [record for record in annotations if record["video_id"] == 3],
    }
    one = measured(tmp_path, alone, [record for record in results if record["video_id"] == 3], metrics=tuple(METRICS))
    for word in METRICS:
        section = one[word].get("detection_averaged", one[word])
        for name, value in together[word]["per_video"]["3"].items():
            assert value == (None if section[name] is None else pytest.approx(section[name])), f"{word} {name}"


def test_confidence_intervals_hold_the_figure_and_are_the_same_every_time(tmp_path: Path) -> None:
    annotations, results = random_scene(2)
    truth = scene(annotations, frames=2, videos=4)
    options = {"metrics": tuple(METRICS), "bootstrap": 300}
    first, second = (measured(tmp_path, truth, results, **options) for _ in range(2))
    assert first == second
    low, high = first["ap"]["confidence"]["AP"]
    assert low < first["ap"]["AP"] < high
    low, high = first["hota"]["confidence"]["detection_averaged"]["HOTA"]
    assert low < first["hota"]["detection_averaged"]["HOTA"] < high
    assert first["ap"]["confidence"]["APl"] == [None, None]


def test_one_video_leaves_no_room_for_chance(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT])])
    report = measured(tmp_path, truth, [entry(0.9, [LEFT])], bootstrap=10)["ap"]
    assert report["confidence"]["AP"] == [report["AP"], report["AP"]]


def occluded(identity: int, labels: list[str | None], mask: Any) -> dict[str, Any]:
    return annotation(identity, [mask] * 4, occlusion=labels)


def test_occlusion_ranges_follow_the_upper_half_of_the_labels(tmp_path: Path) -> None:
    none, slight, severe = "no_occlusion", "slight_occlusion", "severe_occlusion"
    truth = scene(
        [
            occluded(1, [none, none, none, slight], LEFT),  # mean of 0 and .25: light
            occluded(2, [none, slight, severe, None], RIGHT),  # mean of .25 and .75: medium and heavy
        ],
        frames=4,
    )
    found = measured(tmp_path, truth, [entry(0.9, [LEFT] * 4)])["ap"]["occlusion"]
    assert (found["AP_light"], found["AP_medium"], found["AP_heavy"]) == (1.0, 0.0, 0.0)
    assert (found["AR_light"], found["AR_medium"], found["AR_heavy"]) == (1.0, 0.0, 0.0)


def test_files_without_occlusion_labels_have_no_such_figures(tmp_path: Path) -> None:
    assert "occlusion" not in measured(tmp_path, scene([annotation(1, [LEFT])]), [])["ap"]


def test_an_unknown_occlusion_label_is_refused(tmp_path: Path) -> None:
    truth = scene([occluded(1, ["hidden"] * 4, LEFT)], frames=4)
    with pytest.raises(DataError, match="unknown occlusion label 'hidden'"):
        measured(tmp_path, truth, [])


def test_the_flat_table_holds_every_figure_with_its_bounds(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT])])
    options = {"metrics": tuple(METRICS), "bootstrap": 5, "per_video": True, "errors": True}
    rows = list(rows_of(measured(tmp_path, truth, [entry(0.9, [LEFT])], **options)))
    assert ("ap", "all", "", "AP", 1.0, 1.0, 1.0) in rows
    assert ("ap", "all", "", "APl", None, None, None) in rows
    assert ("ap", "per_video", "1", "AP50", 1.0, None, None) in rows
    assert ("ap", "errors", "missed", "count", 0, None, None) in rows
    assert ("clear", "detection_averaged", "", "MOTA", 1.0, 1.0, 1.0) in rows
    assert ("jf", "per_class", "class 1", "J-Mean", 1.0, None, None) in rows
    assert {row[0] for row in rows} == set(METRICS)


def test_classes_that_share_a_name_are_told_apart(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT])])
    truth["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    assert set(measured(tmp_path, truth, [], metrics=("hota",))["hota"]["per_class"]) == {"cat (1)", "cat (2)"}


@pytest.mark.parametrize("seed", range(3))
def test_without_ties_the_order_of_files_changes_no_metric(tmp_path: Path, seed: int) -> None:
    annotations, results = random_scene(seed)
    truth = scene(annotations, frames=2, videos=4)
    options = {"metrics": tuple(METRICS), "per_video": True, "errors": True, "bootstrap": 20}
    before = list(rows_of(measured(tmp_path, truth, results, **options)))
    rng = np.random.default_rng(seed)
    shuffled = {**truth, "annotations": [annotations[i] for i in rng.permutation(len(annotations))]}
    shuffled["videos"], shuffled["categories"] = truth["videos"][::-1], truth["categories"][::-1]
    after = list(rows_of(measured(tmp_path, shuffled, [results[i] for i in rng.permutation(len(results))], **options)))
    assert {row[:4] for row in before} == {row[:4] for row in after}
    by_key = {row[:4]: row[4:] for row in after}
    for row in before:
        assert row[4:] == pytest.approx(by_key[row[:4]], abs=1e-12), row[:4]


def test_figures_per_iou_and_without_classes_are_rows_of_the_flat_table(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT])])
    rows = list(rows_of(measured(tmp_path, truth, [entry(0.9, [box(2, 3, 10, 5)], category_id=2)])))
    assert ("ap", "per_iou", "0.50", "AP", 0.0, None, None) in rows
    assert ("ap", "class_agnostic", "", "AP50", 1.0, None, None) in rows
    assert ("ap", "class_agnostic", "", "AP75", 0.0, None, None) in rows
