"""Image files that hold several frames: animated WebP, PNG and AVIF, stacks of TIFF pages."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

from PIL import Image, ImageSequence

from maskreel.errors import VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.clock import Clock
from maskreel.video.files import Frame
from maskreel.video.images import UNREADABLE, open_image, rgb

ANIMATED_SUFFIXES = frozenset({".webp", ".png", ".apng", ".avif", ".tif", ".tiff"})
"""Endings of images that may hold several frames. (GIF is read as a video file.)"""

_WITHOUT_TIMES = frozenset({"TIFF"})
"""Formats whose frames have no time."""


def num_images(path: Path) -> int:
    """Frames that an image file holds; 1 for one that cannot be read, which whoever reads it then reports."""
    if path.suffix.lower() not in ANIMATED_SUFFIXES:
        return 1
    try:
        with open_image(path) as image:
            return _count(image)
    except (VideoReadError, *UNREADABLE):
        return 1


class AnimatedImage:
    """The frames of one image file, at their own times, or at `frame_rate` where the format has none."""

    def __init__(self, path: str | Path, *, frame_rate: Fraction) -> None:
        """Raises VideoReadError where the first frame cannot be read."""
        self.path = Path(path)
        self.name = str(path)
        self.skipped: tuple[SkippedFrame, ...] = ()
        try:
            with open_image(self.path) as image:
                self.declared: int | None = _count(image)
                image.seek(_first(image))
                # Some formats tell a frame's duration once it is read.
                image.load()
                first = 0 if image.format in _WITHOUT_TIMES else image.info.get("duration") or 0
                self.frame_rate = 1000 / Fraction(first) if first else frame_rate
        except UNREADABLE as error:
            raise VideoReadError(self.path, f"cannot be read: {error}") from error
        self._step = float(1 / self.frame_rate)
        self.size: tuple[int, int] = next(iter(self)).pixels.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Pages of another size than the first are a VideoReadError; a file that breaks off loses its last frames."""
        assert self.declared is not None, "counted when it was opened"
        time, index = 0.0, 0
        lost: str | None = None
        clock = Clock(float(1 / self.frame_rate))
        with open_image(self.path) as image:
            pages = islice(ImageSequence.Iterator(image), _first(image), None)
            while index < self.declared:
                try:
                    page = next(pages, None)
                    if page is None:
                        break
                    pixels = rgb(page)
                except UNREADABLE as error:
                    if not index:
                        raise VideoReadError(self.path, f"cannot be read: {error}") from error
                    lost = f"cannot be read: {error}"
                    break
                if index and pixels.shape[:2] != self.size:
                    size, first = (f"{shape[1]}x{shape[0]}" for shape in (pixels.shape, self.size))
                    raise VideoReadError(self.path, f"frame {index} has {size} pixels, the first one {first}")
                stated = 0 if page.format in _WITHOUT_TIMES else page.info.get("duration") or 0
                duration = float(stated) / 1000 or self._step
                yield Frame(index, clock.next(time, is_damaged=False), pixels, duration)
                time += duration
                index += 1
        reason = lost or "the file ends early"
        self.skipped = tuple(SkippedFrame(index=place, reason=reason) for place in range(index, self.declared))


def _count(image: Image.Image) -> int:
    """Frames that are shown."""
    return int(getattr(image, "n_frames", 1)) - _first(image)


def _first(image: Image.Image) -> int:
    """Place of the first frame that is shown: a PNG may begin with an image for programs that know no animation."""
    return int(getattr(image, "default_image", False))
