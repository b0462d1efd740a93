"""`maskreel evaluate`: tables, files, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maskreel.cli.main import main
from maskreel.config import to_dict
from maskreel.evaluation.data_report import LIMIT
from maskreel.evaluation.options import EVERY_SCORE
from maskreel.evaluation.plots import files
from maskreel.models.folder import build_model, save_model
from tests.builders import write_youtube_vis
from tests.training.conftest import TINY_MODEL


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    document = write_youtube_vis(tmp_path / "data", split="valid")
    document["videos"][0]["dials"] = ["blur"]
    (tmp_path / "data/valid.json").write_text(json.dumps(document))
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    recorded = to_dict(replace(EVERY_SCORE, short_side=32))
    save_model(tmp_path / "model", build_model(TINY_MODEL), TINY_MODEL, ((3, "line"), (7, "block")), inference=recorded)
    return tmp_path / "model"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["evaluate", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_tables_and_files_are_written(
    model: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = (str(model), "--data.root", str(data_root))
    code, out, err = run(capsys, *words)
    assert code == 0, err
    for word in ("AP50", "AR10", "small", "large", "line", "block", "dial", "blur"):
        assert word in out
    folder = tmp_path / "runs/evaluate/model"
    figures = json.loads((folder / "metrics.json").read_text())
    assert set(figures) == {"ap"}
    assert {"AP", "per_category", "per_size", "per_dial"} <= set(figures["ap"])
    assert isinstance(json.loads((folder / "results.json").read_text()), list)
    code, out, _ = run(capsys, *words, "--json", "--out", "mine")
    assert code == 0
    assert json.loads(out) == figures | {"precision": "float32"}
    assert json.loads((tmp_path / "mine/metrics.json").read_text()) == figures
    assert (folder / "results.json").read_bytes() == (tmp_path / "mine/results.json").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["{model}"], 2, "--data.root DIR"),
        (["{model}", "--data.root", "nowhere"], 2, "nowhere: no such folder"),
        (["{model}", "--data.root", "{data}", "--data.split", "test"], 2, "no split 'test'"),
        (["nowhere", "--data.root", "{data}"], 2, "nowhere: no such folder"),
        (["{data}", "--data.root", "{data}"], 2, "neither a run folder nor a model folder"),
        (["{model}", "--data.root", "{data}", "--short-side", "3"], 2, "--short-side 3"),
        (["{model}", "--data.root", "{data}", "--device", "tpu"], 2, "device 'tpu'"),
        (["{model}", "--data.root", "{data}", "--out", "{data}/valid.json"], 2, "cannot write there"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str],
    code: int,
    sentence: str,
    model: Path,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    got, out, err = run(capsys, *(word.format(model=model, data=data_root) for word in words))
    assert (got, out, err.count("\n")) == (code, "", 1), err
    assert sentence in err
    assert not (tmp_path / "runs").exists()


def test_a_split_without_truth_is_refused(model: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_root / "valid.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": None}))
    code, _, err = run(capsys, str(model), "--data.root", str(data_root))
    assert code == 1
    assert "there is no ground truth in it" in err


def test_damaged_weights_are_refused(model: Path, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    code, _, err = run(capsys, str(model), "--data.root", str(data_root))
    assert code == 1
    assert "differs from sums.json" in err


@pytest.mark.slow
def test_the_report_is_one_page_with_its_plots_beside_it(
    model: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said, err = run(capsys, str(model), "--data.root", str(data_root), "--report", "--out", str(out))
    assert code == 0, err
    assert str(out / "report.html") in said
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "metrics.json", "results.json", "report.html", "written.json"),
        *files(),
    }
    page = (out / "report.html").read_text()
    for title in ("Average precision and recall", "By class", "By size", "By difficulty", "Curves", "Best videos"):
        assert f"<h2>{title}</h2>" in page
    for word in ("blur", "line", "95 % interval", "wrong class", "missed"):
        assert word in page
    assert set(re.findall(r'src="(\w+:)', page)) == {"data:"}
    assert "http" not in re.sub(r"base64,[^\"]+", "", page).replace("http-equiv", "")
    assert len(page) < LIMIT
