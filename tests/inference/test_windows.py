"""Windows hold every frame of a video of any length, and no more than two of them are in memory."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskreel.inference.windows import cut_windows


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(1, 20), st.data())
def test_windows_hold_every_frame_and_are_full(length: int, clip_frames: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, clip_frames - 1))
    windows = list(cut_windows(range(length), clip_frames=clip_frames, overlap=overlap))
    for start, frames in windows:
        assert frames == list(range(start, start + min(clip_frames, length)))
    assert sorted({frame for _, frames in windows for frame in frames}) == list(range(length))
    ends = [start + len(frames) for start, frames in windows]
    shared = [end - start for end, (start, _) in zip(ends[:-1], windows[1:], strict=True)]
    assert all(count == overlap for count in shared[:-1])
    assert all(overlap <= count < clip_frames for count in shared)


@pytest.mark.parametrize(("length", "starts"), [(36, [0]), (37, [0, 1]), (66, [0, 30]), (67, [0, 30, 31]), (5, [0])])
def test_the_last_window_is_moved_back_until_it_is_full(length: int, starts: list[int]) -> None:
    assert [start for start, _ in cut_windows(range(length), clip_frames=36, overlap=6)] == starts


def test_frames_are_taken_as_they_are_needed() -> None:
    taken = []

    def frames() -> Iterator[int]:
        for index in range(1000):
            taken.append(index)
            yield index

    windows = cut_windows(frames(), clip_frames=10, overlap=2)
    next(windows)
    assert len(taken) == 10
    next(windows)
    assert len(taken) == 18


def test_no_frames_make_no_window() -> None:
    assert list(cut_windows([], clip_frames=4, overlap=1)) == []


@pytest.mark.parametrize("overlap", [-1, 4])
def test_an_overlap_of_a_whole_clip_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap {overlap}: must be at least 0 and below the 4 frames"):
        list(cut_windows([1], clip_frames=4, overlap=overlap))
