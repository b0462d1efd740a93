"""Reading in a thread: order, what is dropped and listed, stopping, errors; and frames that wait in a file."""

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from maskreel.errors import OptionError, VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.ahead import DEPTH, DROPPED, STOPPED, ReadAhead
from maskreel.video.choice import FrameChoice
from maskreel.video.files import Frame
from maskreel.video.held import HeldFrames


class Counted:
    """A source of small frames that says how many were asked for."""

    name = "counted"
    size = (2, 3)
    frame_rate = Fraction(10)

    def __init__(self, count: int, *, declared: int | None = None, before: Callable[[int], None] | None = None) -> None:
        self.declared = declared
        self.skipped: tuple[SkippedFrame, ...] = ()
        self.asked = 0
        self._count = count
        self._before = before

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            if self._before is not None:
                self._before(index)
            self.asked = index + 1
            yield Frame(index, index / 10, np.full((2, 3, 3), index % 256, np.uint8), 0.1)
        self.skipped = (SkippedFrame(index=self._count, reason="gone"),)


def test_frames_come_in_order_and_none_is_lost() -> None:
    source = ReadAhead(Counted(200))
    assert [(frame.index, int(frame.pixels[0, 0, 0])) for frame in source] == [(i, i) for i in range(200)]
    assert source.skipped == (SkippedFrame(index=200, reason="gone"),)


def test_no_more_than_a_few_frames_are_read_ahead() -> None:
    counted = Counted(100)
    frames = iter(ReadAhead(counted))
    for index in range(20):
        next(frames)
        assert counted.asked <= index + 1 + DEPTH + 1
    frames.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert counted.asked < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "maskreel-reader"]


def test_a_live_source_drops_the_oldest_and_lists_what_it_dropped() -> None:
    """The reader runs to the end while the first frame is worked on: the newest are there, the others counted."""
    may_end = threading.Event()

    def note(index: int) -> None:
        if index == 49:
            may_end.set()

    source = ReadAhead(Counted(50, before=note), drops=True)
    frames = iter(source)
    shown = [next(frames)]
    assert may_end.wait(10)
    shown += list(frames)
    assert [frame.index for frame in shown] == list(range(len(shown)))
    assert [int(frame.pixels[0, 0, 0]) for frame in shown[-3:]] == [47, 48, 49]
    dropped = [one for one in source.skipped if one.reason == DROPPED]
    assert dropped
    assert len(shown) + sum(one.count for one in dropped) == 50
    accounted = {int(frame.pixels[0, 0, 0]) for frame in shown}
    accounted |= {index for one in dropped for index in range(one.index, one.index + one.count)}
    assert accounted == set(range(50))


def test_an_error_comes_after_the_frames_before_it() -> None:
    def fail(index: int) -> None:
        if index == 7:
            raise VideoReadError("counted", "is torn")

    frames = iter(ReadAhead(Counted(20, before=fail)))
    assert [next(frames).index for _ in range(7)] == list(range(7))
    with pytest.raises(VideoReadError, match="is torn"):
        next(frames)


@pytest.mark.parametrize(("declared", "count"), [(50, 44), (None, None), (6, 0)])
def test_a_source_that_is_stopped_says_what_it_left(declared: int | None, count: int | None) -> None:
    """Where it declares nothing, what was read ahead, at least one."""
    shown: list[int] = []
    source = ReadAhead(Counted(50, declared=declared), stop=lambda: len(shown) == 6)
    for frame in source:
        shown.append(frame.index)
    assert shown == list(range(6))
    if count == 0:
        assert source.skipped == ()
        return
    (left,) = source.skipped
    assert (left.index, left.reason) == (6, STOPPED)
    assert left.count == count if count else 1 <= left.count <= DEPTH + 2


def test_a_live_source_that_is_stopped_accounts_for_all_that_came() -> None:
    """Frames that waited when it was stopped, and those that they had pushed out."""
    shown: list[int] = []
    come = threading.Event()

    def count(index: int) -> None:
        if index == 30:
            come.set()

    source = ReadAhead(Counted(31, before=count), drops=True, stop=lambda: len(shown) == 1)
    for frame in source:
        come.wait(20)
        shown.append(frame.index)
    (left,) = [one for one in source.skipped if one.reason == STOPPED]
    dropped = sum(one.count for one in source.skipped if one.reason == DROPPED)
    assert left.index == 1 + dropped
    assert left.index + left.count in (30, 31)


