"""`maskreel data convert` from the words on the command line to the files."""

import json
from pathlib import Path

import pytest

from maskreel.cli.main import main
from tests.builders import write_youtube_vis


@pytest.fixture
def own(tmp_path: Path) -> Path:
    write_youtube_vis(tmp_path / "own", num_videos=1, num_frames=2)
    return tmp_path / "own"


def test_the_command_converts_and_says_what_it_wrote(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "burst"
    assert main(["data", "convert", str(own), str(target), "--from", "youtube-vis", "--to", "burst"]) == 0
    assert f"{target}: burst, videos: 1, frames: 2, tracks: 2, classes: 2 (2 with tracks)" in capsys.readouterr().out
    words = ["data", "convert", str(target / "train.json"), str(tmp_path / "back"), "--from", "burst", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["line", "block"]
    assert (tmp_path / "back/train/JPEGImages/video0/00001.png").is_file()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--from", "youtube-vis", "--to", "davis"], 1, "davis cannot keep classes"),
        (["--from", "youtube-vis", "--to", "coco"], 2, "coco is read but not written"),
        (["--from", "youtube"], 2, "youtube-vis"),
        (["--from", "davis"], 1, "it looks like youtube-vis: leave --from out"),
        (["--from", "youtube-vis", "--split", "test"], 2, "no split 'test'"),
        (["--from", "youtube-vis", "--split", "../x"], 2, "plain word"),
        (["--from", "youtube-vis", "--classes", "ytvis19"], 2, "needs --from coco"),
        (["--from", "youtube-vis", "--images", "nowhere"], 2, "nowhere: no such folder"),
        (["--from", "coco"], 1, "not a COCO file"),
        (["--from", "cvat"], 2, "no XML files"),
    ],
)
def test_wrong_words_and_files_are_one_sentence_and_an_exit_code(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    assert main(["data", "convert", str(own), str(tmp_path / "out"), *words]) == code
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1
    assert message in shown[0]
    assert not (tmp_path / "out").exists()


def test_a_missing_source_is_said_to_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", str(tmp_path / "no"), str(tmp_path / "out"), "--from", "davis"]) == 2
    assert "no: no such file or folder" in capsys.readouterr().err


def test_the_format_is_recognised_and_said(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", str(own), str(tmp_path / "set"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.strip() == f"{own}: read as youtube-vis"
    assert json.loads(out)["videos"] == 1
