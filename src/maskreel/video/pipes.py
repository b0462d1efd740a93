"""Videos that come through a pipe: kept in a temporary file, because their frames are read more than once."""

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

from maskreel.errors import VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame, VideoFile

STDIN = "-"


def is_pipe(path: Path) -> bool:
    """Whether a name stands for something that can be read once only."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


class PipedVideo:
    """A video file that is written into a pipe, or to the standard input; read to its end when it is opened.

    The temporary copy goes with the object.
    """

    def __init__(self, name: str) -> None:
        """`name` is a path, or "-" for the standard input; raises VideoReadError for what is no video."""
        self.name = "standard input" if name == STDIN else name
        self._copy = tempfile.NamedTemporaryFile(prefix="maskreel-", suffix=".video")  # noqa: SIM115 (closed with self)
        try:
            if name == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, cast(BinaryIO, self._copy))
            else:
                with open(name, "rb") as pipe:
                    shutil.copyfileobj(pipe, cast(BinaryIO, self._copy))
            self._copy.flush()
        except OSError as error:
            raise VideoReadError(self.name, f"cannot be read to its end ({error.strerror})") from error
        self._video = VideoFile(self._copy.name, self.name)
        self.size = self._video.size
        self.declared: int | None = self._video.declared
        self.frame_rate: Fraction = self._video.frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        yield from self._video
        self.skipped = self._video.skipped
