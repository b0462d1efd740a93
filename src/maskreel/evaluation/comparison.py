"""Differences of two Score JSONs: figure by figure, class by class, video by video."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskreel.data.records import read_document
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.catalog import METRICS, about
from maskreel.evaluation.report import rows_of

_CLASSES = ("per_category", "per_class")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure in both files, as fractions; None where a file has nothing to measure or lacks it."""

    metric: str
    group: str
    item: str
    """Class or video; empty for metrics over everything."""
    figure: str
    before: int | float | None
    after: int | float | None

    @property
    def change(self) -> int | float | None:
        return None if self.before is None or self.after is None else self.after - self.before


def read_scores(path: Path) -> dict[str, Any]:
    """A Score JSON, as `score --json` and a run's metrics.json hold it; DataError for anything else."""
    report, _ = read_document(path, unreadable=UsageError)
    if not isinstance(report, dict) or not any(isinstance(report.get(word), dict) for word in METRICS):
        raise DataError(f"{path}: no Score JSON; write one with maskreel score GT PRED --json PATH")
    return report


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every figure of either file, in their order."""
    metrics = [_metrics(report) for report in (before, after)]
    return [
        Difference(
            metric=key[0],
            group=key[1],
            item=key[2],
            figure=key[3],
            before=metrics[0].get(key),
            after=metrics[1].get(key),
        )
        for key in dict.fromkeys((*metrics[0], *metrics[1]))
    ]


def headline(metric: str) -> str:
    """The figure of a metric that one looks at first."""
    return about(metric).columns[0]


def overall(found: list[Difference]) -> list[Difference]:
    """Metrics over everything, in the ways to average that a metric shows."""
    return [one for one in found if not one.item and one.group in about(one.metric).averages]


def headlines(found: list[Difference]) -> list[Difference]:
    """The first figure of each metric that a file measures, in the preferred way to average."""
    main = {(one.metric, one.group): one for one in overall(found) if one.figure == headline(one.metric)}
    first: dict[str, Difference] = {}
    for word in METRICS:
        for group in about(word).averages if word in {one.metric for one in found} else ():
            if (word, group) in main:
                first.setdefault(word, main[word, group])
    return list(first.values())


def by_item(found: list[Difference], metric: str, *, of_videos: bool) -> list[Difference]:
    """The headline figure of each class or video, the largest loss first, those without a change last."""
    groups = ("per_video",) if of_videos else _CLASSES
    items = [one for one in found if one.metric == metric and one.group in groups and one.figure == headline(metric)]
    return sorted(items, key=lambda one: (one.change is None, one.change or 0.0))


def _metrics(report: Mapping[str, Any]) -> dict[tuple[str, str, str, str], int | float | None]:
    known = {word: report[word] for word in METRICS if isinstance(report.get(word), dict)}
    try:
        return {row[:4]: row[4] for row in rows_of(known)}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"not the layout of a Score JSON ({error!r})") from error
