"""A live session on ONNX Runtime says what it says on PyTorch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskreel.geometry import rle
from maskreel.inference.pending import FrameObjects
from maskreel.inference.predictor import VideoPredictor
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.rendering import render_video
from tests.export.exporting import SIZE, exported_once, tiny_model

FRAMES = 50


def seen(predictor: VideoPredictor, size: tuple[int, int]) -> list[FrameObjects]:
    """Every frame of a rendered video, answered in the push that showed it."""
    video = render_video(12_345, 0, SyntheticDials(frames=FRAMES, height=size[0], width=size[1]))
    session = predictor.session(latency=0, keep=False)
    return [final for frame in video.frames for final in session.push(frame)]


def assert_equal(ours: list[FrameObjects], theirs: list[FrameObjects], size: tuple[int, int]) -> None:
    assert len(ours) == len(theirs) == FRAMES
    different = total = 0
    for a, b in zip(ours, theirs, strict=True):
        assert [found.track_id for found in a.objects] == [found.track_id for found in b.objects]
        assert [found.label for found in a.objects] == [found.label for found in b.objects]
        for one, other in zip(a.objects, b.objects, strict=True):
            different += int(np.sum(rle.decode(one.mask) != rle.decode(other.mask)))
            total += size[0] * size[1]
    assert total > 0
    assert different <= 0.001 * total


@pytest.mark.nightly
def test_a_live_session_of_a_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    loaded = tiny_model("seqformer")
    graphs = VideoPredictor.load(exported_once(tmp_path_factory, "seqformer") / "onnx")
    model = VideoPredictor(loaded.model, loaded.classes, graphs.options, trained_frames=graphs.trained_frames)
    assert_equal(seen(model, SIZE), seen(graphs, SIZE), SIZE)


@pytest.mark.nightly
def test_a_live_session_of_the_bundled_model(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "maskreel.cli.main",
        "export",
        "bundled",
        str(tmp_path / "onnx"),
        "--format",
        "onnx",
    ]
    subprocess.run([*command, "--frames", "12"], check=True, timeout=1500)
    graphs = VideoPredictor.load(tmp_path / "onnx")
    model = VideoPredictor.load("bundled", device="cpu")
    assert_equal(seen(model, (96, 160)), seen(graphs, (96, 160)), (96, 160))
