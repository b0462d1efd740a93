"""Named metrics, and what every metric has in common.

Axes: sample n (a weighting of the videos), video v.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.results import Predictions

Metrics = dict[str, Float[np.ndarray, " n"]]
"""Metrics by name, for each weighting of the videos; NaN where nothing can be measured."""
Groups = dict[str, Metrics]
"""Metrics by the way to average, such as `class_averaged`; "" where there is but one."""
Listed = tuple[str, str, str]
"""Group, item and figure that one value of a list stands for."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What tables and comparisons have to know of a metric, beside its line in the catalog."""

    columns: tuple[str, ...]
    """Metrics of the tables; the first is the one that one looks at first."""
    averages: tuple[str, ...] = ("all",)
    """Ways to average that are shown, the preferred one first; `all` where there is but one."""
    counts: tuple[str, ...] = ()
    """Metrics that are numbers of things, not fractions."""
    lists: Mapping[str, tuple[Listed, ...]] = field(default_factory=dict)
    """What the values of each list in the section stand for."""

    def is_count(self, figure: str) -> bool:
        """Whether a figure is a number of things; `count` is that of errors."""
        return figure == "count" or figure in self.counts


@runtime_checkable
class Metric(Protocol):
    """Sees every video once, then says what it measured.

    A class like this and a line in `catalog.py` are a metric: options, help, tables, JSON, comparison and confidence
    intervals follow.
    """

    about: ClassVar[About]

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None: ...

    def add(self, overlap: VideoOverlap) -> None:
        """Measure one video; they come by ascending id."""
        ...

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Metrics with each video counted as often as its weight says, by default once."""
        ...

    def section(self) -> dict[str, Any]:
        """What the Score JSON has under the word of the metric: metrics and objects of metrics by name, objects of such
        objects (`per_class`), and the lists of `lists`."""
        ...


def number(value: float) -> float | None:
    """None for NaN."""
    return None if np.isnan(value) else float(value)


def numbers(metrics: Mapping[str, Float[np.ndarray, " n"]], sample: int = 0) -> dict[str, float | None]:
    """The metrics of one sample."""
    return {name: number(values[sample]) for name, values in metrics.items()}


def by_class_name(per_class: Mapping[int, Metrics], categories: Mapping[int, str]) -> dict[str, Any]:
    """Class names as keys; those that two classes share get their id."""
    names = list(categories.values())
    keys = {label: name if names.count(name) == 1 else f"{name} ({label})" for label, name in categories.items()}
    return {keys[label]: numbers(metrics) for label, metrics in per_class.items()}
