"""Tracking metrics on scenes that can be worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT = box(2, 3, 10, 8), box(15, 3, 10, 8)
TRUTH = scene([annotation(1, [LEFT] * 4), annotation(2, [RIGHT] * 4)], frames=4)


def measured(folder: Path, truth: Any, results: Any, word: str) -> dict[str, Any]:
    ground_truth = read_ground_truth(write(folder, "gt.json", truth))
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth)
    return score(ground_truth, predictions, ScoreOptions(metrics=(word,)))[word]


def test_perfect_tracks_score_1(tmp_path: Path) -> None:
    results = [entry(0.9, [LEFT] * 4), entry(0.8, [RIGHT] * 4)]
    assert measured(tmp_path, TRUTH, results, "hota")["detection_averaged"]["HOTA"] == pytest.approx(1.0)
    clear = measured(tmp_path, TRUTH, results, "clear")["detection_averaged"]
    assert (clear["MOTA"], clear["MOTP"], clear["IDSW"], clear["Frag"]) == (1.0, 1.0, 0.0, 0.0)
    assert measured(tmp_path, TRUTH, results, "identity")["detection_averaged"]["IDF1"] == 1.0


def test_two_tracks_that_change_places_switch_twice(tmp_path: Path) -> None:
    results = [entry(0.9, [LEFT, LEFT, RIGHT, RIGHT]), entry(0.8, [RIGHT, RIGHT, LEFT, LEFT])]
    clear = measured(tmp_path, TRUTH, results, "clear")["detection_averaged"]
    assert (clear["IDSW"], clear["CLR_TP"], clear["Frag"]) == (2.0, 8.0, 0.0)
    assert clear["MOTA"] == pytest.approx(6 / 8)
    # Each true track keeps one of its two predictions: four of eight detections.
    assert measured(tmp_path, TRUTH, results, "identity")["detection_averaged"]["IDF1"] == pytest.approx(0.5)
    hota = measured(tmp_path, TRUTH, results, "hota")["detection_averaged"]
    # Every detection is right; each match of two frames shares 2 of the 4 + 4 - 2 frames of both tracks.
    assert hota["DetA"] == pytest.approx(1.0)
    assert hota["AssA"] == pytest.approx(1 / 3)
    assert hota["HOTA"] == pytest.approx((1 / 3) ** 0.5)


def test_an_interrupted_track_is_fragmented_but_not_switched(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 4)], frames=4)
    clear = measured(tmp_path, truth, [entry(0.9, [LEFT, RIGHT, LEFT, LEFT])], "clear")["detection_averaged"]
    assert (clear["Frag"], clear["IDSW"], clear["CLR_FN"], clear["CLR_FP"]) == (1.0, 0.0, 1.0, 1.0)
    assert clear["MOTA"] == pytest.approx((3 - 1) / 4)


def test_a_switch_is_counted_across_frames_without_a_match(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 5)], frames=5)
    results = [entry(0.9, [LEFT, None, None, None, None]), entry(0.8, [None, None, None, LEFT, LEFT])]
    clear = measured(tmp_path, truth, results, "clear")["detection_averaged"]
    assert (clear["IDSW"], clear["CLR_TP"], clear["CLR_FN"]) == (1.0, 3.0, 2.0)
    assert clear["MOTA"] == pytest.approx((3 - 1) / 5)


def test_a_switch_is_counted_after_frames_in_which_the_object_is_away(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT, None, LEFT]), annotation(2, [RIGHT] * 3)], frames=3)
    results = [entry(0.9, [LEFT, None, None]), entry(0.8, [None, None, LEFT]), entry(0.7, [RIGHT] * 3)]
    clear = measured(tmp_path, truth, results, "clear")["detection_averaged"]
    assert (clear["IDSW"], clear["Frag"], clear["CLR_TP"]) == (1.0, 1.0, 5.0)


def test_a_match_goes_on_although_another_track_overlaps_more(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 2)], frames=2)
    close = box(2, 3, 10, 7)
    results = [entry(0.9, [LEFT, close]), entry(0.8, [None, LEFT])]
    clear = measured(tmp_path, truth, results, "clear")["detection_averaged"]
    assert (clear["IDSW"], clear["CLR_FP"]) == (0.0, 1.0)
    assert clear["MOTP"] == pytest.approx((1 + 7 / 8) / 2)


def test_predictions_are_surplus_where_no_object_is(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT, None, None])], frames=3)
    clear = measured(tmp_path, truth, [entry(0.9, [LEFT, RIGHT, RIGHT])], "clear")["detection_averaged"]
    assert (clear["CLR_TP"], clear["CLR_FP"], clear["CLR_FN"]) == (1.0, 2.0, 0.0)


def test_hota_prefers_the_track_that_fits_over_the_whole_video(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 4)], frames=4)
    seven_eighths = box(2, 3, 10, 7)
    results = [entry(0.9, [LEFT, LEFT, LEFT, seven_eighths]), entry(0.8, [None, None, None, LEFT])]
    # In the last frame the second track overlaps more. The first is right in all frames up to .85, at .90 and .95 in
    # three: then it shares 3 of 4 + 4 - 3 frames.
    hota = measured(tmp_path, truth, results, "hota")["detection_averaged"]
    assert hota["AssA"] == pytest.approx((17 + 2 * 3 / 5) / 19)


def test_identity_is_settled_over_whole_tracks(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT] * 5)], frames=5)
    results = [entry(0.9, [LEFT, LEFT, None, None, None]), entry(0.8, [None, None, LEFT, LEFT, LEFT])]
    identity = measured(tmp_path, truth, results, "identity")["detection_averaged"]
    # The longer one counts: 3 of 5 detections of the truth, 3 of 5 predicted ones.
    assert (identity["IDR"], identity["IDP"]) == (pytest.approx(0.6), pytest.approx(0.6))
    assert identity["IDF1"] == pytest.approx(0.6)


def test_localisation_counts_in_hota_and_motp(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT])])
    three_quarters = box(2, 3, 10, 6)
    hota = measured(tmp_path, truth, [entry(0.9, [three_quarters])], "hota")["detection_averaged"]
    # Right at the thresholds .05 to .75: 15 of 19.
    assert hota["DetA"] == pytest.approx(15 / 19)
    assert hota["HOTA"] == pytest.approx(15 / 19)
    clear = measured(tmp_path, truth, [entry(0.9, [three_quarters])], "clear")["detection_averaged"]
    assert clear["MOTP"] == pytest.approx(0.75)


def test_classes_without_tracks_count_0_in_the_mean_of_classes(tmp_path: Path) -> None:
    results = [entry(0.9, [LEFT] * 4), entry(0.8, [RIGHT] * 4)]
    report = measured(tmp_path, TRUTH, results, "hota")
    assert report["class_averaged"]["HOTA"] == pytest.approx(0.5)
    assert report["per_class"]["class 2"]["HOTA"] == 0.0


def test_track_map_lets_a_crowd_absorb_one_prediction_only(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT]), annotation(2, [RIGHT], iscrowd=1)])
    results = [entry(0.9, [RIGHT]), entry(0.8, [RIGHT]), entry(0.7, [LEFT])]
    assert measured(tmp_path, truth, results, "trackmap")["class_averaged"]["AP_all"] == pytest.approx(0.5)


def test_track_map_has_no_limit_of_predictions(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT])])
    results = [*(entry(0.9, [RIGHT]) for _ in range(120)), entry(0.5, [LEFT])]
    metrics = measured(tmp_path, truth, results, "trackmap")["class_averaged"]
    assert metrics["AR_all"] == 1.0
    assert metrics["AP_area_l"] is None


def test_the_first_prediction_passes_for_none_in_the_reference_only(tmp_path: Path) -> None:
    truth = scene([annotation(1, [LEFT], areas=[80])])
    ground_truth = read_ground_truth(write(tmp_path, "gt.json", truth))
    results = [entry(0.9, [LEFT]), entry(0.8, [LEFT])]
    predictions = read_predictions(write(tmp_path, "pred.json", results), ground_truth)
    recall = {
        strict: score(ground_truth, predictions, ScoreOptions(metrics=("trackmap",), strict_reference=strict))
        for strict in (False, True)
    }
    assert recall[False]["trackmap"]["class_averaged"]["AR_all"] == 1.0
    assert recall[True]["trackmap"]["class_averaged"]["AR_all"] == 2.0


def test_nothing_at_all_is_measured_without_failing(tmp_path: Path) -> None:
    truth = scene([], frames=2)
    for word in ("hota", "clear", "identity", "trackmap"):
        averaged = measured(tmp_path, truth, [], word)["class_averaged"]
        assert set(averaged.values()) <= {None, 0.0, 1.0}
