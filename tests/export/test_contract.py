"""Six systems in three formats: written, checked, run, and the same numbers come out."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from maskreel.errors import UsageError
from maskreel.inference.predictor import VideoPredictor
from maskreel.models.catalog import CATALOG
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from maskreel.runtimes.folder import load_runnable
from maskreel.runtimes.graphs import GraphRuntime
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import ClipBatch, VideoModel
from tests.builders import clip_batch
from tests.export.exporting import FORMATS, FRAMES, SIZE, exported_once, tiny_model

SYSTEMS = ("seqformer", "ms_sts", "taformer", "vistr", "deformable_vistr", "tt_spn")
QUERIES = torch.tensor([3, 0, 4])
BOUND = 1e-4


def test_every_system_is_listed() -> None:
    assert set(SYSTEMS) == set(CATALOG)


CASES = [("seqformer", 1), *((name, FRAMES) for name in SYSTEMS)]


@dataclass(frozen=True)
class Exported:
    """A system in all formats, each in a folder of its name."""

    name: str
    frames: int
    folder: Path

    def runtime(self, form: str) -> GraphRuntime:
        runtime = load_runnable(self.folder / form).model
        assert isinstance(runtime, GraphRuntime)
        return runtime


# From half a minute up.
@pytest.fixture(
    scope="module",
    params=[pytest.param(case, marks=pytest.mark.nightly) for case in CASES],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    name, frames = request.param
    return Exported(name, frames, exported_once(tmp_path_factory, name, *FORMATS, frames=frames))


def outputs(model: VideoModel, clip: ClipBatch) -> list[Tensor]:
    prediction = model.clip(model.frame_features(clip))
    masks = [model.masks(prediction, n, QUERIES) for n in range(len(clip.frames))]
    return [prediction.final.class_logits, prediction.final.boxes, *masks]


def assert_agree(ours: VideoModel, theirs: VideoModel, clip: ClipBatch) -> None:
    for a, b in zip(outputs(ours, clip), outputs(theirs, clip), strict=True):
        assert a.shape == b.shape
        assert a.std() > 0
        assert (a - b).abs().max() <= BOUND * a.abs().max()


@pytest.mark.slow
def test_graphs_say_what_the_model_says_of_one_clip_and_of_two(system: Exported) -> None:
    ours = PyTorchRuntime(tiny_model(system.name).model)
    for form in FORMATS:
        theirs = system.runtime(form)
        assert_agree(ours, theirs, clip_batch((SIZE,), num_frames=system.frames))
        assert_agree(ours, theirs, clip_batch((SIZE, (50, 70)), num_frames=system.frames))


@pytest.mark.slow
def test_features_are_the_same_in_rows_of_padding(system: Exported) -> None:
    ours, clip = PyTorchRuntime(tiny_model(system.name).model), clip_batch((SIZE, (30, 40)), num_frames=system.frames)
    for form in FORMATS:
        pairs = zip(ours.frame_features(clip).maps, system.runtime(form).frame_features(clip).maps, strict=True)
        for a, b in pairs:
            assert (a.values - b.values).abs().max() <= BOUND * a.values.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_graphs_take_clips_of_a_length_that_was_never_traced(system: Exported, frames: int) -> None:
    model = tiny_model(system.name)
    longest = getattr(model.config.queries, "frames", frames)
    for form in FORMATS if frames <= longest else ():
        clip, theirs = clip_batch((SIZE,), num_frames=frames, seed=1), system.runtime(form)
        if system.frames == 1 < frames:
            with pytest.raises(UsageError, match=f"the graphs of this model take 1; export it with --frames {frames}"):
                outputs(theirs, clip)
        else:
            assert_agree(PyTorchRuntime(model.model), theirs, clip)


@pytest.mark.slow
@pytest.mark.parametrize("latency", [None, 0, 2])
def test_a_video_of_any_length_is_followed_by_graphs_for_one_length(system: Exported, latency: int | None) -> None:
    if system.frames > 1:
        pytest.skip("these graphs take any length")
    height, width = SIZE
    video = render_video(3, 0, SyntheticDials(frames=4, height=height, width=width))
    for form in FORMATS:
        predictor = VideoPredictor.load(system.folder / form, min_score=0.0)
        session = predictor.session(latency=latency)
        for frame in video.frames:
            session.push(frame)
        session.finish()
        assert len(session.result()) > 0


@pytest.mark.slow
def test_frames_that_are_absent_say_the_same(system: Exported) -> None:
    frames = max(2, system.frames)
    clip = clip_batch((SIZE,), num_frames=frames)
    absent = replace(clip, is_padding=clip.is_padding.index_fill(1, torch.tensor([frames - 1]), True))
    for form in FORMATS if system.frames > 1 else ():
        assert_agree(PyTorchRuntime(tiny_model(system.name).model), system.runtime(form), absent)


@pytest.mark.slow
def test_the_command_has_found_them_equal(system: Exported) -> None:
    proofs = json.loads((system.folder / "proofs.json").read_text())
    assert set(proofs) == set(FORMATS)
    for proof in proofs.values():
        for clips in ("random", "rendered"):
            assert 0 < max(proof[clips].values()) <= BOUND
        assert proof["agreement"]["same_ids"]
        assert proof["agreement"]["mean_iou"] >= 0.999
        assert proof["ap"] is None


@pytest.mark.slow
def test_graphs_beyond_the_bound_are_refused_and_nothing_is_left(system: Exported) -> None:
    assert {path.name for path in system.folder.iterdir()} == {*FORMATS, "proofs.json", "refusal.txt"}
    refusal = (system.folder / "refusal.txt").read_text()
    assert re.search(r"nothing was written.* differ by .*at most 0e\+00 is allowed", refusal)


@pytest.mark.slow
def test_onnx_graphs_are_valid_and_name_what_goes_in_and_out(system: Exported) -> None:
    for name in ("features", "clip", "masks"):
        model = onnx.load(system.folder / "onnx" / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output
        assert str(Path(__file__).parents[2]).encode() not in model.SerializeToString(), "no place on this machine"
    graphs = system.runtime("onnx").graphs
    assert list(graphs.features.inputs) == ["frame", "sizes"]
    assert list(graphs.clip.inputs)[:2] == ["sizes", "map0"]
    assert list(graphs.clip.outputs)[:2] == ["class_logits", "boxes"]
    assert list(graphs.masks.outputs) == ["masks"]


@pytest.mark.slow
def test_nothing_asked_for_gives_no_masks(system: Exported) -> None:
    clip, nothing = clip_batch((SIZE,), num_frames=system.frames), torch.zeros(0, dtype=torch.int64)
    for model in (PyTorchRuntime(tiny_model(system.name).model), system.runtime("onnx")):
        masks = model.masks(model.clip(model.frame_features(clip)), 0, nothing)
        assert masks.shape == (0, system.frames, SIZE[0] // 4, SIZE[1] // 4)
