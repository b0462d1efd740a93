"""Named figures, and what every metric has in common.

Axes: sample n (a weighting of the videos), video v.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from maskreel.evaluation.overlap import VideoOverlap

Figures = dict[str, Float[np.ndarray, " n"]]
"""Figures by name, for each weighting of the videos; NaN where nothing can be measured."""
Groups = dict[str, Figures]
"""Figures by the way to average, such as `class_averaged`; "" where there is but one."""


@runtime_checkable
class Meter(Protocol):
    """Sees every video once, then says what it measured."""

    per_video_group: str
    """The way to average that makes sense within one video."""

    def add(self, overlap: VideoOverlap) -> None: ...

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Figures with each video counted as often as its weight says, by default once."""
        ...

    def section(self) -> dict[str, Any]:
        """What the Score JSON has under the word of the metric."""
        ...


def number(value: float) -> float | None:
    """None for NaN."""
    return None if np.isnan(value) else float(value)


def numbers(figures: Mapping[str, Float[np.ndarray, " n"]], sample: int = 0) -> dict[str, float | None]:
    """The figures of one sample."""
    return {name: number(values[sample]) for name, values in figures.items()}


def by_class_name(per_class: Mapping[int, Figures], categories: Mapping[int, str]) -> dict[str, Any]:
    """Class names as keys; those that two classes share get their id."""
    names = list(categories.values())
    keys = {label: name if names.count(name) == 1 else f"{name} ({label})" for label, name in categories.items()}
    return {keys[label]: numbers(figures) for label, figures in per_class.items()}
