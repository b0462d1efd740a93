"""A long video shared by several workers: each writes what its windows hold, one joins that in order.

Windows start where they start in one process, and joining is the session itself with what was found put in, so that
ids, masks and scores are those of one process to the bit.
"""

import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from maskreel.errors import DataError
from maskreel.files import complete_file
from maskreel.inference.finding import Finder, ShownFrame
from maskreel.inference.pipeline import follow
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.predictor import VideoPredictor
from maskreel.inference.state import pack, unpack
from maskreel.inference.windows import Window
from maskreel.video.files import FrameSource

WINDOWS = ".windows"
"""Folder of what is found in windows, until their video is joined."""

WINDOWS_OF_STRETCH = 8
"""A worker takes at least so many windows at once; a video of more than two stretches is long."""

MOST_STRETCHES = 16
"""Of a video: each reads it from its beginning, since windows must start where they start in one process."""

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Windows of a video by their numbers; without an end all from the first on."""

    first: int
    end: int | None


class _IsOver(Exception):
    """All windows of a range have been searched."""


def ranges(num_frames: int | None, clip_frames: int, overlap: int) -> list[Range]:
    """How a video of so many frames is shared out; empty for one that is not long, or of unknown length."""
    if num_frames is None or num_frames <= clip_frames:
        return []
    windows = 1 + -(-(num_frames - clip_frames) // (clip_frames - overlap))
    if windows <= 2 * WINDOWS_OF_STRETCH:
        return []
    firsts = range(0, windows, max(WINDOWS_OF_STRETCH, -(-windows // MOST_STRETCHES)))
    return [Range(first=first, end=end) for first, end in zip(firsts, (*firsts[1:], None), strict=True)]


def find_range(predictor: VideoPredictor, source: FrameSource, chosen: Range, folder: Path) -> None:
    """Write what is found in a range of windows, a file per window under its first frame; those that are there stay."""
    finder = Finder(predictor.runtime, predictor.options, clip_frames=predictor.options.clip_frames, reuse=False)
    nothing = _nothing(len(predictor.classes))
    number = -1

    def find(window: Window[ShownFrame], size: Size) -> ClipDetections:
        nonlocal number
        number += 1
        if chosen.end is not None and number >= chosen.end:
            raise _IsOver
        path = _path(folder, window.start)
        if number >= chosen.first and not path.is_file():
            _save(path, finder(window.frames, size))
        return nothing(window, size)

    try:
        for _ in follow(predictor.session(keep=False, find=find), source):
            pass
    except _IsOver:
        return


def found_in(folder: Path, device: torch.device) -> Callable[[Window[ShownFrame], Size], ClipDetections]:
    """For a session: what `find_range` has written; DataError for a window that nobody has searched."""

    def find(window: Window[ShownFrame], size: Size) -> ClipDetections:
        path = _path(folder, window.start)
        try:
            content = io.BytesIO(gzip.decompress(path.read_bytes()))
            found = unpack(torch.load(content, weights_only=True), device)
        except (OSError, EOFError, RuntimeError, zlib.error) as error:
            raise DataError(
                f"{path}: what was found in the window is lost ({error}); run again with --resume"
            ) from error
        assert isinstance(found, ClipDetections), f"{path} holds a {type(found).__name__}"
        return found

    return find


def _path(folder: Path, start: int) -> Path:
    return folder / f"{start:09d}.pt.gz"


def _save(path: Path, detections: ClipDetections) -> None:
    content = io.BytesIO()
    torch.save(pack(detections), content)
    with complete_file(path) as new:
        new.write_bytes(gzip.compress(content.getvalue(), compresslevel=1))


def _nothing(num_classes: int) -> Callable[[Window[ShownFrame], Size], ClipDetections]:
    def find(window: Window[ShownFrame], size: Size) -> ClipDetections:
        return ClipDetections(
            probability=np.zeros((0, num_classes), dtype=np.float32),
            is_chosen=np.zeros((0, num_classes), dtype=bool),
            masks=[],
            coarse=torch.zeros((0, len(window.frames), 1, 1), dtype=torch.bool),
        )

    return find
