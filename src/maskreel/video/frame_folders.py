"""Videos that are stored as one picture per frame: a folder, chosen files, or a video of a YouTube-VIS split."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from maskreel.errors import DataError, VideoReadError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame
from maskreel.video.pictures import IMAGE_SUFFIXES, UNREADABLE, is_image, read_picture

FRAME_RATE = Fraction(10)
"""Frames per second of pictures, which know no time."""


def in_frame_order(paths: Sequence[Path]) -> list[Path]:
    """Pictures by the last number in their names where all have one (frame 2 before frame 10), else by name."""
    numbers = {path: _last_number(path) for path in paths}
    if None in numbers.values():
        return sorted(paths)
    return sorted(paths, key=lambda path: (path.parent, numbers[path], path.name))


def numbered_frames(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the last number in their names.

    Numbers may start anywhere and count in equal steps; a hole is a DataError that names the missing number. Pictures
    without numbers, in a folder where none has one, come in the order of their names.
    """
    paths = sorted(path for path in folder.iterdir() if is_image(path))
    if not paths:
        raise VideoReadError(folder, f"no pictures in the folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
    numbers = {path: _last_number(path) for path in paths}
    numbered = sorted((number, path) for path, number in numbers.items() if number is not None)
    if not numbered:
        return paths
    unnumbered = [path.name for path, number in numbers.items() if number is None]
    if unnumbered:
        raise DataError(
            f"{folder}: {unnumbered[0]} has no frame number while {numbered[0][1].name} has; "
            "take other pictures out of the folder, or name the frames by a pattern in quotes."
        )
    _check_holes(folder, numbered)
    return [path for _, path in numbered]


def _check_holes(folder: Path, numbered: list[tuple[int, Path]]) -> None:
    pairs = list(zip(numbered[:-1], numbered[1:], strict=True))
    steps = Counter(second - first for (first, _), (second, _) in pairs)
    if 0 in steps:
        twice = next((first[1].name, second[1].name) for first, second in pairs if first[0] == second[0])
        raise DataError(f"{folder}: {twice[0]} and {twice[1]} have the same frame number; keep one of them.")
    step = min(steps, key=lambda value: (-steps[value], value), default=1)
    for (first, path), (second, _) in pairs:
        if second - first != step:
            raise DataError(
                f"{folder}: frame {first + step} is missing after {path.name} (frames count in steps of {step}). "
                "Extract it again, or name the frames by a pattern in quotes, which takes what is there."
            )


def _last_number(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


class FramePictures:
    """One picture per frame, in the order given; a picture that cannot be read is skipped and listed."""

    def __init__(self, paths: Sequence[Path], *, name: str, frame_rate: Fraction = FRAME_RATE) -> None:
        self.name = name
        self.declared: int | None = len(paths)
        self.frame_rate = frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()
        self._paths = tuple(paths)
        self.size: tuple[int, int] = next(iter(self)).pixels.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        skipped: list[SkippedFrame] = []
        first: tuple[Path, tuple[int, ...]] | None = None
        for place, path in enumerate(self._paths):
            try:
                pixels = read_picture(path)
            except UNREADABLE as error:
                skipped.append(SkippedFrame(index=place, reason=f"{path.name} cannot be read: {error}"))
                continue
            first = first or (path, pixels.shape)
            if pixels.shape != first[1]:
                raise VideoReadError(path, f"{_size(pixels.shape)}, but {first[0].name} has {_size(first[1])}")
            yield Frame(place - len(skipped), round(float(place / self.frame_rate), 6), pixels)
        if first is None:
            raise VideoReadError(self.name, f"none of the {len(self._paths)} pictures can be read: {skipped[0].reason}")
        self.skipped = tuple(skipped)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels"
