"""Commands in every combination with what they read and write: no input is changed, no output is lost."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.cli.main import main
from tests.data.formats import exports
from tests.field.makers import grey, write_stream


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as `convert` writes it, beside the weights that it was made of."""
    folder = tmp_path_factory.mktemp("model")
    assert main(["export-weights", "bundled", str(folder / "weights.pth")]) == 0
    assert main(["convert", str(folder / "weights.pth"), str(folder / "model")]) == 0
    return folder


def prepare(root: Path) -> None:
    """A video, a folder of frames, and a data set that was converted and is ours."""
    write_stream(root / "a.mkv", paint=grey, codec="ffv1", count=2)
    exports.lv_vis(root / "downloaded")
    words = ["data", "convert", str(root / "downloaded"), str(root / "set"), "--frames", "copy"]
    assert main(words) == 0
    boxes = [{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [None] * exports.FRAMES}]
    (root / "results.json").write_text(json.dumps(boxes))
    os.symlink(root / "results.json", root / "link.json")
    os.link(root / "results.json", root / "hard.json")


def everything(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "written.json"
    }


PREDICT = ["predict", "bundled", "{root}/a.mkv", "--quiet", "--no-overlay"]
STEP = ["--training.steps", "1", "--quiet"]
REFUSED: dict[str, list[str]] = {
    "the report over the config of the model": [
        *["predict", "{model}", "{root}/a.mkv", "--out", "{root}/out", "--json", "{model}/config.json"]
    ],
    "the report over the sums of the model": [
        *["predict", "{model}", "{root}/a.mkv", "--out", "{root}/out", "--json", "{model}/sums.json"]
    ],
    "weights over the tensors of their model": ["export-weights", "{model}", "{model}/model.safetensors"],
    "a graph into the folder of its model": ["export", "{model}", "{model}", "--format", "torch"],
    "the report over the data set that is trained on": [
        *["train", "seqformer-tiny", "--data.root", "{root}/set", "--out", "{root}/run", "--json"],
        *["{root}/set/train.json", *STEP],
    ],
    "counts over the data set that is counted": ["data", "stats", "{root}/set", "--json", "{root}/set/train.json"],
    "a drawing over a frame": [
        *["data", "stats", "{root}/set", "--picture", "{root}/set/train/JPEGImages/clip/00000.jpg", "--overwrite"]
    ],
    "findings over the data set that is checked": ["data", "check", "{root}/set", "--json", "{root}/set/train.json"],
    "the report over the results, through a link": [
        *["score", "{root}/set/train.json", "{root}/results.json", "--json", "{root}/link.json", "--overwrite"]
    ],
    "the report over the results, by their other name": [
        *["score", "{root}/set/train.json", "{root}/results.json", "--json", "{root}/hard.json", "--overwrite"]
    ],
    "the report over what is converted": [
        *["data", "convert", "{root}/downloaded", "{root}/new", "--json", "{root}/new/train.json"]
    ],
    "the report over what is rendered": [
        *["data", "synth", "{root}/new", "--videos", "1", "--workers", "1", "--json", "{root}/new/train.json"]
    ],
    "the report over what is repaired": ["data", "check", "{root}/set", "--fix", "--json", "{root}/set/train.json"],
    "the report over the record": [*PREDICT, "--out", "{root}/out", "--json", "{root}/out/written.json"],
    "the report in place of the folder": [*PREDICT, "--out", "{root}/out", "--json", "{root}/out"],
    "the report into a folder that is a whole": [
        *["convert", "{weights}", "{root}/model", "--json", "{root}/model/config.json"]
    ],
    "the account of the tensors into a folder that is a whole": [
        *["convert", "{weights}", "{root}/model", "--report", "{root}/model/account.json"]
    ],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_no_command_writes_over_what_it_reads_or_over_what_else_it_writes(
    kind: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path)
    before = everything(tmp_path), everything(model)
    places = {"root": tmp_path, "model": model / "model", "weights": model / "weights.pth"}
    assert main([word.format_map(places) for word in REFUSED[kind]]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("maskreel: error: ")
    assert "choose another" in sentence
    assert (everything(tmp_path), everything(model)) == before


def test_a_report_may_lie_beside_what_is_read_and_be_written_again(model: Path, tmp_path: Path) -> None:
    prepare(tmp_path)
    for _ in range(2):
        assert main(["data", "stats", str(tmp_path / "set"), "--json", str(tmp_path / "set" / "counts.json")]) == 0
        assert main(["predict", str(model / "model"), str(tmp_path / "a.mkv"), "--out", str(model / "model")]) == 0
    assert main(["predict", str(model / "model"), str(tmp_path / "a.mkv"), "--out", str(tmp_path / "out")]) == 0


def test_a_file_that_comes_to_be_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report of a training may be named like a file of its run, which is not there before."""
    prepare(tmp_path)
    words = ["train", "seqformer-tiny", "--data.root", str(tmp_path / "set"), "--out", str(tmp_path / "run"), *STEP]
    words += ["--data.workers", "0", "--data.batch-size", "1", "--data.num-frames", "2"]
    words += ["--data.augmentation.scales", "32", "--evaluation.predictor.short-side", "32", "--training.device", "cpu"]
    assert main([*words, "--json", str(tmp_path / "run" / "dataset.json")]) == 2
    assert "came to be while this command worked" in capsys.readouterr().err
    assert "sha256" in (tmp_path / "run" / "dataset.json").read_text()


def test_sources_that_are_predicted_again_leave_the_same_record(tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_stream(tmp_path / name, paint=grey, codec="ffv1", count=2)
    words = ["predict", "bundled", str(tmp_path / "a.mkv"), str(tmp_path / "b.mkv"), "--out", str(tmp_path / "out")]
    assert main([*words, "--no-overlay"]) == 0
    before = (tmp_path / "out" / "written.json").read_bytes()
    assert main([*words, "--no-overlay"]) == 0
    assert (tmp_path / "out" / "written.json").read_bytes() == before


def test_frames_of_a_folder_are_no_place_for_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(tmp_path / "f" / "f.jpg")
    assert main(["predict", "bundled", str(tmp_path / "f"), "--out", str(tmp_path / "x"), "--no-overlay"]) == 0
    before = everything(tmp_path)
    words = ["data", "view", str(tmp_path / "f"), "--results", str(tmp_path / "x" / "f.json"), "--overwrite"]
    assert main([*words, "--out", str(tmp_path / "f")]) == 2
    assert everything(tmp_path) == before


FULL = """
import resource, sys
from maskreel.cli.main import main
weights, root = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for words in (
    ["export-weights", "bundled", f"{root}/w.pth"],
    ["export-weights", "bundled", f"{root}/w.safetensors"],
    ["convert", weights, f"{root}/model"],
    ["data", "convert", f"{root}/downloaded", f"{root}/copied", "--frames", "copy"],
):
    assert main(words) == 1, words
"""
"""Files that may not grow, as on a full disk."""


def test_a_disk_that_is_full_is_one_sentence_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    exports.lv_vis(tmp_path / "downloaded")
    (tmp_path / "downloaded/train/JPEGImages/clip/00000.jpg").write_bytes(large_picture())
    before = everything(tmp_path)
    words = [sys.executable, "-c", FULL, str(model / "weights.pth"), str(tmp_path)]
    # Bytecode would be cut off as well, and whoever imports the modules next fail.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(said) == 4
    assert all("cannot be written (files may not grow that large here); make room" in line for line in said), said
    assert everything(tmp_path) == before
    assert list(tmp_path.rglob(".*")) == []


def large_picture() -> bytes:
    """More than 4096 bytes."""
    noise = np.random.default_rng(0).integers(0, 256, (exports.HEIGHT, exports.WIDTH, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="JPEG", quality=100)
    return file.getvalue()
