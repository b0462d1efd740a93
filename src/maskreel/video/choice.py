"""Part of a source: every n-th frame, from a time on, up to a time, so many at most."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from maskreel.errors import OptionError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame, FrameSource


@dataclass(frozen=True, kw_only=True)
class FrameChoice:
    """Which frames of a source are looked at; times are in seconds on the source's own clock."""

    every: int = 1
    """Of the frames from `start` on, the first and every so many after it."""
    start: float | None = None
    end: float | None = None
    """Frames at this time or later are left out."""
    duration: float | None = None
    """Seconds from the first chosen frame on."""
    max_frames: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("max_frames", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} {value}: must be at least {least}")
        for name, value in (("start", self.start), ("end", self.end)):
            if value is not None and not math.isfinite(value):
                raise OptionError(f"{name} {value}: expected seconds")
        if self.duration is not None and not self.duration > 0:
            raise OptionError(f"duration {self.duration}: must be above 0 seconds")
        if self.start is not None and self.end is not None and not self.start < self.end:
            raise OptionError(f"end {self.end}: must be later than start {self.start}")

    def of(self, source: FrameSource) -> FrameSource:
        """The source itself where all of it is chosen."""
        return source if self == FrameChoice() else ChosenFrames(source, self)


class ChosenFrames:
    """The frames of a source that are chosen, at their own times; the others are not counted as skipped."""

    def __init__(self, source: FrameSource, choice: FrameChoice) -> None:
        self._source = source
        self._choice = choice
        self.name = source.name
        self.size: tuple[int, int] = source.size
        self.declared: int | None = None
        self.frame_rate: Fraction = source.frame_rate / choice.every
        self.skipped: tuple[SkippedFrame, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        """Raises OptionError when no frame is chosen."""
        try:
            yield from self._chosen()
        finally:
            self.skipped = self._source.skipped

    def _chosen(self) -> Iterator[Frame]:
        choice, passed, count = self._choice, 0, 0
        end = float("inf") if choice.end is None else choice.end
        last = None
        for frame in self._source:
            last = frame.time
            if choice.start is not None and frame.time < choice.start:
                continue
            if frame.time >= end:
                break
            if not passed and choice.duration is not None:
                end = min(end, frame.time + choice.duration)
            passed += 1
            if (passed - 1) % choice.every == 0:
                yield Frame(count, frame.time, frame.pixels, frame.duration)
                count += 1
            if count == choice.max_frames:
                break
        if not count:
            begin = "" if choice.start is None else f" from {choice.start} s on"
            before = "" if choice.end is None else f" before {choice.end} s"
            where = "" if last is None else f"; the last one that was read is at {last:.2f} s"
            raise OptionError(f"{self.name}: no frame{begin}{before}{where}")
