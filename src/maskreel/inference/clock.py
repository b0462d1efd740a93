"""Times of pushed frames."""

import math
from fractions import Fraction
from typing import SupportsFloat

from maskreel.errors import DataError
from maskreel.video.frame_folders import FRAME_RATE


class FrameClock:
    """Counts frames and gives a time to those that have none."""

    def __init__(self) -> None:
        self.num_frames = 0
        self._last = -math.inf
        self._anchor = (0, 0.0)
        """Number and time of the last frame that had a time."""

    def tick(self, given: SupportsFloat | None, where: str) -> float:
        """Time of the next frame in seconds; DataError for one that is no number or lies before the frame before."""
        if given is None:
            number, since = self._anchor
            time = round(since + float(Fraction(self.num_frames - number) / FRAME_RATE), 6)
        else:
            time = self._checked(given, where)
            self._anchor = (self.num_frames, time)
        self.num_frames += 1
        self._last = time
        return time

    def _checked(self, given: SupportsFloat, where: str) -> float:
        try:
            time = float(given)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: time {given!r}; expected seconds") from error
        if not math.isfinite(time):
            raise DataError(f"{where}: time {time}; expected seconds")
        if time < self._last:
            raise DataError(f"{where}: time {time}; expected {self._last} or later, the time of the frame before it")
        return time
