"""Videos that a browser plays: H.264, yuv420p, index in front, time stamps kept."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from jaxtyping import UInt8

from maskreel.errors import DataError
from maskreel.files import complete_file
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import FrameSource
from maskreel.video.sources import open_source
from maskreel.visualize.draw import draw

TIME_BASE = Fraction(1, 90_000)
"""Finer than any source's clock needs; the usual one of video."""


def write_overlay(
    path: str | Path,
    video: str | Path | FrameSource,
    masklets: Masklets,
    *,
    on_frames: Callable[[int], None] | None = None,
) -> None:
    """Decode a video once more and write it with its masklets drawn in, one frame in memory at a time.

    Raises DataError when the video no longer yields the frames that the masklets were found in.
    """
    source = open_source(video) if isinstance(video, str | Path) else video

    def drawn() -> Iterator[tuple[float, UInt8[np.ndarray, "h w 3"]]]:
        for frame in source:
            if frame.index >= masklets.decoded:
                raise DataError(f"{source.name}: has changed since its objects were found; predict it again")
            yield frame.time, draw(frame.pixels, masklets, frame.index)
            if on_frames is not None:
                on_frames(1)

    write_video(Path(path), drawn(), frame_rate=source.frame_rate)


def write_video(
    path: Path, frames: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]], *, frame_rate: Fraction
) -> None:
    """Write (seconds, picture) as an mp4; times may be uneven and start anywhere, the first becomes 0.

    Odd sides are padded by one repeated row or column. The file appears when it is complete. Raises DataError when
    there is no frame or no H.264 encoder.
    """
    with complete_file(path) as new:
        # The format is named because a temporary file's ending need not tell it.
        with av.open(str(new), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            count = _encode(container, frames, frame_rate, path)
        if not count:
            raise DataError(f"{path}: there is no frame to write")


def _encode(
    container: OutputContainer,
    frames: Iterable[tuple[float, UInt8[np.ndarray, "h w 3"]]],
    frame_rate: Fraction,
    path: Path,
) -> int:
    stream: av.VideoStream | None = None
    start, last = 0.0, -1
    count = 0
    for time, picture in frames:
        count += 1
        picture = _with_even_sides(picture)
        if stream is None:
            stream = _stream(container, picture.shape[1], picture.shape[0], frame_rate, path)
            start = time
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        last = max(last + 1, round((time - start) / TIME_BASE))
        frame.pts, frame.time_base = last, TIME_BASE
        container.mux(stream.encode(frame))
    if stream is not None:
        container.mux(stream.encode())
    return count


def _stream(container: OutputContainer, width: int, height: int, frame_rate: Fraction, path: Path) -> av.VideoStream:
    try:
        stream = container.add_stream("libx264", rate=frame_rate.limit_denominator(100_000))
    except (FFmpegError, ValueError) as error:
        raise DataError(f"{path}: this installation of PyAV has no H.264 encoder; reinstall av from PyPI") from error
    assert isinstance(stream, av.VideoStream), "libx264 makes video"
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    stream.options = {"crf": "20", "preset": "veryfast"}
    return stream


def _with_even_sides(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """yuv420p shares one colour among four pixels, so both sides must be even."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)
