"""Videos that come through a pipe: read as they come, where their format allows it, else kept in a temporary file."""

import io
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.error import FFmpegError

from maskreel.errors import VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import FORMATS, Frame, FrameSource, VideoFile, error_words
from maskreel.video.streams import StreamedVideo

STDIN = "-"

_HEAD = 4096
"""Bytes at the beginning that tell the format."""

_STREAMS = (b"\x1a\x45\xdf\xa3", b"YUV4MPEG2", b"FLV", b"nut/multimedia container", b"\xff\xd8\xff", b"\x00\x00\x01")
"""How formats begin that are read as they come: Matroska, y4m, FLV, NUT, motion JPEG, MPEG and bare H.264."""


def is_pipe(path: Path) -> bool:
    """Whether a name stands for something that can be read once only."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def open_pipe(name: str) -> FrameSource:
    """`name` is a path, or "-" for the standard input; raises VideoReadError for what is no video.

    What has its index at its end, as most mp4 files have it, is kept in a temporary file before it is read.
    """
    shown = "standard input" if name == STDIN else name
    try:
        pipe = _Pipe(sys.stdin.buffer if name == STDIN else open(name, "rb"))  # noqa: SIM115 (read while frames come)
    except OSError as error:
        raise VideoReadError(shown, f"cannot be opened ({error.strerror})") from error
    if not _is_stream(pipe.head):
        return PipedVideo(shown, pipe)

    def connect() -> InputContainer:
        try:
            return av.open(pipe, "r", options={"format_whitelist": FORMATS}, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError) as error:
            raise VideoReadError(shown, f"not a video that can be read ({error_words(error)})") from error

    return StreamedVideo(shown, connect, is_live=False)


class PipedVideo:
    """A video file that is written into a pipe; read to its end when it is opened.

    The temporary copy goes with the object.
    """

    def __init__(self, name: str, pipe: "_Pipe") -> None:
        """Raises VideoReadError for what is no video."""
        self.name = name
        self._copy = tempfile.NamedTemporaryFile(prefix="maskreel-", suffix=".video")  # noqa: SIM115 (closed with self)
        try:
            shutil.copyfileobj(pipe, cast(BinaryIO, self._copy))
            self._copy.flush()
        except OSError as error:
            raise VideoReadError(self.name, f"cannot be read to its end ({error.strerror})") from error
        self._video = VideoFile(self._copy.name, self.name)
        self.size: tuple[int, int] = self._video.size
        self.declared: int | None = self._video.declared
        self.frame_rate: Fraction = self._video.frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        yield from self._video
        self.skipped = self._video.skipped


class _Pipe:
    """Bytes of a pipe, from its beginning; nothing else than to be read, so that nobody tries to seek in it."""

    def __init__(self, source: io.BufferedIOBase | BinaryIO) -> None:
        self._source = source
        self.head = self._read_head()
        self._rest = io.BytesIO(self.head)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(size) or self._source.read1(size)  # pyright: ignore[reportAttributeAccessIssue]

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < _HEAD and (more := self._source.read1(_HEAD - len(head))):  # pyright: ignore[reportAttributeAccessIssue]
            head += more
        return head


def _is_stream(head: bytes) -> bool:
    """Whether frames can be read before the end has come."""
    is_transport = head[:1] == b"\x47" and head[188:189] in (b"", b"\x47")
    is_fragmented = head[4:8] == b"ftyp" and b"mvex" in head
    return is_transport or is_fragmented or head.removeprefix(b"\x00").startswith(_STREAMS)
