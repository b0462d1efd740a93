"""A video with alpha: VP9 in webm, which browsers and editors lay over anything."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Interpolation
from jaxtyping import Bool, UInt8

from maskreel.errors import DataError
from maskreel.geometry.masklets import Masklets
from maskreel.video.colour import matrix_of_lines
from maskreel.video.files import FrameSource
from maskreel.visualize.takeaways.frames import seen_frames

TIME_BASE = Fraction(1, 1000)
"""The clock of webm."""
OPTIONS: dict[str, object] = {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0"}
"""Alternate reference frames, which are not shown, are not allowed beside alpha."""


def alpha(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """Every decoded frame, opaque where an object is seen and clear elsewhere; odd sides get a clear row or column."""
    height, width = masklets.height + masklets.height % 2, masklets.width + masklets.width % 2
    matrix, last = matrix_of_lines(height), -1
    with av.open(str(path), "w", format="webm") as container:
        try:
            stream = container.add_stream("libvpx-vp9", rate=source.frame_rate.limit_denominator(100_000))
        except (FFmpegError, ValueError) as error:
            raise DataError(f"{path.name}: PyAV has no VP9 encoder here; see maskreel doctor") from error
        assert isinstance(stream, av.VideoStream), "VP9 is video"
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuva420p", OPTIONS
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, ColorRange.MPEG
        for frame in seen_frames(masklets, source):
            picture = np.zeros((height, width, 4), dtype=np.uint8)
            inside = np.asarray(masklets.masks(frame.index).any(axis=0))
            picture[: masklets.height, : masklets.width] = clear_outside(frame.pixels, inside)
            image = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(
                format="yuva420p", dst_colorspace=matrix, interpolation=Interpolation.AREA, threads=1
            )
            last = max(last + 1, round((frame.time - masklets.timestamps[0]) / TIME_BASE))
            image.pts, image.time_base = last, TIME_BASE
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def clear_outside(frame: UInt8[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """A frame with alpha that is clear, and black but for the pixels that share their colour with one inside.

    In yuv420p two by two pixels share one colour, which would darken along the edges of objects.
    """
    height, width = inside.shape
    padded = np.pad(inside, ((0, height % 2), (0, width % 2)))
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).any(axis=(1, 3))
    shown = blocks.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.concatenate((frame * shown[..., None], 255 * inside[..., None].astype(np.uint8)), axis=-1)
