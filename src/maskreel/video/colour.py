"""From a decoded frame to the RGB pixels that a person is shown: colour matrix, shape of pixels, rotation."""

from fractions import Fraction

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc
from jaxtyping import UInt8
from PIL import Image

HD_LINES = 720
"""Frames of as many lines or more are BT.709 where they do not say, smaller ones BT.601, as players take them."""

HDR_CURVES: dict[int, str] = {ColorTrc.SMPTE2084: "PQ (HDR10)", ColorTrc.ARIB_STD_B67: "HLG"}

LEAST_STRETCH = 0.01
"""Pixels that are wider or higher by a smaller share are square, but for the rounding of an odd size."""

MAX_STRETCH = 8
"""Pixels that claim to be wider or higher than this many times the other side are taken for square."""


def matrix_of_lines(lines: int) -> Colorspace:
    """Colour matrix of frames that name none."""
    return Colorspace.ITU709 if lines >= HD_LINES else Colorspace.ITU601


def shown_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """(width, height) of a frame with square pixels, before it is turned; the longer way is the one that grows."""
    if pixel_aspect is None or not 1 / MAX_STRETCH <= pixel_aspect <= MAX_STRETCH:
        return width, height
    if abs(pixel_aspect - 1) < LEAST_STRETCH:
        return width, height
    if pixel_aspect < 1:
        return width, max(1, round(height / pixel_aspect))
    return max(1, round(width * pixel_aspect)), height


def on_white(pixels: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours under alpha laid on white, so that hidden ones do not show."""
    shown = Image.fromarray(pixels)
    return np.array(Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB"))


def upright_rgb(frame: VideoFrame, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of (width, height), turned in steps of 90 degrees and then mirrored as the display matrix says."""
    is_marked = frame.format.is_rgb or int(frame.colorspace) != _UNSPECIFIED
    matrix = None if is_marked else matrix_of_lines(frame.height)
    has_alpha = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(
        format="rgba" if has_alpha else "rgb24", width=size[0], height=size[1], src_colorspace=matrix
    )
    if has_alpha:
        pixels = on_white(pixels)
    # frame.side_data would keep the frame until the garbage collector comes, for each refers to the other.
    side_data = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyright: ignore[reportCallIssue]
    if side_data is None:
        return pixels
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), dtype=np.int32)[:5])
    is_mirrored = a * d - b * c < 0
    if is_mirrored:
        a, c = -a, -c
    turns = round(np.degrees(np.arctan2(-b, a)) / 90) % 4
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if is_mirrored else pixels)


_UNSPECIFIED = 2
"""FFmpeg's number of a colour matrix that is not named."""
