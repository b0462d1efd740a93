"""`maskreel data synth` from the words on the command line to the files."""

import json
from pathlib import Path

import pytest

from maskreel.cli.main import main
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
        (["--split", "test"], "--split"),
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
