"""Videos that a browser plays: H.264, yuv420p, index in front, time stamps kept."""

import logging
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from jaxtyping import UInt8
from PIL import Image

from maskreel.errors import DataError
from maskreel.files import complete_file
from maskreel.geometry.masklets import Masklets
from maskreel.video.colour import matrix_of_lines
from maskreel.video.sources import open_video
from maskreel.visualize.draw import draw

logger = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)
"""Finer than any source's clock needs; the usual one of video."""

MAX_SIDE = 16384
"""Of an H.264 frame, in pixels."""


def write_overlay(
    path: str | Path,
    video: str | Path | Iterable[Any],
    masklets: Masklets,
    *,
    on_frames: Callable[[int], None] | None = None,
) -> None:
    """Decode a video once more and write it with its masklets drawn in, one frame in memory at a time.

    Raises DataError when the video no longer yields the frames that the masklets were found in.
    """
    source = open_video(video)

    def drawn() -> Iterator[TimedImage]:
        for frame in source:
            if frame.index >= masklets.decoded:
                raise DataError(f"{source.name}: has changed since its objects were found; predict it again")
            yield TimedImage(frame.time, draw(frame.pixels, masklets, frame.index), frame.duration)
            if on_frames is not None:
                on_frames(1)

    write_video(Path(path), drawn(), frame_rate=source.frame_rate)


class TimedImage(NamedTuple):
    """One frame of a video that is written."""

    time: float
    """Seconds on any clock; the first frame becomes 0."""
    pixels: UInt8[np.ndarray, "h w 3"]
    duration: float | None = None
    """Seconds that it is shown; None until the next one comes, the last one as long as the one before it."""


def write_video(
    path: Path, frames: Iterable[TimedImage], *, frame_rate: Fraction, max_bits_per_second: int | None = None
) -> None:
    """Write an mp4; times may be uneven and start anywhere.

    Frames larger than H.264 can be are scaled down, with a warning; odd sides are padded by one repeated row or column.
    The file names the colour matrix that it is coded with, so that players show the colours that were drawn. It appears
    when it is complete. Raises DataError when there is no frame or no H.264 encoder.
    """
    with complete_file(path) as new:
        # The format is named because a temporary file's ending need not tell it.
        with av.open(str(new), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            count = _encode(container, frames, frame_rate, path, max_bits_per_second)
        if not count:
            raise DataError(f"{path}: there is no frame to write")


def _encode(
    container: OutputContainer,
    frames: Iterable[TimedImage],
    frame_rate: Fraction,
    path: Path,
    max_bits_per_second: int | None,
) -> int:
    stream: av.VideoStream | None = None
    start, last, count = 0.0, -1, 0
    duration = max(1, round(1 / frame_rate / TIME_BASE))
    matrix = Colorspace.ITU601
    for time, pixels, seconds in frames:
        count += 1
        pixels = _with_even_sides(_within_limits(pixels, is_first=stream is None))
        if stream is None:
            matrix = matrix_of_lines(pixels.shape[0])
            stream = _stream(container, pixels.shape[1], pixels.shape[0], frame_rate, path, matrix)
            if max_bits_per_second is not None:
                stream.options |= {"maxrate": str(max_bits_per_second), "bufsize": str(2 * max_bits_per_second)}
            start = time
        # One thread: by default each frame starts as many as there are cores, which takes longer than its work.
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix, interpolation=Interpolation.AREA, threads=1
        )
        before, last = last, max(last + 1, round((time - start) / TIME_BASE))
        frame.pts, frame.time_base = last, TIME_BASE
        if seconds is not None:
            duration = max(1, round(seconds / TIME_BASE))
        elif count > 1:
            duration = last - before
        container.mux(stream.encode(frame))
    for packet in [] if stream is None else stream.encode():
        if packet.pts == last:
            packet.duration = duration
        container.mux(packet)
    return count


def _stream(
    container: OutputContainer, width: int, height: int, frame_rate: Fraction, path: Path, matrix: Colorspace
) -> av.VideoStream:
    try:
        stream = container.add_stream("libx264", rate=frame_rate.limit_denominator(100_000))
    except (FFmpegError, ValueError) as error:
        raise DataError(f"{path}: this installation of PyAV has no H.264 encoder; reinstall av from PyPI") from error
    assert isinstance(stream, av.VideoStream), "libx264 makes video"
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    stream.codec_context.colorspace = matrix
    stream.codec_context.color_range = ColorRange.MPEG
    is_hd = matrix == Colorspace.ITU709
    stream.codec_context.color_primaries = ColorPrimaries.BT709 if is_hd else ColorPrimaries.SMPTE170M
    stream.codec_context.color_trc = ColorTrc.BT709 if is_hd else ColorTrc.SMPTE170M
    # Without B-frames the last packet is the last frame, and the file lasts as long as that is shown.
    # Nor with a macroblock tree, for which x264 reads memory that it has not written: the same images gave other bytes.
    stream.options = {"crf": "20", "preset": "veryfast", "bf": "0", "mbtree": "0"}
    return stream


def _within_limits(pixels: UInt8[np.ndarray, "h w 3"], *, is_first: bool) -> UInt8[np.ndarray, "_ _ 3"]:
    """Pixels scaled down to what H.264 can hold; with a line about it where `is_first`."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale == 1.0:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if is_first:
        logger.warning("overlay: %dx%d pixels are more than H.264 can hold; scaled to %dx%d", width, height, *size)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _with_even_sides(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """yuv420p shares one colour among four pixels, so both sides must be even."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)
