"""Frames of video files, one after the other, with their time stamps and an account of every frame that is lost.

Rules, because files in the wild break most assumptions:
- The first video stream is read; cover pictures of audio files do not count.
- A frame count in a header is reported as `declared`, never relied on. What cannot be decoded is listed in `skipped`.
- Frames are turned and mirrored as the display matrix says, so that sizes and masks are those of the picture as shown.
- When the size changes on the way, later frames are stretched to the size of the first one, with a warning.
- A file that ends early yields what it holds; the missing rest is listed in `skipped`.
"""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from maskreel.errors import VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.packet_ledger import PacketLedger

logger = logging.getLogger(__name__)

MAX_PIXELS = 2**26
"""Largest frame that is decoded (8192 x 8192): a small file can declare a size that fills the memory."""

MAX_READ_ERRORS = 100
"""Failures to read in a row after which the rest of a file is given up."""

LATE_STEP = 0.001
"""Seconds after the frame before it, for a frame whose own time has passed."""

_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,h264,hevc,av1,obu,ivf,m4v,dv,mxf,mjpeg,nut"
"""Containers that are opened: playlists, which make FFmpeg read other files or the network, are none of them."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One picture as it is to be shown."""

    index: int
    """Position among the decoded frames."""
    time: float
    """Seconds on the source's own clock, increasing."""
    pixels: UInt8[np.ndarray, "h w 3"]


@runtime_checkable
class FrameSource(Protocol):
    """Anything that yields the frames of one video; may be iterated several times."""

    name: str
    """What was read, as it was typed."""
    size: tuple[int, int]
    """(height, width) of the frames as shown, in pixels."""
    declared: int | None
    """Frames that the source says it has; None where it says nothing."""
    frame_rate: Fraction
    """Nominal frames per second."""
    skipped: tuple[SkippedFrame, ...]
    """Frames lost in the latest complete pass."""

    def __iter__(self) -> Iterator[Frame]:
        """Raises VideoReadError when there is no frame at all."""
        ...


class VideoFile:
    """A video file; opening it decodes the first frame, to learn the size that is shown."""

    def __init__(self, path: str | Path) -> None:
        """Raises VideoReadError for anything but a file with at least one frame of video."""
        self.path = Path(path)
        self.name = str(path)
        self.skipped: tuple[SkippedFrame, ...] = ()
        with closing(_open(self.path)) as container:
            stream = _video_stream(container, self.path)
            self.declared = stream.frames or None
            self.frame_rate = _frame_rate(stream)
        height, width, _ = next(iter(self)).pixels.shape
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame]:
        with closing(_open(self.path)) as container:
            yield from self._decode(container)

    def _decode(self, container: InputContainer) -> Iterator[Frame]:
        stream = _video_stream(container, self.path)
        ledger = PacketLedger(stream)
        size = None
        clock = _Clock(self.frame_rate)
        for frame in _pictures(container, stream, ledger):
            _check_size(frame.width, frame.height, self.path)
            size = size or (frame.width, frame.height)
            if size != (frame.width, frame.height):
                self._warn_of_stretching(frame, size)
            time = clock.next(ledger.shown(frame), is_damaged=ledger.is_damaged)
            yield Frame(ledger.decoded - 1, time, _upright(frame, size))
        if not ledger.decoded:
            raise VideoReadError(self.path, f"no frame can be decoded ({ledger.summary()}); is the file complete?")
        self.skipped = tuple(ledger.lost(container, self.declared, self.frame_rate))

    def _warn_of_stretching(self, frame: VideoFrame, size: tuple[int, int]) -> None:
        if not self._is_warned:
            logger.warning(
                "%s: the frame size changes from %dx%d to %dx%d; frames are stretched to the first size",
                *(self.path, *size, frame.width, frame.height),
            )
            self._is_warned = True

    _is_warned = False


class _Clock:
    """Makes time stamps increase, whatever the file says."""

    def __init__(self, frame_rate: Fraction) -> None:
        self._step = float(1 / frame_rate)
        self._offset = 0.0
        self._last = float("-inf")

    def next(self, time: float, *, is_damaged: bool) -> float:
        """Time of a frame in seconds, rounded to microseconds."""
        if time + self._offset <= self._last:
            if is_damaged:
                # After damage single frames come out late; the frames behind them keep their own time.
                time = self._last + LATE_STEP - self._offset
            else:
                # The clock was set back, as where files were joined: all that follows moves with it.
                self._offset = self._last + self._step - time
        self._last = round(time + self._offset, 6)
        return self._last


def _open(path: Path) -> InputContainer:
    try:
        if path.stat().st_size == 0:
            raise VideoReadError(path, "the file is empty")
        # A protocol prefix keeps names such as "a:b.mp4" from being taken for an address.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file", "format_whitelist": _FORMATS})
    except UnicodeEncodeError as error:
        raise VideoReadError(path, "its name is not valid text; rename the file") from error
    except PermissionError as error:
        raise VideoReadError(path, "cannot be opened (permission denied)") from error
    except FFmpegError as error:
        raise VideoReadError(path, f"not a video that can be read ({_words(error)}), or cut off") from error
    except OSError as error:
        raise VideoReadError(path, f"cannot be opened ({error.strerror})") from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first stream that is a video and not a cover picture."""
    pictures = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not streams:
        what = "sound only" if container.streams.audio else "no video stream"
        raise VideoReadError(path, f"there are no moving pictures in the file ({what})")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoReadError(path, "its video codec is unknown")
    _check_size(stream.codec_context.width, stream.codec_context.height, path)
    return stream


def _check_size(width: int, height: int, path: Path) -> None:
    if width * height > MAX_PIXELS:
        raise VideoReadError(path, f"frames of {width}x{height} pixels exceed the limit of {MAX_PIXELS} pixels")


def _frame_rate(stream: VideoStream) -> Fraction:
    """Nominal rate; 25 where the file states none, or an absurd one."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and Fraction(1, 3600) <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _pictures(container: InputContainer, stream: VideoStream, ledger: PacketLedger) -> Iterator[VideoFrame]:
    """Decode what can be decoded; damage goes to the ledger."""
    for packet in _packets(container, stream, ledger):
        ledger.sent(packet)
        if packet.size == 0 and packet.dts is not None:
            # To the decoder an empty packet is the end of the video.
            continue
        try:
            frames = packet.decode()
        except FFmpegError as error:
            ledger.failed(packet, _words(error))
            continue
        for frame in frames:
            assert isinstance(frame, VideoFrame), "a video stream yields pictures"
            yield frame


def _packets(container: InputContainer, stream: VideoStream, ledger: PacketLedger) -> Iterator[av.Packet]:
    """Every packet of the stream that can be read, and the empty one that flushes the decoder."""
    errors_in_a_row = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as error:
            ledger.unreadable(_words(error))
            errors_in_a_row += 1
            if errors_in_a_row > MAX_READ_ERRORS:
                yield av.Packet()
                return
            packets = container.demux(stream)
            continue
        errors_in_a_row = 0
        yield packet


def _upright(frame: VideoFrame, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of (width, height), turned in steps of 90 degrees and then mirrored as the display matrix says."""
    pixels = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return pixels
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), dtype=np.int32)[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, c = -a, -c
    turns = round(np.degrees(np.arctan2(-b, a)) / 90) % 4
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if is_mirrored else pixels)


def _words(error: Exception) -> str:
    """FFmpeg's own words for an error, without the number and the path."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
