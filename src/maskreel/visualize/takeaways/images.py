"""Masks and cut-outs as PNG images, a folder of them for a video."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import FrameSource
from maskreel.visualize.palette import track_colour
from maskreel.visualize.takeaways.frames import seen_frames

COLOURS, GREYS = 255, 65535
"""Largest track ids that an indexed image and a grey one of 16 bits can hold."""


def masks(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """FRAME.png for every decoded frame, whose pixels are track ids, 0 where there is no object.

    Indexed colours, as DAVIS has them, up to track id 255; grey of 16 bits beyond. Where objects overlap, the one with
    the higher score is on top.
    """
    largest = int(masklets.track_id.max(initial=0))
    if largest > GREYS:
        raise DataError(f"{masklets.source}: track id {largest} is more than an image of 16 bits can hold")
    order = np.argsort(masklets.scores, kind="stable")
    colours = [0, 0, 0, *(value for track_id in range(1, COLOURS + 1) for value in track_colour(track_id))]
    for frame in range(masklets.decoded):
        ids = np.zeros((masklets.height, masklets.width), dtype=np.uint8 if largest <= COLOURS else np.uint16)
        for masklet in (masklets[int(n)] for n in order):
            if (mask := masklet.segmentations[frame]) is not None:
                ids[rle.decode(mask)] = masklet.track_id
        image = Image.fromarray(ids)
        if largest <= COLOURS:
            image.putpalette(colours)
        image.save(path / frame_name(frame))


def cutouts(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """TRACK/FRAME.png: the object within its box, red green blue alpha; what is not the object is clear and black."""
    for masklet in masklets:
        (path / f"{masklet.track_id:03d}").mkdir()
    for frame in seen_frames(masklets, source):
        for masklet in masklets:
            if (mask := masklet.segmentations[frame.index]) is not None and rle.area(mask):
                image = Image.fromarray(cut_out(frame.pixels, mask))
                image.save(path / f"{masklet.track_id:03d}" / frame_name(frame.index))


def cut_out(frame: UInt8[np.ndarray, "h w 3"], mask: rle.Rle) -> UInt8[np.ndarray, "_ _ 4"]:
    """One object of a frame within its box, with alpha; its mask must not be empty."""
    left, top, width, height = map(int, rle.bounding_box(mask))
    inside = rle.decode(mask)[top : top + height, left : left + width]
    cut = np.zeros((height, width, 4), dtype=np.uint8)
    cut[..., :3][inside] = frame[top : top + height, left : left + width][inside]
    cut[..., 3] = 255 * inside
    return cut


def frame_name(frame: int) -> str:
    """Name of an image by the position of its frame, in an order that is that of the frames."""
    return f"{frame:06d}.png"
