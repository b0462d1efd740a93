"""Times of frames that increase and keep their distances, whatever a file says."""

import pytest

from maskreel.video.clock import LATE_STEP, Clock


def told(times: list[float], damaged: frozenset[int] = frozenset()) -> list[float]:
    clock = Clock(step=0.1)
    return [clock.next(time, is_damaged=index in damaged) for index, time in enumerate(times)]


def test_times_that_increase_stay_as_they_are() -> None:
    assert told([3.0, 3.1, 3.15, 7.0]) == [3.0, 3.1, 3.15, 7.0]


def test_all_that_follows_a_clock_that_was_set_back_moves_with_it() -> None:
    assert told([5.0, 5.1, 5.2, 0.0, 0.1, 0.3, 9.0]) == pytest.approx([5.0, 5.1, 5.2, 5.3, 5.4, 5.6, 14.3])


def test_a_clock_may_be_set_back_twice() -> None:
    assert told([5.0, 0.0, 0.1, 0.0, 0.1]) == pytest.approx([5.0, 5.1, 5.2, 5.3, 5.4])


def test_a_time_that_comes_again_moves_its_frame_alone() -> None:
    assert told([1.0, 1.1, 1.1, 1.2, 1.3]) == pytest.approx([1.0, 1.1, 1.12, 1.2, 1.3])


def test_a_clock_that_stands_is_replaced_by_the_usual_step() -> None:
    times = told([2.0] * 8)
    assert times[:4] == pytest.approx([2.0, 2.02, 2.04, 2.06])
    assert times[4:] == pytest.approx([2.16, 2.26, 2.36, 2.46])
    assert all(after > before for before, after in zip(times, times[1:], strict=False))


def test_a_frame_that_comes_late_after_damage_leaves_those_behind_it_where_they_are() -> None:
    assert told([1.0, 1.1, 0.4, 1.2, 1.3], frozenset({2})) == pytest.approx([1.0, 1.1, 1.1 + LATE_STEP, 1.2, 1.3])


def test_times_are_rounded_to_microseconds() -> None:
    assert told([1 / 3, 2 / 3]) == [0.333333, 0.666667]
