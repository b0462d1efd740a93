"""Every metric by the word that is typed for it and that stands in the Score JSON; the first is the default.

This module imports nothing heavy, so that help texts can be made from it; a metric's own file is imported when it is
used.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskreel.evaluation.metric import About, Metric


@dataclass(frozen=True)
class Entry:
    """A metric for the help text, and where its class is."""

    home: str
    """MODULE:CLASS in this package."""
    title: str
    """What it measures, a phrase."""
    uses_scores: bool = False
    """Whether scores of predictions matter."""

    def load(self) -> "type[Metric]":
        module, _, name = self.home.partition(":")
        return getattr(import_module(f"maskreel.evaluation.{module}"), name)


METRICS = {
    "ap": Entry("average_precision:AveragePrecisionMeter", "average precision and recall", uses_scores=True),
    "hota": Entry("hota:HOTAMeter", "higher order tracking accuracy"),
    "clear": Entry("clear:CLEARMeter", "misses, false detections and switches of identity"),
    "identity": Entry("identity:IdentityMeter", "detections that keep their identity"),
    "trackmap": Entry("track_map:TrackMAPMeter", "average precision as tracking benchmarks have it", uses_scores=True),
    "jf": Entry("j_and_f:JAndFMeter", "region similarity and boundary accuracy"),
    "consistency": Entry("consistency:ConsistencyMeter", "change of mask overlap from frame to frame"),
    "temporal": Entry("temporal:TemporalMeter", "average precision by length and speed of tracks", uses_scores=True),
}

DEFAULT = next(iter(METRICS))


def about(word: str) -> "About":
    """What tables and comparisons have to know of a metric."""
    return METRICS[word].load().about


def described() -> str:
    """All words with what they stand for, for help texts."""
    return ", ".join(f"{word} ({metric.title})" for word, metric in METRICS.items())


def with_scores() -> str:
    """The metrics that look at scores, for help texts."""
    *others, last = (word for word, metric in METRICS.items() if metric.uses_scores)
    return f"{', '.join(others)} and {last}" if others else last
