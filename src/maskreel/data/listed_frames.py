"""Frames as an annotation file lists them: whether their order is that of the numbers in their names."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskreel.video.frame_order import misplaced

logger = logging.getLogger(__name__)


def warn_of_order(path: Path, videos: Iterable[tuple[int, Sequence[str]]]) -> None:
    """Log one warning for all videos (id, names of the frames) whose frames stand against their numbers.

    The list is what counts, since masks are given in its order; but it may have been sorted by letters, after the masks
    were made.
    """
    found = [(number, places) for number, names in videos if (places := misplaced(names)) is not None]
    if found:
        number, (here, expected) = found[0]
        logger.warning(
            "%s: video %s lists %s where the order of numbers has %s (%d videos in all); masks are taken in the order "
            "of the list: check that they were made so",
            path,
            number,
            here,
            expected,
            len(found),
        )
