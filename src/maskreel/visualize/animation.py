"""Animated GIFs, for pages and slides that play no video."""

import logging
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from maskreel.errors import DataError
from maskreel.files import complete_file
from maskreel.visualize.video import TimedImage

logger = logging.getLogger(__name__)

MAX_SIDE, MAX_FRAMES = 480, 600
"""Pixels of the longest side and frames of a GIF, which knows no compression worth the name."""
SHORTEST = 2
"""Hundredths of a second, in which a GIF counts; players show shorter frames for a tenth of a second."""


def write_gif(path: Path, frames: Iterable[TimedImage], *, frame_rate: float) -> None:
    """Write frames with their times, in 255 colours each, over and over; DataError where there is none.

    Frames are shrunk to `MAX_SIDE`; beyond `MAX_FRAMES` they are left out, with a warning.
    """
    pictures, times = [], []
    for frame in frames:
        if len(pictures) == MAX_FRAMES:
            logger.warning("%s: a GIF holds the first %d frames; the mp4 has all", path, MAX_FRAMES)
            break
        image = Image.fromarray(frame.pixels)
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
        pictures.append(image.quantize(255, dither=Image.Dither.NONE))
        times.append(frame.time)
    if not pictures:
        raise DataError(f"{path}: there is no frame to write")
    ends = [*times[1:], times[-1] + 1 / frame_rate]
    durations = [10 * max(SHORTEST, round(100 * (end - time))) for time, end in zip(times, ends, strict=True)]
    with complete_file(path) as new:
        pictures[0].save(new, format="gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
