"""Frames of video files, one after the other, with their time stamps and an account of every frame that is lost.

Rules, because files in the wild break most assumptions:
- Of several video streams the one marked as default is read, the first of several such unless it is a small preview,
  and the largest where none is; cover images do not count.
- A frame count in a header is reported as `declared`, never relied on. What cannot be decoded is listed in `skipped`.
- Frames are turned and mirrored as the display matrix says, and pixels that are not square are stretched to squares, so
  that sizes and masks are those of the frame as shown. Colours follow the matrix and range that the file names, else
  BT.709 from 720 lines on and BT.601 below. High dynamic range is read as it is, with a warning.
- Bare streams without times are played at their own rate; frames that an edit list hides are no frames.
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
from av.error import ExitError, FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from maskreel.errors import VideoReadError
from maskreel.files import UNKNOWN_CONTENT, content_words
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.clock import Clock
from maskreel.video.colour import HDR_CURVES, shown_size, upright_rgb
from maskreel.video.images import MAX_PIXELS, check_gif
from maskreel.video.packet_ledger import PacketLedger

logger = logging.getLogger(__name__)

MAX_RATE = 240
"""Frames per second beyond which another of a file's rates is believed, where it has one."""

PREVIEW = 4
"""How many times the pixels of a stream another one has, where the first is its preview."""

MAX_READ_ERRORS = 100
"""Failures to read in a row after which the rest of a file is given up."""

FORMATS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,h264,hevc,av1,obu,ivf,m4v,dv,mxf,mjpeg,nut,"
    "yuv4mpegpipe"
)
"""Containers that are opened: playlists, which make FFmpeg read other files or the network, are none of them."""

_BARE_FORMATS = ("h264", "hevc", "mpegvideo", "m4v", "obu", "av1")
"""Those that are a coded stream and nothing around it."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One frame as it is to be shown."""

    index: int
    """Position among the decoded frames."""
    time: float
    """Seconds on the source's own clock, increasing."""
    pixels: UInt8[np.ndarray, "h w 3"]
    duration: float | None = None
    """Seconds that it is shown; None where the source does not say."""


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
    """Frames lost in the latest pass, as far as it went."""

    def __iter__(self) -> Iterator[Frame]:
        """Raises VideoReadError when there is no frame at all."""
        ...


class VideoFile:
    """A video file; opening it decodes the first frame, to learn the size that is shown."""

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        """`name` is what messages call it; default its path.

        Raises VideoReadError for anything but a file with at least one frame of video.
        """
        self.path = Path(path)
        self.name = str(path) if name is None else name
        self.skipped: tuple[SkippedFrame, ...] = ()
        with closing(_open(self.path, self.name)) as container:
            self._read_head(container)
        height, width, _ = next(iter(self)).pixels.shape
        self.size = (height, width)

    def __iter__(self) -> Iterator[Frame]:
        with closing(_open(self.path, self.name)) as container:
            yield from self._decode(container, Clock(float(1 / self.frame_rate)))

    def _read_head(self, container: InputContainer) -> None:
        stream = _video_stream(container, self.name)
        self.declared: int | None = stream.frames or None
        self.frame_rate: Fraction = _frame_rate(stream)
        self._warn_of_streams(container, stream)
        self._warn_of_hdr(stream)
        if stream.metadata.get("alpha_mode") == "1":
            logger.warning("%s: its transparency is not read; colours that it hides are seen", self.name)

    def _decode(self, container: InputContainer, clock: Clock, size: tuple[int, int] | None = None) -> Iterator[Frame]:
        """Frames of (width, height), by default those of the first one as shown."""
        stream = _video_stream(container, self.name)
        ledger = PacketLedger(stream, self.frame_rate)
        try:
            yield from self._shown(container, stream, ledger, clock, size)
        except GeneratorExit:
            # Whoever reads has enough.
            self._account(tuple(ledger.refused()))
            raise
        if not ledger.decoded:
            raise VideoReadError(self.name, f"no frame can be decoded ({ledger.summary()}); is the file complete?")
        self._account(tuple(ledger.lost(container, self.declared, self._count_stored)))

    def _shown(
        self,
        container: InputContainer,
        stream: VideoStream,
        ledger: PacketLedger,
        clock: Clock,
        size: tuple[int, int] | None,
    ) -> Iterator[Frame]:
        first = None
        for frame in _decoded(container, stream, ledger):
            _check_size(frame.width, frame.height, self.name)
            first = first or (frame.width, frame.height)
            if size is None:
                size = shown_size(*first, stream.sample_aspect_ratio)
                _check_size(*size, self.name)
            if first != (frame.width, frame.height):
                self._warn_of_stretching(frame, first)
            time = clock.next(ledger.shown(frame), is_damaged=ledger.is_damaged)
            duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
            yield Frame(ledger.decoded - 1, time, upright_rgb(frame, size), duration)

    def _account(self, lost: tuple[SkippedFrame, ...]) -> None:
        """What a pass over a container lost."""
        self.skipped = lost

    def _count_stored(self) -> int:
        """Packets that the file holds, those that an edit list hides among them."""
        with closing(_open(self.path, self.name, {"ignore_editlist": "1"})) as container:
            return sum(packet.size > 0 for packet in container.demux(_video_stream(container, self.name)))

    def _warn_of_streams(self, container: InputContainer, chosen: VideoStream) -> None:
        streams = _moving_streams(container)
        if len(streams) > 1:
            shape = f"{chosen.codec_context.width}x{chosen.codec_context.height}"
            logger.warning(
                "%s: has %d video streams; number %d (%s) is read", self.name, len(streams), chosen.index, shape
            )

    def _warn_of_hdr(self, stream: VideoStream) -> None:
        curve = HDR_CURVES.get(stream.codec_context.color_trc)
        if curve:
            logger.warning(
                "%s: %s video of high dynamic range is read without conversion, so colours look pale; "
                "for true colours convert it first: ffmpeg -i IN -vf "
                "zscale=t=linear,tonemap=hable,zscale=p=bt709:t=bt709:m=bt709,format=yuv420p OUT",
                *(self.name, curve),
            )

    def _warn_of_stretching(self, frame: VideoFrame, size: tuple[int, int]) -> None:
        if not self._is_warned:
            logger.warning(
                "%s: the frame size changes from %dx%d to %dx%d; frames are stretched to the first size",
                *(self.name, *size, frame.width, frame.height),
            )
            self._is_warned = True

    _is_warned = False


