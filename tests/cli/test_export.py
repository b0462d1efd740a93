"""`maskreel export`: what is refused before any work, and that every command takes what it wrote."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import maskreel.cli.export
from maskreel.cli.main import main
from maskreel.files import write_sums
from maskreel.models.folder import save_model
from tests.builders import write_youtube_vis
from tests.export.exporting import exported_once, tiny_model
from tests.export.plain import write_plain
from tests.other_user import as_nobody, open_folder


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The sentence of a command line that exits with 2."""
    assert main(["export", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--format", "tflite"], "--format 'tflite': no such choice; choose one of onnx, openvino, torch"),
        ([], "--format"),
        (["--format", "torch", "--precision", "int8"], "--precision int8: torch is written in float32 alone"),
        (["--format", "torch", "--precision", "float16"], "--precision float16: torch is written in float32 alone"),
        (["--format", "onnx", "--frames", "0"], "--frames 0: must be at least 1"),
        (["--format", "onnx", "--size", "16", "64"], "--size 16 64: both must lie between 32 and 4096"),
        (["--format", "onnx", "--calibrate", "."], "--calibrate .: only --precision int8 takes ranges from videos"),
    ],
)
def test_options_that_cannot_be_are_refused(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refused(capsys, "bundled", str(tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "exists already" in refused(capsys, "bundled", str(tmp_path), "--format", "onnx")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_missing_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = refused(capsys, str(tmp_path / "nowhere"), str(tmp_path / "out"), "--format", "onnx")
    assert "no such folder" in sentence


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("onnx", "float32"), "onnxscript", "export"),
        (("onnx", "float32"), "onnxruntime", "export"),
        (("openvino", "float32"), "openvino", "export"),
        (("openvino", "int8"), "nncf", "quantize"),
    ],
)
def test_a_format_that_is_not_installed_is_named(
    words: tuple[str, str],
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find = importlib.util.find_spec
    installed = lambda name, *rest: None if name == package else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", installed)
    form, precision = words
    sentence = refused(capsys, "bundled", str(tmp_path / "out"), "--format", form, "--precision", precision)
    assert f"needs {package}, which is not installed" in sentence
    assert f"'maskreel[{extra}]'" in sentence


def test_a_place_where_one_cannot_write_is_refused_before_any_work() -> None:
    assert maskreel.cli.export
    with open_folder() as folder:
        code, text = as_nobody(lambda: main(["export", "bundled", str(folder / "out"), "--format", "torch"]))
    assert code == 2
    assert "cannot write there" in text
    assert len(text.strip().splitlines()) == 1


OPTIONS = ("--short-side", "57", "--min-score", "0", "--no-overlay", "--clip-frames", "3", "--clip-overlap", "0")


def predicted(run: str, video: Path) -> list[dict[str, Any]]:
    assert main(["predict", run, str(video), "--out", run + "-out", *OPTIONS]) == 0
    return json.loads(Path(f"{run}-out/{video.name}.json").read_text())["masklets"]


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rendered video in a folder of its own, in which the test runs."""
    monkeypatch.chdir(tmp_path)
    assert main(["data", "synth", "data", "--videos", "1", "--split", "valid", "--frames", "3"]) == 0
    return next(Path("data/valid/JPEGImages").iterdir())


def test_every_command_takes_an_exported_folder_as_run(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plain(Path("onnx"))
    found = predicted("onnx", video)
    assert len(found) > 3
    assert any(found[0]["segmentations"])
    assert main(["bench", "model", "onnx", "--frames", "2", "--samples", "1", "--json", "bench.json"]) == 0
    live = ["predict", "onnx", str(video), "--out", "live", "--latency", "0", "--min-score", "0", "--no-overlay"]
    assert main(live) == 0
    assert len(json.loads(Path(f"live/{video.name}.json").read_text())["masklets"]) > 3
    know_blocks_and_lines(Path("onnx"))
    write_youtube_vis(Path("set"), split="valid", num_videos=1, size=(64, 96))
    evaluated = ["evaluate", "onnx", "--data.root", "set", "--data.split", "valid", "--out", "scored"]
    assert main(evaluated) == 0
    assert json.loads(Path("scored/results.json").read_text())
    capsys.readouterr()
    for words in (live, evaluated, ["bench", "model", "onnx"]):
        assert main([*words, "--precision", "bf16"]) == 2
        assert (
            "--precision bf16: exported graphs compute in the numbers that they were written" in capsys.readouterr().err
        )
    assert main(["export", "onnx", "again", "--format", "torch"]) == 1
    assert "holds exported graphs, which can be run and nothing else" in capsys.readouterr().err


def know_blocks_and_lines(folder: Path) -> None:
    """Gives a folder the classes of `write_youtube_vis`, and one more."""
    config = json.loads((folder / "config.json").read_text())
    config["classes"] = [{"id": 7, "name": "block"}, {"id": 3, "name": "line"}, {"id": 1, "name": "other"}]
    (folder / "config.json").write_text(json.dumps(config))
    write_sums(folder)


@pytest.mark.nightly
def test_predictions_of_graphs_are_those_of_the_model(video: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    shutil.copytree(exported_once(tmp_path_factory, "seqformer") / "onnx", "onnx")
    loaded = tiny_model("seqformer")
    save_model(Path("trained"), loaded.model, loaded.config, loaded.classes, inference=loaded.inference)
    found = [predicted(run, video) for run in ("trained", "onnx")]
    assert found[0]
    assert [entry["track_id"] for entry in found[0]] == [entry["track_id"] for entry in found[1]]
    assert [entry["score"] for entry in found[0]] == pytest.approx([entry["score"] for entry in found[1]], abs=1e-4)
