"""Video that comes over a network, from a camera or through a pipe: read once, as it comes.

Addresses are http, https (files, and streams without an end), rtsp, rtmp, udp, tcp and srt; a camera is a number or the
platform's device. Where frames come at their own pace (`is_live`), a connection that breaks off is made again,
`MAX_ATTEMPTS` times with longer and longer waits; then the video ends there.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
from av.container import InputContainer
from av.error import FFmpegError

from maskreel.errors import UsageError, VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.clock import Clock
from maskreel.video.files import FORMATS, Frame, VideoFile, error_words
from maskreel.video.packet_ledger import BROKEN_OFF

logger = logging.getLogger(__name__)

TIME_LIMIT = 10.0
"""Seconds that an address has to answer, and to send the next packet."""

MAX_ATTEMPTS = 5
"""To make a broken connection again, one after the other."""

FIRST_WAIT = 0.5
"""Seconds before the second of them; each wait is twice the one before."""

LIVE = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt")
FETCHED = ("http", "https")
CAMERA_FORMAT = "mpjpeg"
"""What cameras send over http: one JPEG after the other."""
ADDRESSES = (*LIVE, *FETCHED)
"""Schemes that are read."""

_NETWORK = {
    "protocol_whitelist": "http,https,tcp,tls,udp,rtp,rtsp,rtmp,rtmps,srt,crypto,httpproxy",
    "format_whitelist": f"{FORMATS},rtsp,rtp,sdp,hls,mpjpeg,live_flv",
    "rtsp_transport": "tcp",
}


def is_address(word: str) -> bool:
    return word.partition("://")[0].lower() in ADDRESSES and "://" in word


def is_live_address(word: str) -> bool:
    """Whether frames come at their own pace, whoever reads them, as far as the address tells."""
    return word.partition("://")[0].lower() in LIVE


def camera_device(word: str) -> tuple[str, str] | None:
    """(FFmpeg's format, device) of a camera that is named by its number or its device; None for any other word."""
    kind = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}.get(sys.platform, "v4l2")
    if word.isdecimal():
        return kind, {"v4l2": f"/dev/video{word}", "avfoundation": word, "dshow": f"video={word}"}[kind]
    return (kind, word) if word.startswith("/dev/video") else None


def stem_of_address(address: str) -> str:
    """A name for files made from it: that of the file it names, else of the host."""
    parts = urlsplit(address)
    stem = re.sub(r"[^\w.-]+", "_", unquote(Path(parts.path).stem)).strip("._")
    return stem[:80] or f"{parts.hostname or 'stream'}-{parts.port or parts.scheme}"


