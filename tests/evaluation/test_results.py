"""What annotation and results files are read, repaired and refused."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.average_precision import average_precision
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

MASK = box(2, 3, 10, 8)


def score(folder: Path, truth: Any, results: Any, *, strict_reference: bool = False) -> dict[str, Any]:
    """AP metrics of two files."""
    ground_truth = read_ground_truth(write(folder, "gt.json", truth), strict_reference=strict_reference)
    predictions = read_predictions(write(folder, "pred.json", results), ground_truth, strict_reference=strict_reference)
    return average_precision(ground_truth, predictions, strict_reference=strict_reference).to_json()


def without(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != key}


GOOD = scene([annotation(1, [MASK])])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "the file is empty"),
        ("not json", "not a JSON file"),
        ('{"videos": [', "not a JSON file, or cut short"),
        ("[" * 100_000, "not a JSON file"),
        (b"\xff\xfe\x00{".decode("latin-1"), "not a JSON file"),
        ([entry(0.5, [MASK])], "the annotations come first"),
        ({"a": 1}, "not a YouTube-VIS file"),
        ("3", "not a YouTube-VIS file"),
        ({**GOOD, "annotations": None}, "there is no ground truth in it"),
        (without(GOOD, "annotations"), "there is no ground truth in it"),
        ({**GOOD, "annotations": {}}, r'"annotations" is {}; expected a list'),
        (without(GOOD, "categories"), r'"categories" is missing; expected a list'),
        ({**GOOD, "videos": [without(GOOD["videos"][0], "id")]}, r'video at position 0: "id" is missing'),
        (
            {**GOOD, "videos": [{**GOOD["videos"][0], "height": "20"}]},
            r"video 1: \"height\" is '20'; expected",
        ),
        ({**GOOD, "videos": [{**GOOD["videos"][0], "width": 0}]}, "video 1: size 0x20"),
        ({**GOOD, "videos": [{**GOOD["videos"][0], "length": 2}]}, r'video 1: 1 "file_names" but "length" 2'),
        ({**GOOD, "videos": GOOD["videos"] * 2}, "video 1 stands twice"),
        ({**GOOD, "categories": GOOD["categories"] * 2}, "category 1 stands twice"),
        ({**GOOD, "categories": [7]}, "category at position 0 is 7; expected an object"),
        ({**GOOD, "annotations": [without(annotation(1, [MASK]), "id")]}, r'annotation at position 0: "id" is missing'),
        ({**GOOD, "annotations": [without(annotation(1, [MASK]), "video_id")]}, r'annotation 1: "video_id" is missing'),
        (
            {**GOOD, "annotations": [annotation(1, [MASK], video_id=9)]},
            r'annotation 1: "video_id" 9 is not among the 1 videos',
        ),
        (
            {**GOOD, "annotations": [annotation(1, [MASK], category_id=9)]},
            'annotation 1: "category_id" 9 is not',
        ),
        ({**GOOD, "annotations": [without(annotation(1, [MASK]), "segmentations")]}, r'"segmentations" is missing'),
        ({**GOOD, "annotations": [annotation(1, [MASK, None])]}, r'annotation 1: 2 "segmentations" for 1 frames'),
        ({**GOOD, "annotations": [annotation(1, [MASK], areas=[1, 2])]}, r'annotation 1: 2 "areas" for 1 frames'),
        ({**GOOD, "annotations": [annotation(1, [MASK], areas=["1"])]}, r'"areas" must hold numbers'),
        (
            {**GOOD, "annotations": [{**annotation(1, []), "segmentations": MASK}]},
            '"segmentations" is .* a list',
        ),
    ],
)
def test_a_file_that_is_no_ground_truth_is_refused_in_one_sentence(tmp_path: Path, content: Any, reason: str) -> None:
    path = write(tmp_path, "gt.json", content)
    with pytest.raises(DataError, match=reason) as caught:
        read_ground_truth(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a JSON file"),
        ({"results": []}, "a results file is a list"),
        (GOOD, "the annotations come first"),
        ([3], "entry 0: 3; expected an object"),
        ([without(entry(0.5, [MASK]), "video_id")], r'entry 0: "video_id" is missing'),
        ([entry(0.5, [MASK]), entry(0.5, [MASK], video_id=7)], "entry 1: video_id 7 is not in"),
        ([entry(0.5, [MASK], category_id=7)], "entry 0: category_id 7 is not in"),
        ([entry(float("nan"), [MASK])], "entry 0: score is nan"),
        ([entry(float("inf"), [MASK])], "entry 0: score is inf"),
        ([entry(10**400, [MASK])], "entry 0: score is inf"),
        ([{**entry(0.5, [MASK]), "score": "0.5"}], "entry 0: score is '0.5', not a number"),
        ([without(entry(0.5, [MASK]), "score")], "entry 0: score is missing"),
        ([without(entry(0.5, [MASK]), "segmentations")], r'entry 0: "segmentations" is missing'),
        ([entry(0.5, [MASK, MASK])], r'entry 0: 2 "segmentations" for 1 frames'),
        ([entry(0.5, [])], r'entry 0: 0 "segmentations"'),
    ],
)
def test_results_that_do_not_fit_are_refused_naming_the_entry(tmp_path: Path, content: Any, reason: str) -> None:
    ground_truth = read_ground_truth(write(tmp_path, "gt.json", GOOD))
    path = write(tmp_path, "pred.json", content)
    with pytest.raises(DataError, match=reason) as caught:
        read_predictions(path, ground_truth)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ({**MASK, "size": [30, 20]}, r"mask size \[30, 20\].*rows and columns look swapped"),
        ({**MASK, "size": [10, 10]}, r"mask size \[10, 10\]"),
        ({**MASK, "counts": "1"}, "cover 1 pixels, only the frame's 600"),
        ("mask", "'size' and 'counts'"),
        ([[1e9, 0, 1, 1, 2, 2]], "far outside the frame"),
    ],
)
@pytest.mark.parametrize("place", ["video 1, annotation 1", "entry 0"])
def test_a_faulty_mask_is_refused_naming_entry_and_frame(tmp_path: Path, mask: Any, reason: str, place: str) -> None:
    masks = {"video 1, annotation 1": [MASK, MASK], "entry 0": [MASK, MASK]}
    masks[place][1] = mask
    truth = scene([annotation(1, masks["video 1, annotation 1"])], frames=2)
    with pytest.raises(DataError, match=f"{place}, frame 1: .*{reason}"):
        score(tmp_path, truth, [entry(0.5, masks["entry 0"])])


def test_a_missing_file_is_a_fault_of_what_was_typed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: cannot be read"):
        read_ground_truth(tmp_path / "gone.json")


def test_missing_areas_crowd_flags_and_id_0_are_repaired_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = without(without(annotation(0, [MASK]), "areas"), "iscrowd")
    with caplog.at_level(logging.WARNING):
        metrics = score(tmp_path, scene([bare]), [entry(0.5, [MASK])])
    assert metrics["AP"] == 1.0
    assert metrics["APs"] == 1.0
    (warning,) = caplog.messages
    assert "1 with id 0" in warning
    assert "1 without iscrowd" in warning
    assert "1 without areas" in warning


def test_sound_files_are_read_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert score(tmp_path, scene([annotation(1, [MASK], areas=[80])]), [entry(0.5, [MASK])])["AP"] == 1.0
    assert not caplog.messages


def test_repeated_annotation_ids_are_counted_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = box(15, 3, 10, 8)
    truth = scene([annotation(1, [MASK]), annotation(1, [other])])
    metrics = score(tmp_path, truth, [entry(0.5, [MASK]), entry(0.4, [other])])
    assert metrics["AP"] == 1.0
    assert "stands twice" in caplog.text


def test_an_empty_results_list_is_ap_0(tmp_path: Path) -> None:
    metrics = score(tmp_path, GOOD, [])
    assert (metrics["AP"], metrics["AR100"], metrics["APl"]) == (0.0, 0.0, None)


def test_ground_truth_without_tracks_measures_nothing(tmp_path: Path) -> None:
    metrics = score(tmp_path, scene([]), [entry(0.5, [MASK])])
    assert metrics["AP"] is None
    assert metrics["ap_per_iou"] == [None] * 10


def test_all_forms_of_masks_are_read_in_both_files(tmp_path: Path) -> None:
    run_list = {"size": [20, 30], "counts": [20 * 2 + 3, *([8, 12] * 10)[:-1], 20 * 18 + 20 - 3 - 8]}
    polygon = [[2, 3, 12, 3, 12, 11, 2, 11]]
    truth = scene([annotation(1, [MASK, run_list, polygon, [], None])], frames=5)
    assert score(tmp_path, truth, [entry(0.5, [run_list, polygon, MASK, None, []])])["AP"] == 1.0


class TestStrictReference:
    """`strict_reference` brings the faults of the reference evaluator back."""

    def test_an_annotation_with_id_0_is_missed_and_its_prediction_false(self, tmp_path: Path) -> None:
        truth = scene([annotation(0, [MASK], areas=[80])])
        assert score(tmp_path, truth, [entry(0.5, [MASK])])["AP"] == 1.0
        assert score(tmp_path, truth, [entry(0.5, [MASK])], strict_reference=True)["AP"] == 0.0

    def test_repeated_ids_overwrite_each_other(self, tmp_path: Path) -> None:
        other = box(15, 3, 10, 8)
        truth = scene([annotation(1, [MASK], areas=[80]), annotation(1, [other], areas=[80])])
        metrics = score(tmp_path, truth, [entry(0.5, [MASK]), entry(0.4, [other])], strict_reference=True)
        assert metrics["AR100"] == 0.5

    def test_unknown_classes_are_dropped(self, tmp_path: Path) -> None:
        truth = scene([annotation(1, [MASK], areas=[80])])
        results = [entry(0.9, [MASK], category_id=7), entry(0.5, [MASK])]
        metrics = score(tmp_path, truth, results, strict_reference=True)
        assert (metrics["AP"], metrics["class_agnostic_stats"][0]) == (1.0, 1.0)

    def test_nan_scores_sort_last(self, tmp_path: Path) -> None:
        truth = scene([annotation(1, [MASK], areas=[80])])
        results = [entry(float("nan"), [MASK]), entry(0.1, [box(20, 12, 5, 5)])]
        assert score(tmp_path, truth, results, strict_reference=True)["AP"] == 0.5

    def test_surplus_frames_cost_nothing(self, tmp_path: Path) -> None:
        truth = scene([annotation(1, [MASK], areas=[80])])
        assert score(tmp_path, truth, [entry(0.5, [MASK, MASK])], strict_reference=True)["AP"] == 1.0

    def test_masks_of_another_size_meet_nothing(self, tmp_path: Path) -> None:
        truth = scene([annotation(1, [MASK], areas=[80])])
        swapped = {"size": [30, 20], "counts": MASK["counts"]}
        assert score(tmp_path, truth, [entry(0.5, [swapped])], strict_reference=True)["AP"] == 0.0

    @pytest.mark.parametrize(
        ("truth", "results", "reason"),
        [
            (scene([annotation(1, [MASK], areas=[80])]), [], "an empty list"),
            (scene([annotation(1, [MASK], areas=[80])]), [entry(0.5, [MASK], video_id=7)], "video_id 7 is not in"),
            (scene([annotation(1, [MASK], areas=[80])]), [entry(0.5, [[[1, 1, 9, 1, 9, 9]]])], "not a compressed mask"),
            (scene([without(annotation(1, [MASK]), "areas")]), [entry(0.5, [MASK])], "has no areas"),
            (scene([without(annotation(1, [MASK]), "iscrowd")]), [entry(0.5, [MASK])], "has no iscrowd"),
        ],
    )
    def test_what_crashes_the_reference_is_refused(self, tmp_path: Path, truth: Any, results: Any, reason: str) -> None:
        with pytest.raises(DataError, match=reason):
            score(tmp_path, truth, results, strict_reference=True)


def test_the_report_is_plain_json(tmp_path: Path) -> None:
    metrics = score(tmp_path, GOOD, [entry(0.5, [MASK])])
    assert json.loads(json.dumps(metrics)) == metrics
    assert set(metrics["per_category"]) == {"1", "2"}
    assert metrics["per_category"]["2"]["AP"] is None


# What tables, scripts and other tools write


@pytest.mark.parametrize("mark", ["0", "false", False, 0.0, None])
def test_a_crowd_mark_in_another_type_counts_as_it_is_meant(tmp_path: Path, mark: Any) -> None:
    truth = scene([annotation(1, [MASK], iscrowd=mark)])
    assert score(tmp_path, truth, [entry(0.5, [MASK])])["AP"] == 1.0


@pytest.mark.parametrize("mark", [7, "2", [0], -1])
def test_a_crowd_mark_that_means_nothing_is_refused(tmp_path: Path, mark: Any) -> None:
    with pytest.raises(DataError, match=r'gt\.json: video 1, annotation 1: "iscrowd" is .*; expected 0 or 1'):
        score(tmp_path, scene([annotation(1, [MASK], iscrowd=mark)]), [entry(0.5, [MASK])])


def test_ids_that_a_table_wrote_as_floats_or_text_are_the_numbers(tmp_path: Path) -> None:
    truth = scene([{**annotation(1, [MASK]), "id": 1.0, "video_id": "1", "category_id": 1.0}])
    found = {**entry(0.5, [MASK]), "video_id": 1.0, "category_id": " 1 "}
    assert score(tmp_path, truth, [found])["AP"] == 1.0
    with pytest.raises(DataError, match=r'entry 0: "video_id" is 1\.5; expected a whole number'):
        score(tmp_path, truth, [{**found, "video_id": 1.5}])


def test_counts_as_the_text_of_python_bytes_are_read(tmp_path: Path) -> None:
    quoted = {**MASK, "counts": repr(MASK["counts"].encode())}
    assert score(tmp_path, GOOD, [entry(0.5, [quoted])])["AP"] == 1.0
    # A backslash is a character of the code, doubled in the text.
    other = box(2, 4, 10, 8)
    assert "\\" in other["counts"]
    quoted = {**other, "counts": repr(other["counts"].encode())}
    assert score(tmp_path, scene([annotation(1, [other])]), [entry(0.5, [quoted])])["AP"] == 1.0


def test_results_for_images_are_named_as_such(tmp_path: Path) -> None:
    found = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": MASK}
    with pytest.raises(DataError, match=r"entry 0: results for images \(image_id.*results for videos have video_id"):
        score(tmp_path, GOOD, [found])


@pytest.mark.parametrize(
    ("truth", "words"),
    [([], "it holds no annotation"), ([annotation(1, [MASK], iscrowd=1)], r"it holds only crowds \(1\)")],
)
def test_a_truth_without_objects_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, truth: list[Any], words: str
) -> None:
    assert score(tmp_path, scene(truth), [entry(0.5, [MASK])])["AP"] is None
    assert re.search(rf"gt\.json: no object to measure against: {words}", caplog.text)
