"""`maskreel submit` and `maskreel compare` from the command line."""

import json
import zipfile
from pathlib import Path

import pytest

from maskreel.cli.main import main
from tests.evaluation.scenes import annotation, box, entry, scene, write

LEFT, RIGHT = box(2, 3, 10, 8), box(15, 3, 10, 8)
TRUTH = scene([annotation(1, [LEFT]), annotation(2, [RIGHT])])


def test_submit_writes_the_archive_beside_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write(tmp_path, "epoch12.json", [entry(0.9, [LEFT])])
    truth = write(tmp_path, "valid.json", {**TRUTH, "annotations": None})
    assert main(["submit", str(results), "--dataset", "ovis", "--videos", str(truth)]) == 0
    assert "1 predictions for 1 videos, as results.json" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "epoch12.zip") as bundle:
        assert bundle.namelist() == ["results.json"]


def test_submit_names_every_fault_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write(tmp_path, "bad.json", [entry(0.9, [LEFT], category_id=26), entry(0.9, [None])])
    assert main(["submit", str(results), "--dataset", "ovis"]) == 1
    captured = capsys.readouterr()
    assert "entry 0: category_id is 26; OVIS has classes 1 to 25" in captured.out
    assert "entry 1, all frames" in captured.out
    assert "2 faults; no archive was written" in captured.err
    assert not (tmp_path / "bad.zip").exists()


def test_submit_refuses_unknown_benchmarks_and_missing_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = str(write(tmp_path, "results.json", [entry(0.9, [LEFT])]))
    assert main(["submit", results, "--dataset", "ytvis20"]) == 2
    assert "unknown benchmark 'ytvis20'; did you mean" in capsys.readouterr().err
    assert main(["submit", str(tmp_path / "gone.json"), "--dataset", "ovis"]) == 2
    assert main(["submit", results]) == 2
    assert "--dataset" in capsys.readouterr().err


@pytest.fixture
def scores(tmp_path: Path) -> list[str]:
    """Scores of a file that finds one of two objects, and of one that finds both."""
    truth, paths = str(write(tmp_path, "gt.json", TRUTH)), []
    for name, results in (("a", [entry(0.9, [LEFT])]), ("b", [entry(0.9, [LEFT]), entry(0.8, [RIGHT])])):
        paths.append(str(tmp_path / f"{name}_score.json"))
        found = str(write(tmp_path, f"{name}.json", results))
        assert main(["score", truth, found, "--per-video", "--json", paths[-1]]) == 0
    return paths


def test_compare_prints_figures_classes_and_videos(scores: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compare", *scores]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["AP", "50.50", "100.00", "+49.50"] in lines
    assert ["AP", "by", "class", "A", "B", "B", "-", "A"] in lines or ["1", "50.50", "100.00", "+49.50"] in lines
    assert main(["compare", *scores, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert found[0]["figure"] == "AP"
    assert found[0]["change"] == pytest.approx(50 / 101)


@pytest.mark.parametrize(("bound", "forward", "backward"), [("0", 0, 1), ("49", 0, 1), ("60", 1, 1), ("-50", 0, 0)])
def test_compare_fails_below_the_bound(scores: list[str], bound: str, forward: int, backward: int) -> None:
    assert main(["compare", *scores, f"--fail-below={bound}"]) == forward
    assert main(["compare", *scores[::-1], "--fail-below", bound]) == backward
    assert main(["compare", scores[0], scores[0], "--fail-below", bound]) == (float(bound) > 0)


def test_compare_refuses_what_is_no_score_file(
    scores: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["compare", scores[0], str(tmp_path / "gt.json")]) == 1
    assert "no Score JSON" in capsys.readouterr().err
    assert main(["compare", scores[0], str(tmp_path / "gone.json")]) == 2
    other = write(tmp_path, "other.json", {"jf": {"J&F": 0.5}})
    assert main(["compare", scores[0], str(other)]) == 1
    assert "no main figure in common" in capsys.readouterr().err
    assert main(["compare", *scores, "--rows", "0"]) == 2
