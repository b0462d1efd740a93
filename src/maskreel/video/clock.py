"""Times of frames that increase, whatever a file says."""

LATE_STEP = 0.001
"""Seconds after the frame before it, for a frame whose own time has passed."""

MAX_REPEATS = 3
"""Frames in a row with the time of the one before them that are moved on their own; more are a clock that stands."""


class Clock:
    """Turns time stamps into times that increase."""

    def __init__(self, step: float) -> None:
        """`step` is the usual distance of two frames in seconds."""
        self._step = step
        self._offset = 0.0
        self._last = float("-inf")
        self._repeats = 0

    def next(self, time: float, *, is_damaged: bool) -> float:
        """Time of a frame in seconds, rounded to microseconds."""
        moved = round(time + self._offset, 6)
        if moved > self._last:
            self._repeats = 0
        elif is_damaged:
            # After damage single frames come out late; the frames behind them keep their own time.
            moved = self._last + LATE_STEP
        elif self._last - moved < self._step and self._repeats < MAX_REPEATS:
            # The time of the frame before once more, or nearly: the frames behind keep their own time.
            self._repeats += 1
            moved = self._last + self._step / (MAX_REPEATS + 2)
        else:
            # The clock was set back, as where files were joined, or stands: all that follows moves with it.
            moved = self._last + self._step
            self._offset = moved - time
        self._last = round(moved, 6)
        return self._last
