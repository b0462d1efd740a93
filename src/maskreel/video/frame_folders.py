"""Videos that are stored as one image per frame: a folder, or chosen files."""

import logging
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from maskreel.errors import DataError, VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.animations import num_images
from maskreel.video.files import Frame
from maskreel.video.frame_order import check_holes, in_frame_order
from maskreel.video.images import IMAGE_SUFFIXES, UNREADABLE, read_image

logger = logging.getLogger(__name__)

FRAME_RATE = Fraction(10)
"""Frames per second of images, which know no time."""


def numbered_frames(folder: Path, images: Sequence[Path]) -> list[Path]:
    """The images of a folder in the order of the numbers in their names.

    Numbers may start anywhere and count in equal steps; a hole is a DataError that names the missing number. Images
    without numbers, in a folder where none has one, come in the order of their names. A link that leads nowhere is a
    frame that cannot be read.
    """
    paths = sorted(images)
    if not paths:
        raise VideoReadError(folder, f"no images in the folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
    unnumbered = [path.name for path in paths if not re.search("[0-9]", path.stem)]
    if unnumbered and len(unnumbered) < len(paths):
        numbered = next(path.name for path in paths if path.name not in unnumbered)
        raise DataError(
            f"{folder}: {unnumbered[0]} has no frame number while {numbered} has; "
            "take other images out of the folder, or name the frames by a pattern in quotes."
        )
    order = in_frame_order(paths)
    check_holes(order, folder)
    if order.numbers is None and not unnumbered:
        first, last = order.paths[0].name, order.paths[-1].name
        logger.info("%s: frames are ordered by several numbers in their names, from %s to %s", folder, first, last)
    return list(order.paths)


class FrameImages:
    """One image per frame, in the order given; an image that cannot be read is skipped and listed.

    Of an image that holds several frames the first is read, which is said.
    """

    def __init__(self, paths: Sequence[Path], *, name: str, frame_rate: Fraction = FRAME_RATE) -> None:
        self.name = name
        self.declared: int | None = len(paths)
        self.frame_rate = frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()
        self._paths = tuple(paths)
        self.size: tuple[int, int] = next(iter(self)).pixels.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        skipped: list[SkippedFrame] = []
        animated: list[Path] = []
        first: tuple[Path, tuple[int, ...]] | None = None
        step = float(1 / self.frame_rate)
        for place, path in enumerate(self._paths):
            try:
                pixels = read_image(path)
            except (VideoReadError, *UNREADABLE) as error:
                words = (error.strerror if isinstance(error, OSError) else None) or error
                reason = error.reason if isinstance(error, VideoReadError) else f"cannot be read: {words}"
                skipped.append(SkippedFrame(index=place, reason=f"{path.name} {reason}"))
                continue
            if num_images(path) > 1:
                animated.append(path)
            first = first or (path, pixels.shape)
            if pixels.shape != first[1]:
                raise VideoReadError(path, f"{_size(pixels.shape)}, but {first[0].name} has {_size(first[1])}")
            yield Frame(place - len(skipped), round(float(place / self.frame_rate), 6), pixels, step)
        if first is None:
            if len(self._paths) == 1:
                raise VideoReadError(self._paths[0], skipped[0].reason.removeprefix(f"{self._paths[0].name} "))
            raise VideoReadError(self.name, f"none of the {len(self._paths)} images can be read: {skipped[0].reason}")
        self.skipped = tuple(skipped)
        if animated and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "%s: %d of the images hold several frames, of which the first is read, such as %s; name one alone to "
                "have all of its frames read",
                *(self.name, len(animated), animated[0].name),
            )

    _is_warned = False


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels"
