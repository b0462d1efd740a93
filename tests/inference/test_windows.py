"""Windows hold every frame of a video of any length, and no more than two of them are in memory."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskreel.inference.windows import Window, WindowCutter


def cut(frames: Iterable[int], *, clip_frames: int, overlap: int) -> Iterator[Window[int]]:
    """All windows of a video."""
    cutter = WindowCutter[int](clip_frames=clip_frames, overlap=overlap)
    for frame in frames:
        window = cutter.push(frame)
        if window is not None:
            yield window
    last = cutter.finish()
    if last is not None:
        yield last


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 20), st.data())
def test_windows_hold_every_frame_and_are_full(length: int, clip_frames: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, clip_frames - 1))
    windows = list(cut(range(length), clip_frames=clip_frames, overlap=overlap))
    for window in windows:
        assert window.frames == list(range(window.start, window.start + min(clip_frames, length)))
    assert sorted({frame for window in windows for frame in window.frames}) == list(range(length))
    ends = [window.start + len(window.frames) for window in windows]
    shared = [end - window.start for end, window in zip(ends[:-1], windows[1:], strict=True)]
    assert all(count == overlap for count in shared[:-1])
    assert all(overlap <= count < clip_frames for count in shared)


@pytest.mark.parametrize(("length", "starts"), [(36, [0]), (37, [0, 1]), (66, [0, 30]), (67, [0, 30, 31]), (5, [0])])
def test_the_last_window_is_moved_back_until_it_is_full(length: int, starts: list[int]) -> None:
    assert [window.start for window in cut(range(length), clip_frames=36, overlap=6)] == starts


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_a_frame_is_final_as_soon_as_no_later_window_can_hold_it(
    length: int, clip_frames: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, clip_frames - 1))
    cutter = WindowCutter[int](clip_frames=clip_frames, overlap=overlap)
    for frame in range(length):
        cutter.push(frame)
        assert cutter.num_final == max(0, frame + 1 - clip_frames)
    last = cutter.finish()
    assert last is None or last.start >= cutter.num_final


def test_a_window_is_cut_when_its_last_frame_comes_and_two_are_held_at_most() -> None:
    cutter = WindowCutter[int](clip_frames=10, overlap=2)
    cut_at = {}
    for frame in range(60):
        window = cutter.push(frame)
        if window is not None:
            cut_at[window.start] = frame
        assert len(cutter._held) < 10 + 8
    assert cut_at == {start: start + 9 for start in range(0, 50, 8)}


def test_no_frames_make_no_window() -> None:
    assert list(cut([], clip_frames=4, overlap=1)) == []


@pytest.mark.parametrize("overlap", [-1, 4])
def test_an_overlap_of_a_whole_clip_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap {overlap}: must be at least 0 and below the 4 frames"):
        WindowCutter(clip_frames=4, overlap=overlap)
