"""What is refused of exported folders: one sentence, the right kind of error, no crash of the interpreter."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from maskreel.errors import DataError, OptionError, UsageError
from maskreel.files import write_sums
from maskreel.inference.predictor import VideoPredictor
from maskreel.models.folder import load_model
from maskreel.runtimes.folder import load_runnable
from maskreel.structures import ClipBatch
from tests.export.plain import write_plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported model, to be damaged."""
    return write_plain(tmp_path / "model")


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file and its sum."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_sums(path.parent)


def test_a_damaged_graph_is_told_by_its_sum(folder: Path) -> None:
    path = folder / "clip.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"clip\.onnx: its SHA-256 differs from sums\.json"):
        load_runnable(folder)


def test_a_graph_that_is_cut_off_is_refused_even_where_its_sum_was_made_anew(folder: Path) -> None:
    path = folder / "features.onnx"
    path.write_bytes(path.read_bytes()[:2000])
    write_sums(folder)
    with pytest.raises(DataError, match=r"features\.onnx: ONNX Runtime .* cannot read it"):
        load_runnable(folder)


@pytest.mark.parametrize("name", ["features", "clip", "masks"])
def test_a_missing_graph_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.onnx").unlink()
    with pytest.raises(DataError, match=rf"{name}\.onnx: the file is missing"):
        load_runnable(folder)
    write_sums(folder)
    with pytest.raises(DataError, match=rf"there is no {name}\.onnx beside it"):
        load_runnable(folder)


def test_graphs_of_a_newer_version_are_refused(folder: Path) -> None:
    edit(folder / "graphs.json", lambda content: content.update(version=2))
    with pytest.raises(
        DataError, match=r"graphs\.json: version 2 is not 1; the graphs were exported by another version"
    ):
        load_runnable(folder)


def test_graphs_of_a_newer_onnx_are_refused(folder: Path) -> None:
    import onnx

    path = folder / "masks.onnx"
    model = onnx.load(path)
    model.opset_import[0].version = 900
    path.write_bytes(model.SerializeToString())
    write_sums(folder)
    with pytest.raises(DataError, match=r"masks\.onnx: ONNX Runtime .* cannot read it .*newer version"):
        load_runnable(folder)


def test_graph_and_configuration_that_disagree_are_refused(folder: Path) -> None:
    def another(content: Any) -> None:
        content["model"]["num_classes"] = 2
        content["classes"] = content["classes"][:2]

    edit(folder / "config.json", another)
    with pytest.raises(
        DataError, match=r"'class_logits' of the clip graph ends in \(10, 1, 3\).*\(10, None, 2\).*disagree"
    ):
        load_runnable(folder)


def test_graphs_of_another_size_than_described_are_refused(folder: Path) -> None:
    edit(folder / "graphs.json", lambda content: content.update(size=[96, 96]))
    with pytest.raises(DataError, match=r"'frame' of the features graph ends in \(1, 3, 64, 96\).*\(1, 3, 96, 96\)"):
        load_runnable(folder)


def test_graphs_of_another_kind_of_model_are_refused(folder: Path) -> None:
    edit(folder / "graphs.json", lambda content: content.update(area="valid"))
    with pytest.raises(DataError, match=r"the clip graph has no 'states'"):
        load_runnable(folder)


def test_a_format_that_the_folder_does_not_hold_is_refused(folder: Path) -> None:
    edit(folder / "graphs.json", lambda content: content.update(format="openvino"))
    with pytest.raises(DataError, match=r"says openvino, but there is no features\.xml beside it"):
        load_runnable(folder)
    edit(folder / "graphs.json", lambda content: content.update(format="tflite"))
    with pytest.raises(DataError, match="tflite"):
        load_runnable(folder)


def test_swapped_graphs_are_refused(folder: Path) -> None:
    clip, masks = folder / "clip.onnx", folder / "masks.onnx"
    content = clip.read_bytes()
    clip.write_bytes(masks.read_bytes())
    masks.write_bytes(content)
    write_sums(folder)
    with pytest.raises(DataError, match=r"the clip graph has no 'map0'"):
        load_runnable(folder)


def test_tensors_are_not_to_be_had_from_graphs(folder: Path) -> None:
    with pytest.raises(DataError, match="holds exported graphs, which can be run and nothing else"):
        load_model(folder)


def test_another_number_format_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="precision bf16: exported graphs compute in the numbers"):
        VideoPredictor.load(folder, precision="bf16")


def test_frames_that_are_too_large_are_refused(folder: Path) -> None:
    runtime = load_runnable(folder).model
    clip = ClipBatch(frames=torch.zeros(1, 1, 3, 64, 128), is_padding=torch.zeros(1, 1, 64, 128, dtype=torch.bool))
    with pytest.raises(UsageError, match="frames of 64x128 pixels, padded: the graphs of this model take 64x96"):
        runtime.frame_features(clip)


@pytest.mark.parametrize(("form", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_runtime_that_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    if form == "openvino":
        for name in ("features", "clip", "masks"):
            (folder / f"{name}.xml").touch()
            (folder / f"{name}.bin").touch()
        edit(folder / "graphs.json", lambda content: content.update(format=form))
    with pytest.raises(UsageError, match=rf"needs {package}, which is not installed; pip install .*maskreel\[export\]"):
        load_runnable(folder)


@pytest.mark.parametrize(
    ("form", "endings", "sentence"),
    [
        ("torch", (".pt2",), r"features\.pt2: PyTorch .* cannot read it"),
        ("openvino", (".xml", ".bin"), r"features\.xml: not a graph of OpenVINO"),
    ],
)
def test_noise_in_place_of_a_graph_is_one_sentence(
    folder: Path, capfd: pytest.CaptureFixture[str], form: str, endings: tuple[str, ...], sentence: str
) -> None:
    for name in ("features", "clip", "masks"):
        for ending in endings:
            (folder / f"{name}{ending}").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    edit(folder / "graphs.json", lambda content: content.update(format=form))
    with pytest.raises(DataError, match=sentence):
        load_runnable(folder)
    assert capfd.readouterr() == ("", "")
