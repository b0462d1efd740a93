"""`maskreel score` from the command line."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import main
from tests.evaluation.scenes import annotation, box, entry, scene, write

MASK, OTHER = box(2, 3, 10, 8), box(15, 3, 10, 8)
TRUTH = scene([annotation(1, [MASK], areas=[80]), annotation(2, [OTHER], category_id=2, areas=[80])])
RESULTS = [entry(0.9, [MASK]), entry(0.8, [MASK], category_id=2)]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [str(write(tmp_path, "gt.json", TRUTH)), str(write(tmp_path, "pred.json", RESULTS))]


def test_figures_are_printed_in_percent(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *files, "--per-class"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:4] == ["ap", "AP", "AP50", "AP75"]
    assert lines[1][:5] == ["all", "classes", "50.0", "50.0", "50.0"]
    assert lines[1][7] == "-"
    assert ["class", "1", "100.0"] in [line[:3] for line in lines]
    assert ["class", "2", "0.0"] in [line[:3] for line in lines]


def test_json_without_a_path_is_all_that_is_printed(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *files, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["ap"]
    assert report["ap"]["AP"] == 0.5
    assert report["ap"]["APl"] is None


def test_json_goes_to_a_file_beside_the_table(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "figures.json"
    assert main(["score", *files, "--json", str(target)]) == 0
    assert json.loads(target.read_text())["ap"]["AP"] == 0.5
    assert "AP50" in capsys.readouterr().out
    assert sorted(path.name for path in target.parent.iterdir()) == ["figures.json", "written.json"]


def test_every_metric_prints_its_table(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = "ap,hota,clear,identity,trackmap,jf"
    options = ["--metrics", words, "--per-class", "--per-video", "--errors", "--bootstrap", "5"]
    assert main(["score", *files, *options]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    heads = [line[0] for line in lines]
    firsts = {"ap": "AP", "hota": "HOTA", "clear": "MOTA", "identity": "IDF1", "trackmap": "AP_all", "jf": "J&F"}
    assert all([word, figure] in [line[:2] for line in lines] for word, figure in firsts.items())
    assert ["all", "detections", "0.0", "100.0", "1", "1", "1", "0", "0"] in lines
    assert ["wrong_class", "1", "0.0", "0.0"] in lines
    assert heads.count("95") == 1 + 3 * 2 + 1 + 1
    assert ["1", "v1", "50.0", "50.0", "50.0"] in [line[:5] for line in lines]


def test_the_table_for_spreadsheets_has_a_row_per_figure(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.csv"
    assert main(["score", *files, "--metrics", "ap,clear", "--csv", str(target), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    values = {(row["metric"], row["group"], row["item"], row["figure"]): row["value"] for row in rows}
    assert float(values["ap", "all", "", "AP"]) == report["ap"]["AP"]
    assert values["ap", "all", "", "APl"] == ""
    assert float(values["clear", "per_class", "class 1", "MOTA"]) == report["clear"]["per_class"]["class 1"]["MOTA"]


@pytest.mark.parametrize(
    ("results", "options", "code", "reason"),
    [
        (RESULTS, ["--metrics", "app"], 2, "unknown metric 'app'; did you mean 'ap'?"),
        (RESULTS, ["--bootstrap", "-1"], 2, "--bootstrap -1"),
        (RESULTS, ["--metrics", ","], 2, "names nothing to measure"),
        (RESULTS, ["--metric", "ap"], 2, "--metric"),
        ([entry(0.9, [MASK], video_id=5)], [], 1, "entry 0: video_id 5"),
        ([entry(0.9, [{**MASK, "counts": "1"}])], [], 1, "entry 0, frame 0: runs cover 1 pixels"),
        ([], ["--strict-reference"], 1, "an empty list"),
        ("nonsense", [], 1, "not a JSON file"),
    ],
)
def test_faults_are_one_sentence_and_an_exit_code(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    results: Any,
    options: list[str],
    code: int,
    reason: str,
) -> None:
    files = [str(write(tmp_path, "gt.json", TRUTH)), str(write(tmp_path, "pred.json", results))]
    assert main(["score", *files, *options]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert reason in captured.err


def test_a_missing_file_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write(tmp_path, "gt.json", TRUTH)
    assert main(["score", str(truth), str(tmp_path / "gone.json")]) == 2
    assert "gone.json: cannot be read" in capsys.readouterr().err
