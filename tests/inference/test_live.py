"""Sessions that cannot wait: what is final when, identities, features that windows share, and states that go on."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import maskreel
from maskreel.errors import DataError, OptionError, UsageError
from maskreel.geometry import rle
from maskreel.inference.options import PredictorOptions
from maskreel.inference.pending import FrameObjects
from maskreel.inference.predictor import VideoPredictor
from maskreel.inference.session import Session
from maskreel.models.catalog import CATALOG
from maskreel.models.folder import published_frames
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import render_video
from tests.checkpoints.tables import TINY
from tests.inference.colour_model import CLASSES, ColourModel
from tests.models.test_contract import drawn
from tests.video.videos import COLOURS, moving_blocks

Visits = tuple[tuple[int, range], ...]

PACES = st.tuples(st.one_of(st.none(), st.integers(0, 6)), st.integers(1, 8), st.sampled_from([0, 4, 40]))
"""Latency, window, memory."""


def picture(index: int, hidden: Visits = ()) -> np.ndarray:
    return moving_blocks(index, size=(48, 80), count=4, hidden=hidden)


def predictor(**options: Any) -> VideoPredictor:
    chosen = {"short_side": 48, "clip_frames": 8, "clip_overlap": 3, "min_score": 0.3, **options}
    return VideoPredictor(ColourModel(), CLASSES, PredictorOptions(**chosen))


def rendered_frames(count: int) -> list[np.ndarray]:
    return list(render_video(10_000, 3, SyntheticDials(frames=count)).frames)


def push_all(session: Session, frames: Sequence[np.ndarray]) -> list[FrameObjects]:
    return [final for frame in frames for final in session.push(frame)]


@st.composite
def visits(draw: st.DrawFn) -> Visits:
    """When each of the four blocks is away."""
    away = []
    for block in range(4):
        for _ in range(draw(st.integers(0, 2))):
            first = draw(st.integers(0, 16))
            away.append((block, range(first, draw(st.integers(first + 1, 20)))))
    return tuple(away)


@settings(deadline=None, max_examples=12)
@given(visits(), PACES, st.integers(0, 20))
def test_ids_are_never_given_to_another_object_and_a_state_goes_on_with_the_same_bytes(
    hidden: Visits, pace: tuple[int | None, int, int], cut: int
) -> None:
    """Whatever appears, leaves and returns: an id belongs to one object, no frame shows it twice, and for any cut the
    session that goes on from a saved state hands out the same."""
    latency, window, memory = pace
    frames = [picture(index, hidden) for index in range(20)]

    def session() -> Session:
        return predictor().session(latency=latency, window=window, memory=memory)

    whole = session()
    seen = push_all(whole, frames) + whole.finish()
    assert [frame.index for frame in seen] == list(range(20))
    colours: dict[int, int] = {}
    for frame in seen:
        ids = [one.track_id for one in frame.objects]
        assert len(ids) == len(set(ids))
        for one in frame.objects:
            assert colours.setdefault(one.track_id, colour_under(frames[frame.index], one.mask)) == colour_under(
                frames[frame.index], one.mask
            )
    before, after = session(), session()
    first = push_all(before, frames[:cut])
    state = through_a_file(before.state_dict())
    push_all(before, frames[cut:])  # what goes on must not reach into the state
    after.load_state_dict(state)
    assert first + push_all(after, frames[cut:]) + after.finish() == seen
    assert after.result().to_dict() == whole.result().to_dict()


def colour_under(frame: np.ndarray, mask: Any) -> int:
    pixels = frame[rle.decode(mask)]
    return int(np.argmax([(pixels == colour).all(-1).sum() for colour in COLOURS]))


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


@pytest.mark.parametrize("latency", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("window", [1, 2, 5, 30])
def test_all_frames_up_to_the_latency_are_final_after_every_push(latency: int, window: int) -> None:
    session = predictor().session(latency=latency, window=window)
    for index in range(24):
        expected = [] if index < latency else [index - latency]
        assert [final.index for final in session.push(picture(index))] == expected
    assert [final.index for final in session.finish()] == list(range(24 - latency, 24))
    masklets = session.result()
    assert masklets.decoded == 24


def test_windows_hold_the_latest_frames_and_begin_every_latency_frames() -> None:
    run = predictor()
    session = run.session(latency=2, window=6, reuse=False)
    push_all(session, [picture(index) for index in range(12)])
    session.finish()
    assert run.runtime.lengths == [3, 5, 6, 6, 6, 6]  # pyright: ignore[reportAttributeAccessIssue]


def test_what_is_handed_out_is_what_the_result_holds() -> None:
    hidden = ((1, range(4, 9)), (2, range(10, 20)))
    for latency, window, memory in ((0, 5, 0), (1, 5, 30), (3, 7, 30), (6, 4, 0)):
        session = predictor().session(latency=latency, window=window, memory=memory)
        seen = push_all(session, [picture(index, hidden) for index in range(30)]) + session.finish()
        masklets = session.video().masklets(0.0)
        for frame in seen:
            expected = {m.track_id: mask for m in masklets if (mask := m.segmentations[frame.index]) is not None}
            assert {one.track_id: one.mask for one in frame.objects} == expected
        keeping_nothing = predictor().session(latency=latency, window=window, memory=memory, keep=False)
        frames = [picture(index, hidden) for index in range(30)]
        assert push_all(keeping_nothing, frames) + keeping_nothing.finish() == seen


def test_a_window_over_the_whole_video_gives_the_bytes_of_a_file() -> None:
    frames = rendered_frames(16)
    run = maskreel.load("bundled", memory=0)
    session = run.session(latency=15, window=16)
    push_all(session, frames)
    session.finish()
    ours, file = session.result(), run(frames)
    assert len(ours) > 0
    assert ours.masklets == file.masklets


def test_windows_that_share_frames_compute_each_once() -> None:
    run = predictor()
    session = run.session(latency=1, window=5)
    push_all(session, [picture(index) for index in range(20)])
    session.finish()
    assert sum(run.runtime.lengths) == 20  # pyright: ignore[reportAttributeAccessIssue]


def test_shared_features_change_nothing_but_rounding() -> None:
    """Masks of a trained model with and without reuse; pixels on the edge may round either way."""
    frames = rendered_frames(14)
    results = []
    for reuse in (True, False):
        session = maskreel.load("bundled").session(latency=1, window=5, reuse=reuse)
        push_all(session, frames)
        session.finish()
        results.append(session.result())
    ours, plain = results
    assert len(ours) == len(plain) > 0
    for a, b in zip(ours, plain, strict=True):
        assert (a.track_id, a.label, a.score) == (b.track_id, b.label, pytest.approx(b.score, rel=1e-4))
    differing = sum(int((ours.masks(t) != plain.masks(t)).sum()) for t in range(14))
    assert differing <= 1e-3 * sum(int(plain.masks(t).sum()) for t in range(14))


@pytest.mark.parametrize(("memory", "expected"), [(0, 5), (6, 5), (30, 4)])
def test_an_object_that_returns_gets_its_id_back_as_long_as_it_is_remembered(memory: int, expected: int) -> None:
    session = predictor().session(latency=1, window=5, memory=memory)
    push_all(session, [picture(index, ((2, range(8, 24)),)) for index in range(36)])
    session.finish()
    assert len(session.result()) == expected


def test_memory_is_off_without_a_latency_unless_it_is_asked_for() -> None:
    counts = []
    for memory in (None, 0, 40):
        run = predictor() if memory is None else predictor(memory=memory)
        counts.append(len(run([picture(index, ((2, range(8, 24)),)) for index in range(36)])))
    assert counts == [5, 5, 4]


def test_a_remembered_object_is_not_taken_for_one_of_another_look() -> None:
    """Block 1 leaves for good, block 2 comes: another colour, another class."""
    hidden = ((1, range(10, 40)), (2, range(15)))
    session = predictor().session(latency=1, window=5, memory=30)
    push_all(session, [picture(index, hidden) for index in range(36)])
    session.finish()
    assert len(session.result()) == 4


def loaded(kind: str) -> VideoPredictor:
    """The small recipe's weights where this clone has them, else drawn ones."""
    try:
        return maskreel.load("bundled" if kind == "seqformer" else f"bundled-{kind.replace('_', '-')}", memory=20)
    except UsageError:
        config = TINY[kind]
        classes = [(number, str(number)) for number in range(config.num_classes)]
        options = PredictorOptions(short_side=48, memory=20, min_score=0.0)
        return VideoPredictor(drawn(config, deviation=0.1), classes, options, trained_frames=published_frames(config))


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_a_state_of_any_model_goes_on_with_the_same_ids_and_bytes(kind: str) -> None:
    run, frames = loaded(kind), rendered_frames(9)
    whole = run.session(latency=1, window=3)
    seen = push_all(whole, frames) + whole.finish()
    for cut in (2, 5, 9):
        before, after = (run.session(latency=1, window=3) for _ in range(2))
        first = push_all(before, frames[:cut])
        after.load_state_dict(through_a_file(before.state_dict()))
        assert first + push_all(after, frames[cut:]) + after.finish() == seen
        assert after.result().to_dict() == whole.result().to_dict()