class StreamedVideo(VideoFile):
    """A video that can be read once only; opening it decodes the first frame."""

    def __init__(self, name: str, connect: Callable[[], InputContainer], *, is_live: bool) -> None:
        """`connect` opens it, and once more where it broke off. Raises VideoReadError as `VideoFile` does."""
        self.path = Path(name)
        self.name = name
        self.skipped: tuple[SkippedFrame, ...] = ()
        self.is_live = is_live
        self._connect = connect
        self._failures = 0
        """Attempts to connect again since the last frame."""
        self._begun = 0
        """Frames of the connections before."""
        self._container: InputContainer | None = connect()
        self._read_head(self._container)
        self._clock = Clock(float(1 / self.frame_rate))
        self._frames: Iterator[Frame] = self._decode(self._container, self._clock)
        first = next(self._frames)
        self.size: tuple[int, int] = first.pixels.shape[:2]
        self._frames = chain([first], self._frames)

    def __iter__(self) -> Iterator[Frame]:
        """Raises UsageError the second time. `skipped` grows on the way."""
        if self._container is None:
            raise UsageError(f"{self.name}: can be read only once; record it to a file to have it read again")
        count, broke = 0, 0.0
        while self._container is not None:
            with closing(self._container):
                for frame in self._frames:
                    if self._failures:
                        waited = time.monotonic() - broke
                        reason = f"the connection broke off here and was made again after {waited:.1f} s"
                        self.skipped = (*self.skipped, SkippedFrame(index=count, reason=reason))
                        self._failures = 0
                    yield Frame(count, frame.time, frame.pixels, frame.duration)
                    count += 1
            if not self._failures:
                broke, self._begun = time.monotonic(), count
            self._container = self._again() if self.is_live else None
            if self._container is not None:
                self._frames = self._rest(self._container)

    def _account(self, lost: tuple[SkippedFrame, ...]) -> None:
        if self.is_live:
            # That is told when it goes on.
            lost = tuple(one for one in lost if not one.reason.startswith(BROKEN_OFF))
        self.skipped = (*self.skipped, *(replace(one, index=one.index + self._begun) for one in lost))

    def _rest(self, container: InputContainer) -> Iterator[Frame]:
        """Frames after a break, stretched to the size of those before it."""
        width, height = self.size[1], self.size[0]
        try:
            yield from self._decode(container, self._clock, (width, height))
        except VideoReadError as error:
            logger.warning("%s", error)

    def _again(self) -> InputContainer | None:
        """A new connection, None where there is none to be had; one that brought no frame counts as a failure."""
        while self._failures < MAX_ATTEMPTS:
            if self._failures:
                time.sleep(FIRST_WAIT * 2 ** (self._failures - 1))
            self._failures += 1
            try:
                container = self._connect()
            except (VideoReadError, UsageError) as error:
                logger.warning("broke off; attempt %d of %d: %s", self._failures, MAX_ATTEMPTS, error)
            else:
                logger.warning("%s: broke off and was connected again", self.name)
                return container
        logger.warning("%s: ends here, after %d attempts to connect again", self.name, MAX_ATTEMPTS)
        return None

    def _count_stored(self) -> int:
        """What an edit list hides cannot be told of what went by."""
        return sys.maxsize


def open_address(address: str) -> StreamedVideo:
    """Raises UsageError for an address that does not answer or cannot be opened, VideoReadError for a broken video."""
    shown = without_password(address)
    try:
        first: list[InputContainer] = [_connect(address, shown)]
    except VideoReadError as error:
        raise UsageError(str(error)) from error

    def connect() -> InputContainer:
        return first.pop() if first else _connect(address, shown)

    is_live = is_live_address(address) or first[0].format.name == CAMERA_FORMAT
    return StreamedVideo(shown, connect, is_live=is_live)


def open_camera(name: str, device: tuple[str, str]) -> StreamedVideo:
    """Raises UsageError for a camera that is not there, VideoReadError for one that gives nothing."""
    kind, path = device

    def connect() -> InputContainer:
        if kind == "v4l2" and not Path(path).exists():
            cameras = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
            raise UsageError(f"{name}: there is no camera {path} (cameras here: {cameras})")
        try:
            return av.open(path, format=kind, timeout=TIME_LIMIT, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoReadError(name, f"the camera {path} cannot be opened ({error_words(error)})") from error

    return StreamedVideo(f"camera {name}", connect, is_live=True)


def without_password(address: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(address)
    if parts.password is None:
        return address
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def _connect(address: str, shown: str) -> InputContainer:
    options: dict[str, Any] = dict(_NETWORK)
    if not is_live_address(address):
        options |= {"reconnect": "1", "reconnect_delay_max": "4"}
    began = time.monotonic()
    try:
        return av.open(address, options=options, timeout=TIME_LIMIT, metadata_errors="replace")
    except (FFmpegError, OSError, ValueError) as error:
        # What a time limit cuts off is reported as anything.
        if time.monotonic() - began >= 0.9 * TIME_LIMIT:
            raise VideoReadError(shown, f"does not answer within {TIME_LIMIT:.0f} seconds") from error
        raise VideoReadError(shown, f"cannot be read ({error_words(error)})") from error
