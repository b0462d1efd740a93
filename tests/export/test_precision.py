"""Graphs in 16 and in 8 bits: what is stored so, what stays, and what they say."""

import shutil
from functools import partial
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor

from maskreel.errors import UsageError
from maskreel.export.calibration import calibration_clips
from maskreel.export.proof import difference
from maskreel.export.quantize import graph_inputs, products, quantize_onnx, quantize_openvino
from maskreel.export.writers import PRODUCTS, store_halves, with_halves, write_openvino
from maskreel.files import write_sums
from maskreel.runtimes.folder import load_runnable
from maskreel.runtimes.graphs import GraphRuntime
from maskreel.runtimes.onnx import open_graph
from maskreel.runtimes.openvino import the_core
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import ClipBatch
from tests.builders import clip_batch, write_youtube_vis
from tests.export.exporting import FRAMES, SIZE, exported_once, tiny_model
from tests.export.plain import write_plain


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported_once(tmp_path_factory, "seqformer") / "onnx", tmp_path / "model"))


def runtime(folder: Path) -> GraphRuntime:
    write_sums(folder)
    opened = load_runnable(folder).model
    assert isinstance(opened, GraphRuntime)
    return opened


@pytest.mark.nightly
def test_halves_take_half_the_space_and_say_nearly_the_same(folder: Path) -> None:
    path = folder / "features.onnx"
    before = path.stat().st_size
    for name in ("features", "clip", "masks"):
        store_halves(folder / f"{name}.onnx")
        onnx.checker.check_model(onnx.load(folder / f"{name}.onnx"), full_check=True)
    assert path.stat().st_size < 0.75 * before
    graph = onnx.load(path).graph
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert "model.backbone.conv1.weight.half" in halves
    assert sum(node.op_type == "Cast" and node.input[0] in halves for node in graph.node) == len(halves) > 20
    model = tiny_model("seqformer").model
    found = difference(PyTorchRuntime(model), runtime(folder), clip_batch((SIZE,), num_frames=FRAMES))
    assert 1e-6 < found.largest < 2e-2


@pytest.mark.nightly
def test_backbone_and_linear_layers_become_8_bits_and_heads_and_sampling_stay(folder: Path) -> None:
    clips = calibration_clips(None, size=SIZE, frames=2, is_rendered=True)
    assert len(clips) == 8
    frames, whole = graph_inputs(open_graph(folder / "features.onnx"), clips)
    assert len(frames) == 16
    assert whole[0]["sizes"].shape == (2, 2)
    chosen = {name: products(folder / f"{name}.onnx") for name in ("features", "clip")}
    quantize_onnx(folder / "features.onnx", frames[:4])
    quantize_onnx(folder / "clip.onnx", whole[:2])
    for name in ("features", "clip"):
        graph = onnx.load(folder / f"{name}.onnx").graph
        made = {output: node for node in graph.node for output in node.output}
        quantised = {
            node.name
            for node in graph.node
            if node.op_type in ("Conv", "MatMul", "Gemm")
            and all(made[each].op_type == "DequantizeLinear" for each in node.input[:2] if each in made)
            and node.input[1] in made
            and made[node.input[1]].op_type == "DequantizeLinear"
        }
        assert quantised == set(chosen[name])
        assert quantised
    scopes = {
        node.name: entry.value
        for name in ("features", "clip")
        for node in onnx.load(folder / f"{name}.onnx").graph.node
        for entry in node.metadata_props
        if entry.key == "pkg.torch.onnx.name_scopes"
    }
    for name in (*chosen["features"], *chosen["clip"]):
        for word in ("sampling_offsets", "attention_weights", "mask_head", "classify", "box_heads"):
            assert word not in scopes.get(name, "")
    model = tiny_model("seqformer").model
    found = difference(PyTorchRuntime(model), runtime(folder), clips[0])
    assert 1e-4 < found.logits < 0.3


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_plain(tmp_path / "plain")


def test_weights_of_products_are_stored_in_16_bits_and_cast_where_they_are_used(plain: Path) -> None:
    clip = clip_batch((SIZE,), num_frames=2)
    before = outputs(plain, clip)
    for name in ("features", "clip"):
        store_halves(plain / f"{name}.onnx")
        onnx.checker.check_model(onnx.load(plain / f"{name}.onnx"), full_check=True)
    types = {each.name: each.data_type for each in onnx.load(plain / "clip.onnx").graph.initializer}
    assert {name for name, kind in types.items() if kind == TensorProto.FLOAT16} == {"thin.half", "classify.half"}
    for a, b in zip(before, outputs(plain, clip), strict=True):
        assert 0 < (a - b).abs().max() < 2e-2 * a.abs().max()


