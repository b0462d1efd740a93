"""All metrics of two files in one pass, as the Score JSON has them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.catalog import DEFAULT, METRICS, about
from maskreel.evaluation.errors import EXPLAINED, ErrorMeter
from maskreel.evaluation.metric import Groups, Metric, number, numbers
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.results import Predictions

CONFIDENCE = (2.5, 97.5)
"""Percentiles of the bootstrap that bound the confidence interval."""
_BLOCK = 256
"""Weightings of the videos that are worked on at once."""

Row = tuple[str, str, str, str, float | None, float | None, float | None]
"""metric, group, item, figure, value, and the bounds of its confidence interval."""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What to measure, and how finely to report it."""

    metrics: tuple[str, ...] = (DEFAULT,)
    """Words of the catalog."""
    per_video: bool = False
    bootstrap: int = 0
    """Resamplings of the videos for confidence intervals; 0 for none."""
    errors: bool = False
    """Explain the AP that is missing."""
    strict_reference: bool = False


def score(ground_truth: GroundTruth, predictions: Predictions, options: ScoreOptions) -> dict[str, Any]:
    """The Score JSON: fractions, None where nothing can be measured."""
    strict = options.strict_reference
    meters = {
        word: METRICS[word].load()(ground_truth, predictions, strict_reference=strict) for word in options.metrics
    }
    errors = ErrorMeter(ground_truth) if options.errors else None
    for overlap in measure(ground_truth, predictions, strict_reference=strict):
        for meter in meters.values():
            meter.add(overlap)
        if errors is not None:
            errors.add(overlap)
    report = {word: meter.section() for word, meter in meters.items()}
    for word, meter in meters.items():
        if options.bootstrap:
            report[word]["confidence"] = _confidence(meter, len(ground_truth.videos), options.bootstrap)
        if options.per_video:
            report[word]["per_video"] = _per_video(meter, sorted(video.id for video in ground_truth.videos))
    if errors is not None:
        report.setdefault(EXPLAINED, {})["errors"] = {kind: asdict(cost) for kind, cost in errors.result().items()}
    return report


def _confidence(meter: Metric, num_videos: int, samples: int) -> dict[str, Any]:
    """Bounds of each figure over resamplings of the videos with replacement; always the same resamplings."""
    rng = np.random.default_rng(0)

    def resamplings() -> Iterator[Int[np.ndarray, "n v"]]:
        for first in range(0, samples, _BLOCK):
            drawn = rng.integers(num_videos, size=(min(_BLOCK, samples - first), num_videos))
            yield np.stack([np.bincount(row, minlength=num_videos) for row in drawn])

    bounds: dict[str, Any] = {}
    for group, metrics in _collect(meter, resamplings() if num_videos else iter(())).items():
        known = {name: values[~np.isnan(values)] for name, values in metrics.items()}
        bounds[group] = {
            name: [number(np.percentile(values, bound)) for bound in CONFIDENCE] if values.size else [None, None]
            for name, values in known.items()
        }
    return bounds.get("", bounds)


def _per_video(meter: Metric, ids: list[int]) -> dict[str, dict[str, float | None]]:
    """Metrics of each video on its own, by its id."""
    everyone = np.arange(len(ids))
    alone = (
        (everyone == everyone[first : first + _BLOCK, None]).astype(np.int64) for first in range(0, len(ids), _BLOCK)
    )
    metrics = _collect(meter, alone).get(_group(meter.about.averages[0]), {})
    return {str(video): numbers(metrics, index) for index, video in enumerate(ids)}


def _collect(meter: Metric, weightings: Iterator[Int[np.ndarray, "n v"]]) -> Groups:
    parts = [meter.groups(weights) for weights in weightings]
    if not parts:
        return {}
    return {
        group: {name: np.concatenate([part[group][name] for part in parts]) for name in metrics}
        for group, metrics in parts[0].items()
    }


def _group(average: str) -> str:
    """Key of `Metric.groups` for a way to average."""
    return "" if average == "all" else average


def rows_of(report: dict[str, Any]) -> Iterator[Row]:
    """The report as one table, for spreadsheets."""
    for word, section in report.items():
        lists = about(word).lists
        bounds = section.get("confidence", {})
        for name, value in section.items():
            if value is None or isinstance(value, float):
                yield (word, "all", "", name, value, *bounds.get(name, (None, None)))
            elif name in lists:
                for (group, item, figure), one in zip(lists[name], value, strict=True):
                    yield word, group, item, figure, one, None, None
            elif isinstance(value, dict) and name != "confidence":
                for key, one in value.items():
                    if one is None or isinstance(one, float):
                        yield (word, name, "", key, one, *bounds.get(name, {}).get(key, (None, None)))
                    else:
                        yield from ((word, name, key, figure, each, None, None) for figure, each in one.items())
