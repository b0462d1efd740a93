"""Average precision and recall of video instance segmentation, as the YouTube-VIS evaluation defines them.

Each prediction of a class takes the best true track of its class and video, in the order of falling scores; precision
is averaged over 101 recall levels, ten IoU thresholds and the classes that have objects.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from maskreel.data.tracks import AnnotatedTrack, GroundTruth
from maskreel.errors import DataError
from maskreel.evaluation.matching import (
    AREA_RANGES,
    MatchingRules,
    VideoMatches,
    VideoTable,
    match,
    match_class,
    table_of,
)
from maskreel.evaluation.metric import About, Groups, Metrics, number, numbers
from maskreel.evaluation.overlap import VideoOverlap, measure
from maskreel.evaluation.precision import ClassMetrics, Matches, class_mean, join, metrics_of
from maskreel.evaluation.results import Predictions

LIMITS = (1, 10, 100)
"""Predictions that count per video and class, best scores first."""
RULES = MatchingRules(thresholds=tuple(np.linspace(0.5, 0.95, 10).tolist()), limit=LIMITS[-1])
STAT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
CATEGORY_NAMES = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "APs", "APm", "APl")
OCCLUSION_NAMES = ("AP_light", "AP_medium", "AP_heavy", "AR_light", "AR_medium", "AR_heavy")

THRESHOLDS = tuple(f"{threshold:.2f}" for threshold in RULES.thresholds)
"""IoU thresholds, as they are written."""

POOLED = -1
"""Stands for a class id where classes are ignored."""
_AP75 = 5
_OCCLUSION_SCORES = {"no_occlusion": 0.0, "slight_occlusion": 0.25, "severe_occlusion": 0.75}
_OCCLUSION_RANGES = ((0.0, 0.25), (0.25, 0.5), (0.5, 1.0))


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """Metrics as fractions; None where nothing can be measured."""

    stats: dict[str, float | None]
    """The twelve metrics by the names of `STAT_NAMES`."""
    ap_per_iou: tuple[float | None, ...]
    ar100_per_iou: tuple[float | None, ...]
    per_category: dict[int, dict[str, float | None]]
    """The metrics of `CATEGORY_NAMES` by class id."""
    class_agnostic: dict[str, float | None]
    """The twelve metrics with classes ignored."""
    occlusion: dict[str, float | None] | None
    """The metrics of `OCCLUSION_NAMES`, where the ground truth has labels of occlusion."""

    def to_json(self) -> dict[str, Any]:
        """Names and layout of the Score JSON."""
        report = {
            **self.stats,
            "ap_per_iou": list(self.ap_per_iou),
            "ar100_per_iou": list(self.ar100_per_iou),
            "per_category": {str(category): metrics for category, metrics in self.per_category.items()},
            "stat_names": list(STAT_NAMES),
            "class_agnostic_stats": [self.class_agnostic[name] for name in STAT_NAMES],
        }
        return report if self.occlusion is None else {**report, "occlusion": self.occlusion}


def average_precision(
    ground_truth: GroundTruth, predictions: Predictions, *, strict_reference: bool = False
) -> AveragePrecision:
    """Measure predictions held in memory or read from files; raises RleError for a malformed mask."""
    meter = AveragePrecisionMeter(ground_truth, strict_reference=strict_reference)
    for overlap in measure(ground_truth, predictions, strict_reference=strict_reference):
        meter.add(overlap)
    return meter.result()


class AveragePrecisionMeter:
    """Collects matches video by video."""

    about: ClassVar[About] = About(
        columns=STAT_NAMES,
        lists={
            "ap_per_iou": tuple(("per_iou", threshold, "AP") for threshold in THRESHOLDS),
            "ar100_per_iou": tuple(("per_iou", threshold, "AR100") for threshold in THRESHOLDS),
            "class_agnostic_stats": tuple(("class_agnostic", "", name) for name in STAT_NAMES),
        },
    )

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None:
        self.strict_reference = strict_reference
        self.categories = list(ground_truth.class_names)
        self.num_videos = len(ground_truth.videos)
        self.has_occlusion = any(
            track.occlusion is not None for tracks in ground_truth.tracks or () for track in tracks
        )
        self.num_areas = len(AREA_RANGES) + (len(_OCCLUSION_RANGES) if self.has_occlusion else 0)
        self.collected: dict[int, list[VideoMatches]] = defaultdict(list)

    def add(self, overlap: VideoOverlap) -> None:
        """Match the predictions of one video, class by class and with all classes pooled."""
        table = table_of(overlap, is_id_0_unseen=self.strict_reference)
        self.add_table(_with_occlusion(table, overlap.truth) if self.has_occlusion else table)

    def add_table(self, table: VideoTable) -> None:
        for label in np.union1d(table.truth_label, table.predicted_label).tolist():
            self.collected[label].append(match_class(table, RULES, label))
        if table.truth_label.size or table.predicted_label.size:
            # The reference pools class after class, which decides between predictions of equal score.
            predicted, truth = (
                np.argsort(labels, kind="stable") for labels in (table.predicted_label, table.truth_label)
            )
            self.collected[POOLED].append(match(table, RULES, predicted=predicted, truth=truth))

    def matches(self, label: int) -> Matches:
        """All predictions of a class, or of `POOLED`."""
        return join(self.collected[label], num_videos=self.num_videos, num_areas=self.num_areas, rules=RULES)

    def metrics(self, weights: Int[np.ndarray, "n v"] | None = None) -> Metrics:
        """The twelve metrics for each weighting of the videos, NaN where nothing can be measured."""
        return summarise([self._metrics(label, weights) for label in self.categories])

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        return {"": self.metrics(weights)}

    def section(self) -> dict[str, Any]:
        return self.result().to_json()

    def in_range(self, index: int) -> dict[str, float | None]:
        """The twelve metrics over the tracks of one of `AREA_RANGES` alone."""
        every = [index] * len(AREA_RANGES)
        metrics = []
        for label in self.categories:
            matches = self.matches(label)
            changes = {
                "is_match": matches.is_match[every],
                "is_ignored": matches.is_ignored[every],
                "num_truth": matches.num_truth[:, every],
            }
            metrics.append(metrics_of(replace(matches, **changes), limits=LIMITS))
        return numbers(summarise(metrics))

    def result(self) -> AveragePrecision:
        """Metrics over all videos added."""
        metrics = {label: self._metrics(label) for label in self.categories}
        overall = list(metrics.values())
        per_iou = [(one.precision[:, 0, :], one.recall[:, 0, :]) for one in overall]
        levels = range(len(RULES.thresholds))
        return AveragePrecision(
            stats=numbers(summarise(overall)),
            ap_per_iou=tuple(number(class_mean([one[:, level] for one, _ in per_iou])[0]) for level in levels),
            ar100_per_iou=tuple(number(class_mean([one[:, level] for _, one in per_iou])[0]) for level in levels),
            per_category={label: _picked(summarise([one])) for label, one in metrics.items()},
            class_agnostic=numbers(summarise([self._metrics(POOLED)])),
            occlusion=numbers(_summarise_occlusion(overall)) if self.has_occlusion else None,
        )

    def _metrics(self, label: int, weights: Int[np.ndarray, "n v"] | None = None) -> ClassMetrics:
        return metrics_of(self.matches(label), limits=LIMITS, weights=weights)


def summarise(metrics: Sequence[ClassMetrics]) -> Metrics:
    """The twelve metrics, averaged over classes."""
    sizes = list(enumerate("sml", start=1))
    return {
        "AP": class_mean([one.precision[:, 0] for one in metrics]),
        "AP50": class_mean([one.precision[:, 0, 0] for one in metrics]),
        "AP75": class_mean([one.precision[:, 0, _AP75] for one in metrics]),
        **{f"AP{size}": class_mean([one.precision[:, index] for one in metrics]) for index, size in sizes},
        **{f"AR{limit}": class_mean([one.recall_at[:, i] for one in metrics]) for i, limit in enumerate(LIMITS)},
        **{f"AR{size}": class_mean([one.recall[:, index] for one in metrics]) for index, size in sizes},
    }


def _summarise_occlusion(metrics: Sequence[ClassMetrics]) -> Metrics:
    precision = [class_mean([one.precision[:, index] for one in metrics]) for index in range(len(AREA_RANGES), 7)]
    recall = [class_mean([one.recall[:, index] for one in metrics]) for index in range(len(AREA_RANGES), 7)]
    return dict(zip(OCCLUSION_NAMES, precision + recall, strict=True))


def _with_occlusion(table: VideoTable, truth: Sequence[AnnotatedTrack]) -> VideoTable:
    """Three more ranges, of any size but of one degree of occlusion; predictions have no such degree."""
    degree = np.array([_occlusion(track) for track in truth], dtype=np.float64)
    outside = np.stack([~((degree >= low) & (degree <= high)) for low, high in _OCCLUSION_RANGES])
    everywhere = np.repeat(table.predicted_outside[:1], len(_OCCLUSION_RANGES), axis=0)
    return replace(
        table,
        truth_ignored=np.concatenate((table.truth_ignored, outside | table.truth_ignored[0])),
        predicted_outside=np.concatenate((table.predicted_outside, everywhere)),
    )


def _occlusion(track: AnnotatedTrack) -> float:
    """Mean of the upper half of the values of a track's labels; NaN, which is in no range, without labels."""
    labels = [label for label in track.occlusion or () if label is not None]
    unknown = [label for label in labels if label not in _OCCLUSION_SCORES]
    if unknown:
        raise DataError(
            f"annotation with id {track.id}: unknown occlusion label {unknown[0]!r}; "
            f"there are {', '.join(_OCCLUSION_SCORES)}"
        )
    values = sorted(_OCCLUSION_SCORES[label] for label in labels)
    upper = values[len(values) // 2 :]
    return sum(upper) / len(upper) if upper else float("nan")


def _picked(stats: Metrics) -> dict[str, float | None]:
    metrics = numbers(stats)
    return {name: metrics[name] for name in CATEGORY_NAMES}
