"""Frames pushed one by one: what comes out when, the same result as for a file, and what is refused."""

import collections
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskreel.errors import DataError, UsageError
from maskreel.geometry.masklets import Masklets
from maskreel.inference.options import PredictorOptions
from maskreel.inference.pending import FrameObjects
from maskreel.inference.predictor import VideoPredictor
from maskreel.inference.session import Session
from maskreel.video.files import Frame, VideoFile
from tests.inference.colour_model import CLASSES, ColourModel
from tests.video.videos import moving_blocks, write_test_video

HIDDEN = ((1, range(10, 14)), (2, range(22, 45)))


def picture(index: int) -> np.ndarray:
    return moving_blocks(index, size=(48, 80), count=4, hidden=HIDDEN)


def predictor(clip_frames: int = 12, clip_overlap: int = 3) -> VideoPredictor:
    options = PredictorOptions(short_side=48, clip_frames=clip_frames, clip_overlap=clip_overlap)
    return VideoPredictor(ColourModel(), CLASSES, options)


def run_through(session: Session, frames: Iterator[object] | list[object]) -> list[FrameObjects]:
    seen = [final for frame in frames for final in session.push(frame)]
    return seen + session.finish()


def content(masklets: Masklets) -> dict[str, object]:
    """All but where the frames came from."""
    return {key: value for key, value in masklets.to_dict().items() if key not in ("source", "frames")}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_test_video(tmp_path_factory.mktemp("video") / "a.mp4", num_frames=60, rate=10, picture=picture)


@pytest.mark.parametrize("kind", ["numpy", "torch", "pillow", "record"])
def test_pushed_frames_give_the_result_of_the_file(video: Path, kind: str) -> None:
    frames = list(VideoFile(video))
    forms = {
        "numpy": [frame.pixels for frame in frames],
        "torch": [torch.from_numpy(frame.pixels).permute(2, 0, 1) for frame in frames],
        "pillow": [Image.fromarray(frame.pixels) for frame in frames],
        "record": frames,
    }
    session = predictor().session()
    seen = run_through(session, forms[kind])
    assert content(session.result()) == content(predictor()(video))
    assert seen == list(predictor().stream(video))
    assert (session.result().source, session.result().declared) == ("frames", None)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_what_is_handed_out_is_what_the_result_holds(length: int, clip_frames: int, data: st.DataObject) -> None:
    """Frame by frame, in order, each once, when exactly as many frames as a clip has have come after it."""
    run = predictor(clip_frames, data.draw(st.integers(0, clip_frames - 1)))
    session = run.session()
    seen = []
    for index in range(length):
        seen += session.push(picture(index))
        assert len(seen) == max(0, index + 1 - clip_frames)
    seen += session.finish()
    masklets = session.video().masklets(0.0)
    assert [frame.index for frame in seen] == list(range(length))
    assert [frame.time for frame in seen] == list(masklets.timestamps)
    for frame in seen:
        expected = {m.track_id: mask for m in masklets if (mask := m.segmentations[frame.index]) is not None}
        assert {one.track_id: one.mask for one in frame.objects} == expected
    assert run_through(run.session(keep=False), [picture(index) for index in range(length)]) == seen