def _open(path: Path, name: str, options: dict[str, str] | None = None) -> InputContainer:
    try:
        if path.stat().st_size == 0:
            raise VideoReadError(name, "the file is empty")
        # A protocol prefix keeps names such as "a:b.mp4" from being taken for an address.
        allowed = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        return av.open(f"file:{path}", options=allowed | (options or {}), metadata_errors="replace")
    except UnicodeEncodeError as error:
        raise VideoReadError(name, "its name is not valid text; rename the file") from error
    except PermissionError as error:
        raise VideoReadError(name, "cannot be opened (permission denied)") from error
    except FFmpegError as error:
        words = content_words(path)
        if words == UNKNOWN_CONTENT:
            raise VideoReadError(name, f"not a video that can be read ({error_words(error)}), or cut off") from error
        raise VideoReadError(name, f"is {words}, not a video that can be read") from error
    except OSError as error:
        raise VideoReadError(name, f"cannot be opened ({error.strerror})") from error


def _moving_streams(container: InputContainer) -> list[VideoStream]:
    """Video streams that are no cover image."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream that is read: the first that is marked as default, unless it is a preview of another such; else the
    largest."""
    streams = [stream for stream in _moving_streams(container) if stream.codec_context is not None]
    if not streams:
        if _moving_streams(container):
            raise VideoReadError(name, "its video codec is unknown")
        what = "sound only" if container.streams.audio else "no video stream"
        raise VideoReadError(name, f"there is no video in the file ({what})")
    marked = [stream for stream in streams if stream.disposition & Disposition.default]
    stream = max(marked or streams, key=_area)
    if marked and _area(stream) < PREVIEW * _area(marked[0]):
        stream = marked[0]
    width, height = stream.codec_context.width, stream.codec_context.height
    _check_size(width, height, name)
    if container.format.name == "gif" and container.size > 0:
        check_gif(width, height, container.size, name)
    return stream


def _area(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise VideoReadError(name, f"frames of {width}x{height} pixels exceed the limit of {MAX_PIXELS} pixels")


def _frame_rate(stream: VideoStream) -> Fraction:
    """Nominal rate; 25 where the file states none, or an absurd one. A clock of many ticks is no rate of frames.

    To a bare stream FFmpeg gives 25 itself; what the stream says stands in its own headers.
    """
    own = stream.codec_context.framerate if stream.container.format.name in _BARE_FORMATS else None
    rates = [rate for rate in (own, stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    for least_absurd in (MAX_RATE, 1000):
        for rate in rates:
            if Fraction(1, 3600) <= rate <= least_absurd:
                return Fraction(rate)
    return Fraction(25)


def _decoded(container: InputContainer, stream: VideoStream, ledger: PacketLedger) -> Iterator[VideoFrame]:
    """Decode what can be decoded; damage goes to the ledger."""
    for packet in _packets(container, stream, ledger):
        if packet is not None:
            ledger.sent(packet)
            if packet.size == 0 and packet.dts is not None:
                # To the decoder an empty packet is the end of the video.
                continue
        try:
            frames = stream.decode(packet)
        except FFmpegError as error:
            if packet is not None:
                ledger.failed(packet, error_words(error))
            continue
        for frame in frames:
            assert isinstance(frame, VideoFrame), "a video stream yields frames"
            yield frame


def _packets(container: InputContainer, stream: VideoStream, ledger: PacketLedger) -> Iterator[av.Packet | None]:
    """Every packet of the stream that can be read, and the empty one, or None, that flushes the decoder."""
    errors_in_a_row = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as error:
            ledger.unreadable(error_words(error))
            errors_in_a_row += 1
            if errors_in_a_row > MAX_READ_ERRORS or isinstance(error, ExitError):
                # Too many, or nothing came within the time limit of a stream.
                ledger.breaks_off()
                yield None
                return
            packets = container.demux(stream)
            continue
        errors_in_a_row = 0
        yield packet


def error_words(error: Exception) -> str:
    """FFmpeg's own words for an error, without the number and the path."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
