"""What is refused of exported folders: one sentence, the right kind of error, no crash of the interpreter."""

import json
import subprocess
import sys
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
from maskreel.runtimes.graphs import GraphRuntime
from maskreel.structures import ClipBatch
from tests.builders import clip_batch
from tests.export.plain import SIZE, write_plain


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
    assert isinstance(runtime, GraphRuntime)
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


@pytest.mark.parametrize(
    ("file", "path", "value", "sentence"),
    [
        ("graphs.json", ("strides",), [8, 16, 32], "wants 'map3' as well"),
        ("graphs.json", ("strides",), [8, 16, 32, 64, 128], "has no 'map4'"),
        ("graphs.json", ("strides",), [4, 8, 16, 32], r"'map0' of the features graph ends in \(8, 12\).* \(16, 24\)"),
        ("graphs.json", ("any_frames",), False, "takes any number of frames, graphs.json says 3"),
        ("graphs.json", ("votes",), "per_frame", r"'class_logits' .* \(10, None, 4\)"),
        ("graphs.json", ("kind",), "vistr", "says kind 'vistr', config.json 'seqformer'"),
        ("config.json", ("model", "queries", "count"), 9, r"'class_logits' .* \(9, None, 3\)"),
    ],
)
def test_what_a_folder_says_of_its_graphs_must_be_so(
    folder: Path, file: str, path: tuple[str, ...], value: Any, sentence: str
) -> None:
    def another(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    edit(folder / file, another)
    with pytest.raises(DataError, match=f"{sentence}.*disagree"):
        load_runnable(folder)


def test_a_graph_whose_names_are_no_text_is_refused_without_a_word_on_stdout(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = folder / "clip.onnx"
    path.write_bytes(path.read_bytes().replace(b"class_logits", b"class_\xff\xff\xff\xff\xff\xff"))
    write_sums(folder)
    with pytest.raises(DataError, match=r"clip\.onnx: ONNX Runtime .* cannot read it"):
        load_runnable(folder)
    assert capfd.readouterr() == ("", "")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("ending", "change"),
    [
        (".xml", cut),
        (".xml", lambda content: content[:60]),
        (".xml", lambda content: content.replace(b'version="11"', b'version="99"', 1)),
        (".xml", lambda content: content.replace(b'"opset1"', b'"opset99"')),
        (".bin", cut),
    ],
    ids=["half", "head", "newer", "newer operators", "half of the weights"],
)
def test_a_graph_that_openvino_cannot_read_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str, change: Callable[[bytes], bytes]
) -> None:
    folder = write_plain(tmp_path / "model", "openvino")
    assert load_runnable(folder).classes
    path = folder / f"clip{ending}"
    path.write_bytes(change(path.read_bytes()))
    write_sums(folder)
    capfd.readouterr()
    with pytest.raises(DataError, match=r"clip\.xml: .*is it damaged, or written by a newer version\?"):
        load_runnable(folder)
    assert capfd.readouterr() == ("", "")


OPENED_AND_LEFT = """
import gc, os, signal, sys
import openvino, torch
from pathlib import Path
from maskreel.runtimes.openvino import open_graph
made = []
core = openvino.Core
openvino.Core = lambda: made.append(1) or core()
for name in ("masks", "clip", "features", "masks"):
    graph = open_graph(Path(sys.argv[1], f"{name}.xml"))
    if name == "features":
        graph.run({"frame": torch.zeros(1, 3, 64, 96), "sizes": torch.tensor([[64.0, 96.0]])})
del graph
gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("taken", len(made)))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_openvino_was_used_is_only_a_signal(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "model", "openvino")
    done = subprocess.run([sys.executable, "-c", OPENED_AND_LEFT, folder], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "taken 1\n"), done.stderr


def test_a_clip_that_is_longer_than_the_model_knows_is_refused(folder: Path) -> None:
    runtime = load_runnable(folder).model
    assert isinstance(runtime, GraphRuntime)
    clip = clip_batch((SIZE,), num_frames=3)
    runtime.longest = 3
    assert runtime.clip(runtime.frame_features(clip)).final.boxes.shape[2] == 3
    runtime.longest = 2
    with pytest.raises(UsageError, match=r"a clip of 3 frames, but this model has queries for 2.*--clip-frames 2"):
        runtime.clip(runtime.frame_features(clip))