def state_of(**changes: Any) -> dict[str, Any]:
    session = predictor().session(latency=1, window=5)
    push_all(session, [picture(index) for index in range(7)])
    return {**session.state_dict(), **changes}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: 3, "state: a int that state_dict did not make"),
        (dict, "state: a dict that state_dict did not make"),
        (lambda: state_of(version=7), "state: version 7; this Maskreel reads version 1"),
        (lambda: state_of(known={}), "state: damaged"),
        (
            lambda: state_of(known={**state_of()["known"], "_linker": {"record": "Popen", "fields": {}}}),
            "damaged.*Popen",
        ),
        (lambda: state_of(known={**state_of()["known"], "_size": [1, {"tuple": 3}]}), "state: damaged"),
        (
            lambda: state_of(known={**state_of()["known"], "_windows": 3}),
            "damaged, a int where SlidingWindows is expected",
        ),
        (lambda: predictor().session(latency=2, window=5).state_dict(), "state: latency was 2 there and is 1 here"),
        (lambda: predictor(short_side=32).session(latency=1, window=5).state_dict(), "option short_side was 32"),
        (
            lambda: maskreel.load("bundled").session(latency=1).state_dict(),
            "state: was made by another model, SeqFormer .*; this one is ColourModel",
        ),
    ],
)
def test_a_foreign_state_is_refused_and_what_was_found_is_kept(state: Any, message: str) -> None:
    session, reference = predictor().session(latency=1, window=5), predictor().session(latency=1, window=5)
    for index in range(20):
        if index == 10:
            with pytest.raises(DataError, match=message):
                session.load_state_dict(state())
        assert session.push(picture(index)) == reference.push(picture(index))
    session.finish(), reference.finish()
    assert session.result().to_dict() == reference.result().to_dict()


def test_states_know_models_by_their_weights() -> None:
    a, b = (maskreel.load("bundled") for _ in range(2))
    first = next(b.runtime.model.parameters())  # pyright: ignore[reportAttributeAccessIssue]
    b.session(latency=1).load_state_dict(a.session(latency=1).state_dict())
    with torch.no_grad():
        first[0] += 1
    other = VideoPredictor(b.runtime, b.classes, b.options)
    with pytest.raises(DataError, match="another model"):
        other.session(latency=1, window=5).load_state_dict(a.session(latency=1).state_dict())


@pytest.mark.parametrize("arguments", [{"latency": -1}, {"window": 0}, {"memory": -1}])
def test_a_pace_out_of_range_is_refused_by_name(arguments: dict[str, int]) -> None:
    (name, value), *_ = arguments.items()
    with pytest.raises(OptionError, match=f"{name} {value}: must be at least"):
        predictor().session(**arguments)  # pyright: ignore[reportArgumentType]