def test_what_heads_and_positions_are_made_with_stays_in_32_bits(plain: Path) -> None:
    assert products(plain / "features.onnx") == ["mix"]
    assert products(plain / "clip.onnx") == ["thin"]
    model = onnx.load(plain / "clip.onnx")
    node = next(node for node in model.graph.node if node.name == "thin")
    for word in (
        "boxes",
        "box_heads",
        "mask_head",
        "sampling_offsets",
        "attention_weights",
        "reference_points",
        "frame_weight",
    ):
        node.metadata_props[0].value = f"['', 'model.{word}.0', 'linear']"
        onnx.save(model, plain / "clip.onnx")
        assert products(plain / "clip.onnx") == [], word


def test_products_of_8_bits_say_nearly_the_same(plain: Path) -> None:
    clip = clip_batch((SIZE,), num_frames=2)
    before = outputs(plain, clip)
    frames, whole = graph_inputs(open_graph(plain / "features.onnx"), [clip])
    assert len(frames) == 2
    assert whole[0]["map0"].shape == (2, 8, 8, 12)
    quantize_onnx(plain / "features.onnx", frames)
    quantize_onnx(plain / "clip.onnx", whole)
    for name, expected in (("features", ["mix"]), ("clip", ["thin"])):
        nodes = onnx.load(plain / f"{name}.onnx").graph.node
        stored = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
        assert [node.name for node in nodes if node.op_type in PRODUCTS and node.input[1] in stored] == expected
    for a, b in zip(before, outputs(plain, clip), strict=True):
        assert 0 < (a - b).abs().max() < 0.05 * a.abs().max()


def test_openvino_stores_weights_of_products_in_16_bits_and_nothing_else(tmp_path: Path) -> None:
    folders = {change: write_plain(tmp_path / str(change), "openvino", change) for change in (None, with_halves)}
    clip = clip_batch((SIZE,), num_frames=2)
    for name, halves in (("features", 1), ("clip", 2)):
        kinds = kinds_of_constants(folders[with_halves], name)
        assert kinds.count("f16") == halves
    for a, b in zip(outputs(folders[None], clip), outputs(folders[with_halves], clip), strict=True):
        assert 0 < (a - b).abs().max() < 2e-2 * a.abs().max()


def test_products_of_8_bits_say_nearly_the_same_to_openvino_and_take_clips_of_any_length(
    plain: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nncf", reason="the extra quantize brings it")
    clip = clip_batch((SIZE,), num_frames=2)
    inputs = dict(zip(("features", "clip"), graph_inputs(open_graph(plain / "features.onnx"), [clip]), strict=True))
    folder = write_plain(tmp_path / "openvino", "openvino")
    before = outputs(folder, clip)
    for name, shown in inputs.items():
        source = plain / f"{name}.onnx"
        change = partial(quantize_openvino, source=source, inputs=shown)
        write_openvino(source, folder / f"{name}.xml", change)
    for a, b in zip(before, outputs(folder, clip), strict=True):
        assert 0 < (a - b).abs().max() < 0.05 * a.abs().max()
    kinds = kinds_of_constants(folder, "features")
    assert kinds.count("i8") == 1
    longer = clip_batch((SIZE,), num_frames=3)
    assert outputs(folder, longer)[0].shape[1] == 3


def kinds_of_constants(folder: Path, name: str) -> list[str]:
    model = the_core().read_model(folder / f"{name}.xml")
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    return [node.get_element_type().get_type_name() for node in constants]


def outputs(folder: Path, clip: ClipBatch) -> tuple[Tensor, Tensor]:
    model = runtime(folder)
    features = model.frame_features(clip)
    return features.maps[0].values, model.clip(features).final.class_logits


def test_ranges_come_from_the_videos_that_are_named(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path / "set", num_videos=3, num_frames=4, size=(64, 96))
    for source in (tmp_path / "set", tmp_path / "set" / "train" / "JPEGImages"):
        clips = calibration_clips(source, size=SIZE, frames=4, is_rendered=True)
        assert len(clips) == 3
        assert all(clip.frames.shape == (1, 4, 3, 64, 96) for clip in clips)
        assert not torch.equal(clips[0].frames, clips[1].frames)
    with pytest.raises(UsageError, match=r"--calibrate .*: no video of 5 frames or more in it"):
        calibration_clips(tmp_path / "set", size=SIZE, frames=5, is_rendered=False)
    with pytest.raises(UsageError, match="name videos like those to come with --calibrate DIR"):
        calibration_clips(None, size=SIZE, frames=4, is_rendered=False)
