"""The order of files that are one video's frames, read from the numbers in their names.

Names are cut into words and numbers. Where all names have the same number of numbers, those that are the same
everywhere (a size, a version, a camera) mean nothing, and the others order the frames: one number counts them, several
are a clock or a part's number before the frame's. "12.5" is one number where it counts seconds. Names with different
numbers of numbers are ordered by their last.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from maskreel.errors import DataError

Key = tuple[Fraction, ...]

_MAX_NAME = 1000
"""Characters of a name that is read from a file."""


@dataclass(frozen=True, kw_only=True)
class FrameOrder:
    """Files in the order of their frames."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...] | None
    """Of the frames, where a single whole number in the names counts them."""


def in_frame_order(paths: Sequence[Path]) -> FrameOrder:
    """Order the frames of one video; folders come first, in natural order, then the names in each.

    Files without any number in their names come in natural order, frame 2 before frame 10.
    """
    numbers = {path: _numbers(path.stem) for path in paths}
    counts = {len(found) for found in numbers.values()}
    if 0 in counts:
        return FrameOrder(paths=tuple(sorted(paths, key=lambda path: natural_key(str(path)))), numbers=None)
    last = {path: (Fraction(found[-1]),) for path, found in numbers.items()}
    keys = _varying(numbers) if len(counts) == 1 else last
    ordered = sorted(paths, key=lambda path: (natural_key(str(path.parent)), keys[path], path.name))
    is_counted = all(len(key) == 1 and key[0].denominator == 1 for key in keys.values())
    return FrameOrder(
        paths=tuple(ordered), numbers=tuple(int(keys[path][0]) for path in ordered) if is_counted else None
    )


def check_holes(order: FrameOrder, folder: Path) -> None:
    """DataError for a frame number that is missing or that two files have; numbers may count in equal steps."""
    if order.numbers is None:
        return
    steps = [after - before for before, after in zip(order.numbers[:-1], order.numbers[1:], strict=True)]
    if 0 in steps:
        place = steps.index(0)
        first, second = order.paths[place].name, order.paths[place + 1].name
        raise DataError(f"{folder}: {first} and {second} have the same frame number; keep one of them.")
    counts = Counter(steps)
    usual = min(counts, key=lambda step: (-counts[step], step), default=1)
    for place, step in enumerate(steps):
        if step != usual:
            raise DataError(
                f"{folder}: frame {order.numbers[place] + usual} is missing after {order.paths[place].name} "
                f"(frames count in steps of {usual}). Extract it again, or name the frames by a pattern in quotes, "
                "which takes what is there."
            )


def misplaced(names: Sequence[str]) -> tuple[str, str] | None:
    """Where a list of one video's frames leaves the order of their numbers: the name that stands there, and the one
    that belongs there. None for a list in order, and where the names tell none.
    """
    if len({len(name) for name in names}) == 1 and all(before < after for before, after in pairwise(names)):
        return None
    paths = [Path(name[:_MAX_NAME]) for name in names]
    order = in_frame_order(paths)
    is_told = order.numbers is not None and len({path.parent for path in paths}) == 1
    if not is_told and list(names) != sorted(names):
        return None
    return next(((str(a), str(b)) for a, b in zip(paths, order.paths, strict=True) if a != b), None)


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sorts "frame 2" before "frame 10"."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|\D+", text)]


def _numbers(stem: str) -> list[str]:
    return re.findall(r"\d+", stem, re.ASCII)


def _varying(numbers: dict[Path, list[str]]) -> dict[Path, Key]:
    """What orders each name among names with equally many numbers."""
    columns = list(zip(*numbers.values(), strict=True))
    varying = [place for place, column in enumerate(columns) if len({int(number) for number in column}) > 1]
    if not varying:
        # One frame, or the same number in several folders.
        varying = [len(columns) - 1]
    if len(varying) == 2 and varying[1] == varying[0] + 1 and _are_seconds(numbers, varying[0]):
        first, second = varying
        return {path: (Fraction(f"{found[first]}.{found[second]}"),) for path, found in numbers.items()}
    return {path: tuple(Fraction(found[place]) for place in varying) for path, found in numbers.items()}


def _are_seconds(numbers: dict[Path, list[str]], place: int) -> bool:
    """Whether two neighbouring numbers are one with a fraction, as in "1305031102.8": a point stands between them."""
    return all(f"{found[place]}.{found[place + 1]}" in path.stem for path, found in numbers.items())
