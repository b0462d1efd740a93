"""HOTA, CLEAR, identity metrics and TrackMAP against recorded metrics of the tracking evaluators."""

import json
from pathlib import Path
from typing import Any

import pytest

from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.builders import shared_path
from tests.golden.made_scene import FIGURES, write_scene
from tests.golden.test_average_precision import CASES, assert_figures

METRICS = ("hota", "clear", "identity", "trackmap")


def assert_section(section: dict[str, Any], golden: dict[str, Any], where: str) -> set[str]:
    """Metrics equal to 1e-6, None for -1; returns their names."""
    for name, value in section.items():
        theirs = golden[name]
        if value is None:
            assert theirs == -1, f"{where}: {name}"
        else:
            assert value == pytest.approx(theirs, rel=0, abs=1e-6), f"{where}: {name}"
    return set(section)


@pytest.mark.golden
@pytest.mark.parametrize("strict_reference", [False, True], ids=["repaired", "strict"])
@pytest.mark.parametrize("case", CASES)
def test_all_figures_equal_those_of_the_tracking_evaluator(case: str, strict_reference: bool) -> None:
    folder, _, results = case.partition(" ")
    suffix = f"_{results}" if results else ""
    golden = json.loads(shared_path(f"eval/{folder}/golden_trackeval{suffix}.json").read_text())
    ground_truth = read_ground_truth(shared_path(f"eval/{folder}/gt.json"))
    predictions = read_predictions(shared_path(f"eval/{folder}/pred{suffix}.json"), ground_truth)
    options = ScoreOptions(metrics=METRICS, strict_reference=strict_reference)
    report = score(ground_truth, predictions, options)
    for group in ("class_averaged", "detection_averaged"):
        names = [assert_section(report[word][group], golden[group], f"{word} {group}") for word in METRICS]
        assert set().union(*names) == set(golden[group])
    for word in METRICS:
        assert set(report[word]["per_class"]) == set(golden["per_class"])
        for label, metrics in report[word]["per_class"].items():
            assert_section(metrics, golden["per_class"][label], f"{word} {label}")


@pytest.mark.golden(shipped=True)
@pytest.mark.parametrize("word", METRICS)
def test_all_figures_of_the_made_scene_stay(tmp_path: Path, word: str) -> None:
    truth, results = write_scene(tmp_path)
    recorded = json.loads(FIGURES.read_text())[word]
    ground_truth = read_ground_truth(truth)
    report = score(ground_truth, read_predictions(results, ground_truth), ScoreOptions(metrics=(word,)))[word]
    assert_figures(report, recorded)
