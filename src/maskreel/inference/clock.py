"""Times of pushed frames."""

import math
from fractions import Fraction

from maskreel.errors import DataError
from maskreel.video.frame_folders import FRAME_RATE


class FrameClock:
    """Counts frames and gives a time to those that have none."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._last = -math.inf
        self._anchor = (0, 0.0)
        """Number and time of the last frame that had a time."""

    def tick(self, time: float | None, where: str) -> float:
        """Time of the next frame in seconds; DataError for one that is no number or lies before the frame before."""
        if time is None:
            number, since = self._anchor
            time = round(since + float(Fraction(self.num_frames - number) / FRAME_RATE), 6)
        elif not math.isfinite(time):
            raise DataError(f"{where}: time {time}; expected seconds")
        elif time < self._last:
            raise DataError(f"{where}: time {time}; expected {self._last} or later, the time of the frame before it")
        else:
            self._anchor = (self.num_frames, time)
        self.num_frames += 1
        self._last = time
        return time
