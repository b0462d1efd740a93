"""Reading frames in a thread of its own while others are worked on; frames of live video that nobody waits for go."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction

from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame, FrameSource

DEPTH = 4
"""Frames that wait at most."""

DROPPED = "dropped: the network was busy with earlier frames"
STOPPED = "not read: stopped before"

_PATIENCE = 0.2
"""Seconds between two looks at whether to stop."""


class ReadAhead:
    """A source that is read while its frames are worked on, no more than `DEPTH` of them ahead.

    With `drops`, a frame that comes while `DEPTH` others wait pushes the oldest of them out: what is worked on is never
    older than that, however slow the work. Such frames are listed in `skipped`, by range. `stop` ends the reading
    before the source does; what it says it has beyond is listed, too.
    """

    def __init__(self, source: FrameSource, *, drops: bool = False, stop: Callable[[], bool] = lambda: False) -> None:
        self._source = source
        self._drops = drops
        self._stop = stop
        self.name = source.name
        self.size: tuple[int, int] = source.size
        self.declared: int | None = source.declared
        self.frame_rate: Fraction = source.frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        waiting = _Waiting(DEPTH, drops=self._drops)
        reader = threading.Thread(target=waiting.fill, args=(self._source,), name="maskreel-reader", daemon=True)
        reader.start()
        dropped: list[SkippedFrame] = []
        expected = 0
        try:
            while (frame := waiting.next(self._stop)) is not None:
                if self._drops and frame.index > expected:
                    dropped.append(SkippedFrame(index=expected, count=frame.index - expected, reason=DROPPED))
                expected = frame.index + 1
                yield Frame(frame.index - sum(one.count for one in dropped), frame.time, frame.pixels, frame.duration)
        finally:
            waiting.close()
            # A thread that waits for a network ends by its own time limit; nobody needs to wait for that.
            reader.join(timeout=5)
        self.skipped = (*self._lost(expected, waiting.came), *dropped)

    def _lost(self, received: int, came: int) -> tuple[SkippedFrame, ...]:
        """What the source lost by itself; when it was stopped, what was left of those that came or are to come, too."""
        lost = self._source.skipped
        if not self._stop():
            return lost
        left = max(1, came - received)
        if self.declared is not None:
            left = self.declared - received - sum(one.count for one in lost)
        return (*lost, SkippedFrame(index=received, count=left, reason=STOPPED)) if left > 0 else lost


class _Waiting:
    """A bounded queue between the thread that reads and the one that works."""

    def __init__(self, depth: int, *, drops: bool) -> None:
        self._depth = depth
        self._drops = drops
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self.came = 0
        """Frames of the source, those that were dropped among them."""
        self._is_closed = False
        self._is_filled = False
        self._error: BaseException | None = None

    def fill(self, source: FrameSource) -> None:
        """Put all frames of a source in, until it ends or the queue is closed."""
        try:
            for frame in source:
                with self._changed:
                    self.came = frame.index + 1
                    while len(self._frames) >= self._depth and not self._is_closed and not self._drops:
                        self._changed.wait()
                    if self._is_closed:
                        break
                    if len(self._frames) >= self._depth:
                        self._frames.popleft()
                    self._frames.append(frame)
                    self._changed.notify_all()
        except BaseException as error:  # handed to the thread that works
            self._error = error
        with self._changed:
            self._is_filled = True
            self._changed.notify_all()

    def next(self, stop: Callable[[], bool]) -> Frame | None:
        """The oldest frame that waits, None at the end; raises what reading raised, after the frames before it."""
        with self._changed:
            while not self._frames and not self._is_filled and not stop():
                self._changed.wait(_PATIENCE)
            if stop():
                return None
            if not self._frames:
                if self._error is not None:
                    raise self._error
                return None
            self._changed.notify_all()
            return self._frames.popleft()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._frames.clear()
            self._changed.notify_all()