def test_what_was_lost_before_a_source_was_stopped_is_told_too() -> None:
    shown: list[int] = []
    broke = SkippedFrame(index=3, reason="the connection broke off")
    counted = Counted(50, declared=50)
    counted.skipped = (broke,)
    source = ReadAhead(counted, stop=lambda: len(shown) == 6)
    for frame in source:
        shown.append(frame.index)
    assert source.skipped == (broke, SkippedFrame(index=6, count=43, reason=STOPPED))


def test_a_silent_source_can_be_stopped() -> None:
    stopped, blocked = threading.Event(), threading.Event()

    def wait(index: int) -> None:
        if index == 3:
            stopped.set()
            blocked.wait(20)

    assert len(list(ReadAhead(Counted(9, before=wait), stop=stopped.is_set))) <= 3
    blocked.set()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (FrameChoice(every=7), range(0, 50, 7)),
        (FrameChoice(start=1.0), range(10, 50)),
        (FrameChoice(end=1.0), range(10)),
        (FrameChoice(start=1.0, end=2.0, every=4), range(10, 20, 4)),
        (FrameChoice(start=1.05, duration=0.5), range(11, 16)),
        (FrameChoice(duration=100.0), range(50)),
        (FrameChoice(max_frames=4, every=3), range(0, 12, 3)),
        (FrameChoice(max_frames=500), range(50)),
    ],
)
def test_chosen_frames_keep_their_times_and_are_counted_anew(choice: FrameChoice, expected: range) -> None:
    counted = Counted(50, declared=50)
    source = choice.of(counted)
    frames = list(source)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == list(expected)
    assert [frame.time for frame in frames] == [index / 10 for index in expected]
    assert [frame.index for frame in frames] == list(range(len(expected)))
    assert source.declared is None
    assert source.frame_rate == Fraction(10, choice.every)


def test_no_more_frames_are_read_than_are_wanted() -> None:
    counted = Counted(50)
    assert len(list(FrameChoice(max_frames=4).of(counted))) == 4
    assert counted.asked == 4
    assert len(list(FrameChoice(end=1.0).of(counted))) == 10
    assert counted.asked == 11


def test_all_frames_of_a_source_are_the_source_itself() -> None:
    counted = Counted(3)
    assert FrameChoice().of(counted) is counted


def test_a_choice_of_nothing_is_refused_with_where_the_source_ends() -> None:
    with pytest.raises(OptionError, match=r"no frame from 9.0 s on; the last one that was read is at 4.90 s"):
        list(FrameChoice(start=9.0).of(Counted(50)))
    with pytest.raises(OptionError, match=r"no frame from 0.05 s on before 0.1 s; .* at 0.10 s"):
        list(FrameChoice(start=0.05, end=0.1).of(Counted(50)))
    with pytest.raises(OptionError, match=r"no frame before 0.0 s; "):
        list(FrameChoice(end=0.0).of(Counted(50)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"every": 0}, "every 0: must be at least 1"),
        ({"max_frames": 0}, "max_frames 0: must be at least 1"),
        ({"duration": 0.0}, "duration 0.0: must be above 0 seconds"),
        ({"duration": float("nan")}, "duration nan: must be above 0 seconds"),
        ({"start": 3.0, "end": 3.0}, "end 3.0: must be later than start 3.0"),
        ({"start": float("nan")}, "start nan: expected seconds"),
        ({"end": float("nan")}, "end nan: expected seconds"),
    ],
)
def test_a_choice_out_of_range_is_refused_by_name(values: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FrameChoice(**values)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("limit", [0, 100, 10**6])
def test_held_frames_come_back_as_they_were_wherever_they_waited(limit: int) -> None:
    """Up to thirty of them wait, most of them in the file where the limit is low; its places are used again."""
    held, rng = HeldFrames(limit), np.random.default_rng(0)
    given: list[Frame] = []
    out: list[Frame] = []
    for index in range(200):
        given.append(Frame(index, index / 7, rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), 0.1 * index))
        held.append(given[-1])
        while len(held) > 30 or (len(held) and index % 50 == 49):
            out.append(held.popleft())
    assert [(frame.index, frame.time, frame.duration) for frame in out] == [
        (f.index, f.time, f.duration) for f in given
    ]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(out, given, strict=True))
    held._file.seek(0, 2)
    assert held._file.tell() <= 31 * 60
