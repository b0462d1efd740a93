"""Precision and recall of matches over many videos.

Axes: range of tracks a, IoU threshold t, prediction d, video v, sample n (a weighting of the videos), limit l.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.evaluation.matching import MatchingRules, VideoMatches, as_bytes
from maskreel.evaluation.metric import Metrics
from maskreel.kernels.compiled import compiled

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Outcome of every prediction of one class over all videos, by falling score."""

    video: Int[np.ndarray, " d"]
    rank: Int[np.ndarray, " d"]
    """Position among the predictions of the class in its video, 0 for the best score."""
    score: Float[np.ndarray, " d"]
    is_match: Bool[np.ndarray, "a t d"]
    is_ignored: Bool[np.ndarray, "a t d"]
    num_truth: Int[np.ndarray, "v a"]
    """True tracks that count, per video."""


def join(videos: Sequence[VideoMatches], *, num_videos: int, num_areas: int, rules: MatchingRules) -> Matches:
    """One list by falling score; equal scores keep the order of the videos given."""
    num_truth = np.zeros((num_videos, num_areas), dtype=np.int64)
    for one in videos:
        num_truth[one.video] = one.num_truth
    nothing = np.zeros((num_areas, len(rules.thresholds), 0), dtype=bool)
    score = np.concatenate([np.zeros(0), *(one.score for one in videos)])
    order = np.argsort(-score, kind="stable")
    none = np.zeros(0, dtype=np.int64)
    return Matches(
        video=np.concatenate([none, *(np.full(one.score.size, one.video) for one in videos)])[order],
        rank=np.concatenate([none, *(np.arange(one.score.size) for one in videos)])[order],
        score=score[order],
        is_match=np.concatenate([nothing, *(one.is_match for one in videos)], axis=2)[:, :, order],
        is_ignored=np.concatenate([nothing, *(one.is_ignored for one in videos)], axis=2)[:, :, order],
        num_truth=num_truth,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassMetrics:
    """Precision and recall of one class for each sample; NaN where the sample has no true track in the range."""

    precision: Float[np.ndarray, "n a t"]
    """Averaged over the recall levels."""
    recall: Float[np.ndarray, "n a t"]
    """Reached with all predictions."""
    recall_at: Float[np.ndarray, "n l t"]
    """Reached with at most so many predictions per video, over all sizes."""


def metrics_of(
    matches: Matches, *, limits: Sequence[int] = (), weights: Int[np.ndarray, "n v"] | None = None
) -> ClassMetrics:
    """Metrics of one class; each row of `weights` counts every video so many times, by default once."""
    if weights is None:
        weights = np.ones((1, len(matches.num_truth)), dtype=np.int64)
    num_areas, num_thresholds, num_predicted = matches.is_match.shape
    shape = (len(weights), num_areas, num_thresholds)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    recall_at = np.full((len(weights), len(limits), num_thresholds), np.nan)
    _weigh(
        as_bytes(matches.is_match),
        as_bytes(matches.is_ignored),
        np.ascontiguousarray(matches.video),
        np.ascontiguousarray(matches.rank),
        num_predicted,
        np.ascontiguousarray(weights, dtype=np.int64),
        len(weights),
        weights.shape[1],
        np.ascontiguousarray(weights @ matches.num_truth),
        num_areas,
        num_thresholds,
        np.array(limits, dtype=np.int64),
        len(limits),
        RECALL_LEVELS,
        RECALL_LEVELS.size,
        np.empty((2, num_predicted)),
        precision,
        recall,
        recall_at,
    )
    return ClassMetrics(precision=precision, recall=recall, recall_at=recall_at)


def class_mean(rows: Sequence[Float[np.ndarray, "n ..."]]) -> Float[np.ndarray, " n"]:
    """Mean per sample over everything that can be measured."""
    if not rows:
        return np.full(1, np.nan)
    values = np.stack(rows, axis=1).reshape(len(rows[0]), -1)
    measured: Bool[np.ndarray, "n m"] = ~np.isnan(values)
    count = measured.sum(axis=1)
    return np.where(count, np.where(measured, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def by_range(metrics: Sequence[ClassMetrics], names: Sequence[str]) -> Metrics:
    """AP and AR of each range of tracks, averaged over classes: `AP_` and `AR_` before the name of the range."""
    precision = [class_mean([one.precision[:, index] for one in metrics]) for index in range(len(names))]
    recall = [class_mean([one.recall[:, index] for one in metrics]) for index in range(len(names))]
    return {
        **{f"AP_{name}": values for name, values in zip(names, precision, strict=True)},
        **{f"AR_{name}": values for name, values in zip(names, recall, strict=True)},
    }


@compiled(
    "uint8* uint8* int64* int64* int64 int64* int64 int64 int64* int64 int64 int64* int64 float64* int64 "
    "float64* float64* float64* float64* -> int64"
)
@no_type_check
def _weigh(
    is_match,
    is_ignored,
    video,
    rank,
    num_predicted,
    weights,
    num_samples,
    num_videos,
    num_truth,
    num_areas,
    num_thresholds,
    limits,
    num_limits,
    levels,
    num_levels,
    scratch,
    precision,
    recall,
    recall_at,
):
    """Fill `precision`, `recall` (sample, area, threshold) and `recall_at` (sample, limit, threshold)."""
    for sample in range(num_samples):
        for area in range(num_areas):
            total = num_truth[sample * num_areas + area]
            if total == 0:
                continue
            for threshold in range(num_thresholds):
                row = (area * num_thresholds + threshold) * num_predicted
                right, seen = 0.0, 0.0
                for index in range(num_predicted):
                    if not is_ignored[row + index]:
                        weight = weights[sample * num_videos + video[index]]
                        seen += weight
                        if is_match[row + index]:
                            right += weight
                    scratch[index] = right / total
                    scratch[num_predicted + index] = right / seen if right > 0.0 else 0.0
                # From the right: at each recall level, the best precision at that recall or beyond.
                level, best, area_under = num_levels - 1, 0.0, 0.0
                while level >= 0 and (num_predicted == 0 or levels[level] > scratch[num_predicted - 1]):
                    level -= 1
                for index in range(num_predicted - 1, -1, -1):
                    best = scratch[num_predicted + index] if scratch[num_predicted + index] > best else best
                    while level >= 0 and (index == 0 or scratch[index - 1] < levels[level]):
                        area_under += best
                        level -= 1
                cell = (sample * num_areas + area) * num_thresholds + threshold
                precision[cell] = area_under / num_levels
                recall[cell] = right / total
                if area > 0:
                    continue
                for limit in range(num_limits):
                    right = 0.0
                    for index in range(num_predicted):
                        if rank[index] < limits[limit] and is_match[row + index] and not is_ignored[row + index]:
                            right += weights[sample * num_videos + video[index]]
                    recall_at[(sample * num_limits + limit) * num_thresholds + threshold] = right / total
    return 0
