"""Every line of the catalog is a whole metric, and help and tables know it."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.data.annotation_file import read_ground_truth
from maskreel.evaluation.catalog import METRICS, about
from maskreel.evaluation.metric import Metric
from maskreel.evaluation.report import ScoreOptions, score
from maskreel.evaluation.results import read_predictions
from tests.evaluation.scenes import annotation, box, entry, scene, write

MASK = box(2, 3, 10, 8)


@pytest.mark.parametrize("word", METRICS)
def test_a_metric_has_every_column_in_every_average_that_it_shows(word: str, tmp_path: Path) -> None:
    ground_truth = read_ground_truth(write(tmp_path, "gt.json", scene([annotation(1, [MASK])], videos=2)))
    predictions = read_predictions(write(tmp_path, "pred.json", [entry(0.9, [MASK])]), ground_truth)
    metric = METRICS[word].load()(ground_truth, predictions)
    assert isinstance(metric, Metric)
    section = score(ground_truth, predictions, ScoreOptions(metrics=(word,), bootstrap=2, per_video=True))[word]
    for average in about(word).averages:
        measured = section if average == "all" else section[average]
        bounds = section["confidence"] if average == "all" else section["confidence"][average]
        assert set(about(word).columns) <= set(measured)
        assert set(about(word).columns) <= set(bounds)
    assert set(about(word).counts) <= set(about(word).columns)
    assert about(word).columns[0] in section["per_video"]["1"]
    assert set(about(word).lists) <= set(section)


@pytest.mark.parametrize("word", METRICS)
def test_a_metric_prints_its_table_and_stands_in_the_help(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    files = [str(write(tmp_path, "gt.json", scene([annotation(1, [MASK])])))]
    files.append(str(write(tmp_path, "pred.json", [entry(0.9, [MASK])])))
    assert main(["score", *files, "--metrics", word]) == 0
    assert capsys.readouterr().out.split()[: 1 + len(about(word).columns)] == [word, *about(word).columns]
    assert main(["score", "--help"]) == 0
    assert f"{word} (" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_catalogs_are_read_without_what_they_list() -> None:
    code = (
        "import sys, maskreel.evaluation.catalog, maskreel.data.formats.catalog;"
        "print(sorted({'numpy', 'scipy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
