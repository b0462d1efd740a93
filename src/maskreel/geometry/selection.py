"""Part of a result: some classes, and what is seen within a region."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from maskreel.config import suggestion
from maskreel.errors import OptionError
from maskreel.geometry import rle
from maskreel.geometry.masklet import Masks
from maskreel.geometry.masklets import Masklets
from maskreel.geometry.rle import Rle


@dataclass(frozen=True)
class Region:
    """A part of the picture; an object is seen in it while the centre of its box lies inside."""

    corners: tuple[tuple[float, float], ...]
    """(x, y) in pixels of the source, at least three."""

    @classmethod
    def parse(cls, text: str) -> "Region":
        """From "x,y,width,height" or from the corners of a polygon, "x,y,x,y,x,y"; OptionError, about "region"."""
        try:
            numbers = [float(word) for word in text.split(",")]
        except ValueError as error:
            raise OptionError(f"region {text!r}: expected numbers with commas, such as 0,0,320,240") from error
        if not np.isfinite(numbers).all() or len(numbers) % 2 or len(numbers) < 4:
            raise OptionError(f"region {text!r}: expected x,y,width,height, or x,y of three or more corners, in pixels")
        if len(numbers) > 4:
            return cls(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
        x, y, width, height = numbers
        if width <= 0 or height <= 0:
            raise OptionError(f"region {text!r}: width and height must be above 0")
        return cls(((x, y), (x + width, y), (x + width, y + height), (x, y + height)))

    def holds(self, mask: Rle) -> bool:
        """Whether the centre of a mask's box lies inside, borders to the left and above included; not when empty."""
        x, y, width, height = rle.bounding_box(mask)
        return bool(width) and self.contains(x + width / 2, y + height / 2)

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies inside, by the number of edges to its right (even-odd rule)."""
        is_inside = False
        for (ax, ay), (bx, by) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if (ay <= y) != (by <= y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
                is_inside = not is_inside
        return is_inside


class _Within(Sequence[Rle | None]):
    """Masks of one object as far as they are seen in a region; each is looked at when it is asked for."""

    def __init__(self, masks: Masks, is_inside: Sequence[bool]) -> None:
        self._masks, self._is_inside = masks, is_inside

    def __len__(self) -> int:
        return len(self._is_inside)

    @overload
    def __getitem__(self, index: int) -> Rle | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Rle | None]: ...
    def __getitem__(self, index: int | slice) -> Rle | Sequence[Rle | None] | None:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        return self._masks[index] if self._is_inside[index] else None


def chosen_labels(classes: Sequence[tuple[int, str]], words: str) -> frozenset[int]:
    """Labels of the classes in a comma-separated list of names or category ids; OptionError, about "classes"."""
    by_word = {str(category_id): label for label, (category_id, _) in enumerate(classes)}
    by_word |= {name.casefold(): label for label, (_, name) in enumerate(classes)}
    labels, names = set(), [name for _, name in classes]
    known = f"the model knows {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}"
    for word in filter(None, (word.strip() for word in words.split(","))):
        if word.casefold() not in by_word:
            raise OptionError(f"classes {word!r}: {suggestion(word, names, known)}")
        labels.add(by_word[word.casefold()])
    if not labels:
        raise OptionError(f"classes {words!r}: names no class")
    return frozenset(labels)


def select(masklets: Masklets, *, labels: frozenset[int] | None = None, region: Region | None = None) -> Masklets:
    """The objects of some classes, in the frames in which a region holds them; None for all.

    Objects that are nowhere left are gone; ids, scores and masks stay as they are.
    """
    kept = [masklet for masklet in masklets if labels is None or masklet.label in labels]
    if region is not None:
        within = [[mask is not None and region.holds(mask) for mask in masklet.segmentations] for masklet in kept]
        kept = [
            replace(masklet, segmentations=_Within(masklet.segmentations, is_inside))
            for masklet, is_inside in zip(kept, within, strict=True)
            if any(is_inside)
        ]
    return replace(masklets, masklets=tuple(kept))
