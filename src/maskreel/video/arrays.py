"""Videos that a program holds already: arrays, lists of images, and whatever yields frames.

A frame is a numpy array `h w 3` or a torch tensor `3 h w` of uint8 (RGB, 0 to 255), a Pillow image (converted to RGB by
the rules of `video.images`, not turned), or a `Frame`. Nothing is guessed about arrays: fractions, other types of
numbers and other layouts are refused.
"""

import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskreel.errors import DataError, UsageError, VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame
from maskreel.video.images import UNREADABLE, rgb

WANTED = "expected a numpy array h w 3 or a torch tensor 3 h w of uint8, or a Pillow image"


def as_pixels(frame: Any, where: str, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a frame, which may share its memory; `size` is the (height, width) of the frames before it.

    Raises DataError naming `where`, what came and what is expected.
    """
    if isinstance(frame, Frame):
        frame = frame.pixels
    if isinstance(frame, Image.Image):
        try:
            frame = rgb(frame)
        except UNREADABLE as error:
            raise DataError(f"{where}: Pillow image of mode {frame.mode}: {error}") from error
    if isinstance(frame, np.ndarray):
        _check(frame, frame.shape[-1:], f"{where}: numpy array")
        pixels = frame
    elif _is_tensor(frame):
        _check(frame, frame.shape[:1], f"{where}: torch tensor")
        pixels = frame.detach().cpu().permute(1, 2, 0).numpy()
    else:
        raise DataError(f"{where}: {type(frame).__name__}; {WANTED}")
    if size is not None and pixels.shape[:2] != size:
        height, width = pixels.shape[:2]
        raise DataError(f"{where}: {width}x{height} pixels; expected {size[1]}x{size[0]} as in the frames before")
    return np.ascontiguousarray(pixels)


class GivenFrames:
    """Frames out of an array, a list or any other iterable; an iterator can be read once.

    Frames that carry no time are `frame_rate` to a second.
    """

    def __init__(self, frames: Any, *, frame_rate: Fraction) -> None:
        """Takes the first frame of an iterable, to learn the size; raises VideoReadError where there is none."""
        is_array = isinstance(frames, np.ndarray) or _is_tensor(frames)
        self.name = "array" if is_array else "frames"
        if is_array and len(frames.shape) != 4:
            raise DataError(
                f"array of shape {tuple(frames.shape)}: expected t h w 3 (numpy) or t 3 h w (torch); "
                "one frame alone is array[None]"
            )
        self.declared: int | None = len(frames) if hasattr(frames, "__len__") else None
        self.frame_rate = frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()
        self._frames = frames
        begun = iter(frames)
        self._is_iterator = begun is frames
        first = next(begun, None)
        if first is None:
            raise VideoReadError(self.name, "there is no frame")
        self.size: tuple[int, int] = as_pixels(first, f"{self.name}: frame 0").shape[:2]
        self._first_pass: Iterator[Any] | None = chain([first], begun)

    def __iter__(self) -> Iterator[Frame]:
        """Raises DataError for a frame that cannot be taken or has another size than the first."""
        frames, self._first_pass = self._first_pass, None
        if frames is None:
            if self._is_iterator:
                raise UsageError(f"{self.name}: an iterator can be read only once; give a list of its frames instead")
            frames = iter(self._frames)
        for index, frame in enumerate(frames):
            pixels = as_pixels(frame, f"{self.name}: frame {index}", self.size)
            if isinstance(frame, Frame):
                yield Frame(index, frame.time, pixels, frame.duration)
            else:
                yield Frame(index, round(float(index / self.frame_rate), 6), pixels)


def _is_tensor(value: Any) -> bool:
    # Where there is a tensor, torch was imported; reading videos does not need it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _check(array: Any, channels: Iterable[int], where: str) -> None:
    """Refuse all but uint8 of three axes, none empty, with three `channels`."""
    dtype, shape = str(array.dtype).removeprefix("torch."), tuple(array.shape)
    if dtype == "uint8" and len(shape) == 3 and tuple(channels) == (3,) and 0 not in shape:
        return
    way_out = ""
    if "float" in dtype:
        dtype += " with NaN" if bool((array != array).any()) else ""
        way_out = "; of fractions make 0 to 255: (255 * frame) rounded, as uint8"
    raise DataError(f"{where} of {dtype} and shape {shape}; {WANTED}{way_out}")
