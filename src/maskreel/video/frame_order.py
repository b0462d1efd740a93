"""The order of files that are one video's frames, read from the numbers in their names.

Names are cut into words and numbers. Where all names have the same number of numbers, those that are the same
everywhere (a size, a version, a camera) mean nothing, and the others order the frames: one number counts them, several
are a clock or a part's number before the frame's. "12.5" is one number where it counts seconds. Dates are ordered by
year, month and day, however they are written, and what follows one is a time, which does not count. Names with
different numbers of numbers are ordered by the place at which all have a number that counts, else by their last.
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

_EPOCH_DIGITS = 9
"""Of seconds since 1970."""


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
    if not paths or 0 in counts:
        return FrameOrder(paths=tuple(sorted(paths, key=_natural)), numbers=None)
    date = _date([found[: min(counts)] for found in numbers.values()])
    if date is not None:
        keys = {path: date.key(found) for path, found in numbers.items()}
    else:
        keys = _varying(numbers) if len(counts) == 1 else _at_one_place(numbers, min(counts))
    ordered = sorted(paths, key=lambda path: (natural_key(str(path.parent)), keys[path], path.name))
    is_counted = date is None and all(len(key) == 1 and key[0].denominator == 1 for key in keys.values())
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


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], ...]:
    return natural_key(str(path.parent)), natural_key(path.stem), natural_key(path.suffix)


def _numbers(stem: str) -> list[str]:
    """The numbers of a name; a minus sign is one at its beginning or behind an underscore."""
    return re.findall(r"(?:(?:^|(?<=_))-)?\d+", stem, re.ASCII)


@dataclass(frozen=True, kw_only=True)
class _Date:
    """Where names hold a date: the places of year, month and day among their numbers, or of all three in one."""

    places: tuple[int, ...]

    def key(self, numbers: list[str]) -> Key:
        """The date, then all other numbers in their order; times of day of six digits are whole numbers that grow."""
        others = [number for place, number in enumerate(numbers) if place not in self.places]
        return tuple(Fraction(number) for number in (*(numbers[place] for place in self.places), *others))


def _date(names: list[list[str]]) -> _Date | None:
    """The date that all names have among their first numbers, equally many of each, with a number behind it."""
    columns = list(zip(*names, strict=True))
    for place, column in enumerate(columns[:-1]):
        if all(re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", number) for number in column):
            return _Date(places=(place,))
    for place in range(len(columns) - 3):
        first, second, third = columns[place : place + 3]
        if _are_years(first) and _are_within(second, 12) and _are_within(third, 31):
            return _Date(places=(place, place + 1, place + 2))
        if _are_years(third) and _are_within(first, 31) and _are_within(second, 12):
            return _Date(places=(place + 2, place + 1, place))
        if _are_years(third) and _are_within(first, 12) and _are_within(second, 31):
            return _Date(places=(place + 2, place, place + 1))
    return None


def _are_years(column: Sequence[str]) -> bool:
    return all(re.fullmatch(r"(19|20)\d\d", number) for number in column)


def _are_within(column: Sequence[str], last: int) -> bool:
    return all(len(number) <= 2 and 1 <= int(number) <= last for number in column)


def _at_one_place(numbers: dict[Path, list[str]], common: int) -> dict[Path, Key]:
    """What orders names with different numbers of numbers: the place, from the end or the start, that counts."""
    places = [*range(-1, -common - 1, -1), *range(common)]
    counting = (place for place in places if _are_counts([int(found[place]) for found in numbers.values()]))
    place = next(counting, -1)
    return {path: (Fraction(found[place]),) for path, found in numbers.items()}


def _are_counts(numbers: list[int]) -> bool:
    """Whether numbers, put in order, count in equal steps."""
    ordered = sorted(numbers)
    steps = {after - before for before, after in zip(ordered[:-1], ordered[1:], strict=True)}
    return len(steps) == 1 and 0 not in steps


def _varying(numbers: dict[Path, list[str]]) -> dict[Path, Key]:
    """What orders each name among names with equally many numbers."""
    columns = list(zip(*numbers.values(), strict=True))
    varying = [place for place, column in enumerate(columns) if len({int(number) for number in column}) > 1]
    if not varying:
        # One frame, or the same number in several folders.
        varying = [len(columns) - 1]
    first, second = varying[0], varying[-1]
    if len(varying) == 1:
        first -= 1
    if first >= 0 and second == first + 1 and _are_seconds(numbers, first):
        return {path: (Fraction(f"{found[first]}.{found[second]}"),) for path, found in numbers.items()}
    return {path: tuple(Fraction(found[place]) for place in varying) for path, found in numbers.items()}


def _are_seconds(numbers: dict[Path, list[str]], place: int) -> bool:
    """Whether two neighbouring numbers are one with a fraction, as in "1305031102.8": a point stands between them.

    "2.9", "2.10", "2.11" are none: behind each first number the second ones count.
    """
    if not all(f"{found[place]}.{found[place + 1]}" in path.stem for path, found in numbers.items()):
        return False
    if all(len(found[place]) >= _EPOCH_DIGITS for found in numbers.values()):
        return True
    groups: dict[str, list[int]] = {}
    for found in numbers.values():
        groups.setdefault(found[place], []).append(int(found[place + 1]))
    return not all(max(group) - min(group) + 1 == len(set(group)) for group in groups.values())
