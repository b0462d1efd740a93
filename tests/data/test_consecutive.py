"""Clips of consecutive frames."""

import numpy as np
import pytest

from maskreel.data.sampling import consecutive_clip


def draw(length: int, anchor: int, num_frames: int, seed: int = 0) -> tuple[int, ...]:
    return consecutive_clip(length, anchor, num_frames, np.random.default_rng(seed))


@pytest.mark.parametrize(("length", "num_frames"), [(12, 6), (36, 36), (7, 1), (40, 36)])
def test_a_clip_is_a_run_inside_the_video_that_holds_its_anchor(length: int, num_frames: int) -> None:
    for anchor in range(length):
        for seed in range(5):
            clip = draw(length, anchor, num_frames, seed)
            assert clip == tuple(range(clip[0], clip[0] + num_frames))
            assert clip[0] >= 0
            assert clip[-1] < length
            assert anchor in clip


def test_every_run_that_holds_the_anchor_comes_up() -> None:
    starts = {draw(20, 10, 6, seed)[0] for seed in range(200)}
    assert starts == {5, 6, 7, 8, 9, 10}


def test_a_short_video_is_gone_through_again_from_a_random_frame_on() -> None:
    clips = {draw(4, 1, 10, seed) for seed in range(50)}
    assert clips == {tuple((start + step) % 4 for step in range(10)) for start in range(4)}


@pytest.mark.parametrize(
    ("anchor", "num_frames", "problem"), [(5, 2, "anchor 5"), (-1, 2, "anchor -1"), (0, 0, "0 frames")]
)
def test_impossible_clips_are_refused(anchor: int, num_frames: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        draw(5, anchor, num_frames)