def test_a_frame_may_be_changed_after_it_was_pushed() -> None:
    session, buffer = predictor().session(), np.empty((48, 80, 3), np.uint8)
    for index in range(20):
        buffer[:] = picture(index)
        session.push(buffer)
        session.push(torch.from_numpy(buffer).permute(2, 0, 1))
        buffer[:] = 0
    session.finish()
    reference = predictor().session()
    run_through(reference, [picture(index // 2) for index in range(40)])
    assert content(session.result()) == content(reference.result())


def test_times_are_those_given_else_a_tenth_of_a_second_after_the_frame_before() -> None:
    session = predictor().session()
    for time in (None, None, 2, None, np.float32(2.5), None):
        session.push(picture(0), time)
    session.push(Frame(99, 7.25, picture(0)))
    session.push(Frame(99, 7.25, picture(0)), 8.0)
    session.finish()
    assert session.result().timestamps == (0.0, 0.1, 2.0, 2.1, 2.5, 2.6, 7.25, 8.0)


@pytest.mark.parametrize(
    ("frame", "time", "message"),
    [
        (picture(0)[:40], None, "^frame 15: 80x40 pixels; expected 80x48 as in the frames before$"),
        (picture(0).astype(np.float32) / 255, None, "^frame 15: numpy array of float32 .*uint8"),
        (np.full((48, 80, 3), np.nan), None, "^frame 15: numpy array of float64 with NaN"),
        (picture(0).transpose(2, 0, 1), None, r"^frame 15: .*shape \(3, 48, 80\); expected a numpy array h w 3"),
        (torch.from_numpy(picture(0)), None, "^frame 15: torch tensor .* expected .* a torch tensor 3 h w"),
        ("video.mp4", None, "^frame 15: str; expected"),
        (picture(0), float("nan"), "^frame 15: time nan; expected seconds$"),
        (picture(0), np.zeros(2), r"^frame 15: time array.*; expected seconds$"),
        (picture(0), 0.5, "^frame 15: time 0.5; expected 1.4 or later"),
    ],
)
def test_a_refused_frame_changes_nothing(frame: object, time: Any, message: str) -> None:
    """What was found before is kept, and the video goes on."""
    session, reference = predictor().session(), predictor().session()
    for index in range(40):
        if index == 15:
            with pytest.raises(DataError, match=message):
                session.push(frame, time)
        assert session.push(picture(index)) == reference.push(picture(index))
    assert session.finish() == reference.finish()
    assert session.result().to_dict() == reference.result().to_dict()


def test_the_first_frame_may_be_refused_too() -> None:
    session = predictor().session()
    with pytest.raises(DataError, match="frame 0: str"):
        session.push("a")
    run_through(session, [picture(0)])
    assert session.result().decoded == 1


def test_a_session_says_what_it_cannot_do_yet_or_any_more() -> None:
    session = predictor().session()
    session.push(picture(0))
    with pytest.raises(UsageError, match="result: the video is not finished; call finish first"):
        session.result()
    assert [frame.index for frame in session.finish()] == [0]
    assert session.finish() == []
    with pytest.raises(UsageError, match="push: the video is finished; begin another session"):
        session.push(picture(1))
    assert session.result().decoded == 1


def test_a_session_that_keeps_nothing_has_no_result() -> None:
    session = predictor().session(keep=False)
    session.push(picture(0))
    for _ in range(2):
        with pytest.raises(UsageError, match="a session with keep=False keeps no result"):
            session.result()
        session.finish()


def test_a_session_without_frames_has_no_result() -> None:
    session = predictor().session()
    assert session.finish() == []
    with pytest.raises(UsageError, match="no frame was pushed"):
        session.result()


def test_sessions_of_one_predictor_do_not_know_each_other() -> None:
    run = predictor()
    first, second = run.session(), run.session()
    for index in range(30):
        first.push(picture(index))
        second.push(picture(2 * index))
    first.finish(), second.finish()
    alone = run.session()
    run_through(alone, [picture(index) for index in range(30)])
    assert first.result().to_dict() == alone.result().to_dict() != second.result().to_dict()


def test_a_session_that_keeps_nothing_does_not_grow_with_the_video() -> None:
    """Objects reachable from the session, counted after a short and after a long video."""

    def reachable(session: Session) -> int:
        found, waiting = set(), [session]
        while waiting:
            for child in gc.get_referents(waiting.pop()):
                if id(child) not in found and not isinstance(child, type) and not hasattr(child, "__globals__"):
                    found.add(id(child))
                    waiting.append(child)
        return len(found)

    model = predictor(4, 1)
    session = model.session(keep=False)
    sizes = []
    for index in range(200):
        session.push(moving_blocks(index % 4, size=(48, 80), count=4))
        if index in (39, 199):
            model.runtime.shown.clear()  # pyright: ignore[reportAttributeAccessIssue]
            sizes.append(reachable(session))
    assert abs(sizes[1] - sizes[0]) < 20


def test_a_call_takes_what_can_be_opened(video: Path) -> None:
    frames = [frame.pixels for frame in VideoFile(video)]
    expected = content(predictor()(video))
    for source in (str(video), np.stack(frames), frames, iter(frames), [Image.fromarray(frame) for frame in frames]):
        assert content(predictor()(source)) == expected
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    assert content(predictor()(tensor)) == expected
    assert [frame.index for frame in predictor().stream(iter(frames))] == list(range(60))


def test_what_is_seen_before_a_bad_frame_is_handed_out() -> None:
    frames = [picture(index) for index in range(20)]
    seen: list[FrameObjects] = []
    stream = predictor().stream([*frames, frames[0] / 255])
    with pytest.raises(DataError, match=r"frame 20: numpy array of float64"):
        collections.deque(map(seen.append, stream))
    assert seen == list(predictor().stream(frames))
