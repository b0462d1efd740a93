"""`maskreel data synth` from the words on the command line to the files."""

import json
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.rendered.sets import RENDERED_SETS
from maskreel.rendered.synthetic import dataset_hash

SIZE = ["--frames", "3", "--height", "48", "--width", "64", "--workers", "1"]


def test_the_command_renders_a_split_and_reports_it_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "synth", str(tmp_path), "--videos", "2", "--seed", "10000", "--split", "valid", "--classes", "3"]
    assert main([*words, *SIZE, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["videos"] == 2
    assert report["classes"] == ["disc", "star", "box"]
    assert report["sha256"] == dataset_hash(tmp_path, "valid")
    content = json.loads((tmp_path / "valid.json").read_text())
    assert [len(video["file_names"]) for video in content["videos"]] == [3, 3]
    assert content["info"] == {
        "description": "Maskreel rendered set",
        "seed": 10000,
        "changed_dials": {"frames": 3, "height": 48, "width": 64, "classes": 3},
    }


def test_the_command_names_the_split_and_its_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["data", "synth", str(tmp_path / "set"), "--videos", "1", *SIZE, "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "1 videos of 3 frames at 48x64" in printed
    assert json.loads(report.read_text())["sha256"] in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speed", "2"], "--speed is 2.0; allowed is 0 to 0.5"),
        (["--videos", "0"], "--videos is 0"),
        (["--workers", "0"], "--workers is 0"),
        (["--split", "test"], "--split test belongs to a named set"),
        (["--set", "rendered-crossin"], "did you mean 'rendered-crossing'?"),
        (["--set", "rendered-motion", "--seed", "3"], "--seed beside --set needs --split"),
    ],
)
def test_bad_options_are_usage_errors_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["data", "synth", str(tmp_path / "set"), *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "set").exists()


def test_a_folder_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "synth", "--videos", "1"]) == 2
    assert "the folder to write into is missing" in capsys.readouterr().err


def test_the_named_sets_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "synth", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in RENDERED_SETS)
    assert "--split test: 100 videos from seed 20000" in printed
    assert main(["data", "synth", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == list(RENDERED_SETS)
    assert listed["rendered-default"]["changed_dials"] == {}
    assert listed["rendered-return"]["changed_dials"]["absence"] == 60


def test_a_named_set_is_written_with_its_dials_and_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "synth", str(tmp_path), "--set", "rendered-motion", "--videos", "2", *SIZE]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main([*words, "--split", "test", "--json"]) == 0
    report["test"] = json.loads(capsys.readouterr().out)
    for split, seed in (("train", 0), ("valid", 10_000), ("test", 20_000)):
        assert report[split]["sha256"] == dataset_hash(tmp_path, split)
        info = json.loads((tmp_path / f"{split}.json").read_text())["info"]
        assert info["seed"] == seed
        assert info["changed_dials"]["motion_class"] is True
        assert info["changed_dials"]["frames"] == 3
    assert len({written["sha256"] for written in report.values()}) == 3


def test_dials_typed_beside_a_set_replace_its_own(tmp_path: Path) -> None:
    words = ["data", "synth", str(tmp_path), "--set=rendered-return", "--split", "valid", "--videos", "1", *SIZE]
    assert main([*words, "--absence", "0", "--json", str(tmp_path / "report.json")]) == 0
    info = json.loads((tmp_path / "valid.json").read_text())["info"]
    assert "absence" not in info["changed_dials"]
    assert info["changed_dials"]["exit_probability"] == 1.0


def test_the_default_set_is_what_no_set_renders(tmp_path: Path) -> None:
    words = ["data", "synth", str(tmp_path / "named"), "--set", "rendered-default", "--split", "train", "--videos", "1"]
    assert main([*words, *SIZE]) == 0
    assert main(["data", "synth", str(tmp_path / "plain"), "--videos", "1", *SIZE]) == 0
    assert dataset_hash(tmp_path / "named", "train") == dataset_hash(tmp_path / "plain", "train")
