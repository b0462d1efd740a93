"""Bookkeeping of one decoding pass: which packets became a frame, and what is known about the rest."""

import heapq
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from statistics import median_low

from av import Packet
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from maskreel.geometry.masklets import SkippedFrame

MAX_LISTED = 100_000
"""More missing frames than this are listed as one entry: a damaged header may declare billions."""

BROKEN_OFF = "the video breaks off here"
"""Begins the reason where nobody can tell how much is missing."""

_RAW, _RAW_HEADER = "yuv4mpegpipe", 128
"""A format that states no number of frames, and bytes that stand before each at most."""

_HIDDEN_FRAMES = ("vp8", "vp9")
"""Codecs with packets that are never shown (they only serve as references)."""


class PacketLedger:
    """Every packet that was read is either shown, lost for a reason, or never meant to be shown.

    A packet holds one frame and is known by its presentation time. In AVI, which stores none, and in bare streams,
    which store no time at all, frames come out in the order in which the packets' decoding times, or places, increase.
    """

    def __init__(self, stream: VideoStream, frame_rate: Fraction) -> None:
        """`frame_rate` gives the times of a bare stream."""
        self.decoded = 0
        self._frame_rate = frame_rate
        self._is_avi = stream.container.format.name == "avi"
        self._is_bare = False
        self._codec = stream.codec_context.name
        self._stream = stream
        self._waiting: dict[int, str | None] = {}
        """Time of each packet without a frame so far, and why it failed, if it did."""
        self._order: list[int] = []
        """AVI and bare streams: a heap of the times waiting."""
        self._times: list[int] = []
        """Of the frames, in the order they came."""
        self._end = 0.0
        self._read_errors: list[str] = []
        self._is_broken_off = False
        self._packets = 0
        self._sent = 0
        """Packets of a bare stream."""
        self._place = 0
        """Of the last packet's end in the file."""
        self._failed = 0
        self._hidden = 0

    def sent(self, packet: Packet) -> None:
        """A packet goes to the decoder."""
        if not self._packets and packet.size and packet.pts is None and packet.dts is None:
            self._is_bare = True
        self._sent += self._is_bare and packet.size > 0
        self._place = max(self._place, (packet.pos or 0) + packet.size)
        time = self._time(packet)
        if time is None:
            return
        self._packets += 1
        if packet.is_discard:
            # An edit list hides it; other frames may need it.
            self._hidden += 1
            return
        self._waiting[time] = None
        if packet.size == 0:
            if self._is_avi:
                # What a capture program writes where the frame before is shown once more.
                del self._waiting[time]
            else:
                self._waiting[time] = "its packet is empty"
            return
        if self._is_ordered:
            heapq.heappush(self._order, time)

    def failed(self, packet: Packet, reason: str) -> None:
        """The decoder refused a packet."""
        self._failed += 1
        time = self._time(packet)
        if time is not None:
            self._waiting[time] = f"cannot be decoded: {reason}"
            if time in self._order:
                self._order.remove(time)
                heapq.heapify(self._order)

    def unreadable(self, reason: str) -> None:
        """The file could not be read at this place."""
        self._read_errors.append(reason)

    def breaks_off(self) -> None:
        """Nothing more can be read."""
        self._is_broken_off = True

    def shown(self, frame: VideoFrame) -> float:
        """A frame came out; its time in seconds."""
        self.decoded += 1
        time = heapq.heappop(self._order) if self._is_ordered and self._order else frame.pts
        if time is None:
            time = self._times[-1] + 1 if self._times else 0
        self._waiting.pop(time, None)
        self._times.append(time)
        base = 1 / self._frame_rate if self._is_bare else self._stream.time_base or Fraction(1, 25)
        duration = 1 if self._is_bare else frame.duration or 0
        self._end = max(self._end, float((time + duration) * base))
        return float(time * base)

    @property
    def is_damaged(self) -> bool:
        """Whether anything could not be read or decoded so far."""
        return bool(self._failed or self._read_errors)

    def summary(self) -> str:
        parts = [f"{self._packets} packets read", f"{self._failed} damaged"]
        if self._read_errors:
            parts.append(self._read_errors[0])
        return ", ".join(parts)

    def lost(
        self, container: InputContainer, declared: int | None, count_stored: Callable[[], int]
    ) -> Iterator[SkippedFrame]:
        """Frames without a frame after the last packet, in the order of the video.

        `count_stored` reads how many packets the file holds, those that an edit list hides among them.
        """
        missing = list(self._reasons())
        yield from self._placed(missing)
        accounted = self.decoded + len(missing) + self._hidden
        cause = f" ({self._read_errors[0]})" if self._read_errors else ""
        if declared is not None:
            absent = self._absent(declared, accounted)
            if absent > 0 and not self.is_damaged and self._has_edit_list:
                absent = min(absent, declared - count_stored())
            reason = f"the file ends early{cause}: it declares {accounted + absent} frames and holds {accounted}"
            if absent > MAX_LISTED:
                yield SkippedFrame(index=accounted, reason=reason)
            else:
                yield from (SkippedFrame(index=accounted + i, reason=reason) for i in range(absent))
        else:
            duration = self._shortfall(container)
            if duration is not None:
                about = round((duration - self._end) * self._frame_rate)
                seconds = f"at {self._end:.2f} s of {duration:.2f} s"
                reason = f"the file ends early{cause}: {seconds}, about {about} frames missing"
                yield SkippedFrame(index=accounted, reason=reason)
            elif self._is_broken_off:
                yield SkippedFrame(index=accounted, reason=f"{BROKEN_OFF}{cause}")
            elif container.format.name == _RAW and container.size > self._place + _RAW_HEADER:
                yield SkippedFrame(index=accounted, reason="the file ends early: its last frame is cut")

    def refused(self) -> Iterator[SkippedFrame]:
        """Frames of packets that could not be decoded, where the pass ends before the video does."""
        yield from self._placed([(time, reason) for time, reason in self._waiting.items() if reason])

    def _placed(self, missing: Iterable[tuple[int, str]]) -> Iterator[SkippedFrame]:
        """Frames by their times, in the order of the video."""
        times = sorted(self._times)
        for place, (time, reason) in enumerate(sorted(missing)):
            yield SkippedFrame(index=bisect_left(times, time) + place, reason=reason)

    def _reasons(self) -> Iterator[tuple[int, str]]:
        has_hidden = self._codec in _HIDDEN_FRAMES
        for time, reason in self._waiting.items():
            if reason is None and has_hidden:
                continue
            yield time, reason or "the decoder makes no frame of it"

    def _shortfall(self, container: InputContainer) -> float | None:
        """Seconds that the file should last, where the frames end clearly before that."""
        if not any(name in container.format.name for name in ("matroska", "mov", "avi")):
            return None
        own = _tagged_duration(self._stream.metadata.get("DURATION", ""))
        if own is None and self._stream.duration is not None and self._stream.time_base is not None:
            own = float(self._stream.duration * self._stream.time_base)
        whole = container.duration / 1_000_000 if container.duration else None
        duration = own if own is not None else whole
        if duration is None:
            return None
        # Other streams may last longer than the frames do.
        tolerance = float(2 / self._frame_rate) if own is not None or len(container.streams) == 1 else 1.0
        return duration if self._end + tolerance < duration else None

    @property
    def _is_ordered(self) -> bool:
        """Whether frames are told by their order alone."""
        return self._is_avi or self._is_bare

    @property
    def _has_edit_list(self) -> bool:
        """Whether the format can hide frames that it stores."""
        return "mov" in self._stream.container.format.name

    def _absent(self, declared: int, accounted: int) -> int:
        """Frames after the last one. AVI declares ticks, of which programs leave out those without a new frame."""
        if not self._is_avi or self.is_damaged or len(self._times) < 2:
            return declared - accounted
        times = sorted(self._times)
        usual = max(1, median_low([after - before for before, after in zip(times[:-1], times[1:], strict=True)]))
        return max(0, (declared - times[-1] - 1) // usual)

    def _time(self, packet: Packet) -> int | None:
        if self._is_bare:
            return self._sent - 1 if packet.size else None
        if self._is_avi or packet.pts is None:
            return packet.dts
        return packet.pts


def _tagged_duration(text: str) -> float | None:
    """Seconds from "00:01:02.500000000", Matroska's note per stream."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None
