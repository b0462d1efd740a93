"""Matching of predicted with true tracks by falling score, and precision and recall over many videos.

Axes: area range a, IoU threshold t, prediction d, true track g, video v, sample n (a weighting of the videos).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.evaluation.overlap import VideoOverlap
from maskreel.kernels.compiled import compiled

RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
AREA_RANGES = ((0.0, 1e10), (0.0, 128.0**2), (128.0**2, 256.0**2), (256.0**2, 1e10))
"""Mean area of a track in pixels: all, small, medium, large; both ends belong to a range."""


@dataclass(frozen=True, kw_only=True)
class MatchingRules:
    """What the evaluators of the field do differently."""

    thresholds: tuple[float, ...]
    """IoU from which on a prediction may take a true track."""
    tolerance: float = 0.0
    """Subtracted from every IoU bound."""
    crowd_takes_many: bool = True
    """Whether a crowd track absorbs any number of predictions, or one like any other track."""
    limit: int | None = None
    """Predictions that count per video and class, best scores first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoTable:
    """What matching has to know of one video."""

    video: int
    """Position among the videos."""
    scores: Float[np.ndarray, " d"]
    predicted_label: Int[np.ndarray, " d"]
    truth_label: Int[np.ndarray, " g"]
    iou: Float[np.ndarray, "d g"]
    is_crowd: Bool[np.ndarray, " g"]
    truth_ignored: Bool[np.ndarray, "a g"]
    """Crowd, or outside of the range."""
    predicted_outside: Bool[np.ndarray, "a d"]
    truth_is_unseen: Bool[np.ndarray, " g"]
    """Matches with these pass for none, a fault of reference evaluators."""
    predicted_is_unseen: Bool[np.ndarray, " d"]
    """What these take can be taken again, a fault of reference evaluators."""

    def select(self, predicted: Int[np.ndarray, " x"], truth: Int[np.ndarray, " y"]) -> "VideoTable":
        """Some of the tracks, in the order given."""
        return replace(
            self,
            scores=self.scores[predicted],
            predicted_label=self.predicted_label[predicted],
            truth_label=self.truth_label[truth],
            iou=self.iou[np.ix_(predicted, truth)],
            is_crowd=self.is_crowd[truth],
            truth_ignored=self.truth_ignored[:, truth],
            predicted_outside=self.predicted_outside[:, predicted],
            truth_is_unseen=self.truth_is_unseen[truth],
            predicted_is_unseen=self.predicted_is_unseen[predicted],
        )


def table_of(overlap: VideoOverlap) -> VideoTable:
    """Size ranges by the areas that the ground truth states, and those measured of the predictions."""
    stated = [
        mean_area(measured if track.areas is None else track.areas)
        for track, measured in zip(overlap.truth, overlap.truth_areas, strict=True)
    ]
    is_crowd = np.array([track.is_crowd for track in overlap.truth], dtype=bool)
    measured = overlap.predicted_areas
    mean = measured.sum(axis=1) / np.maximum((measured > 0).sum(axis=1), 1)
    return VideoTable(
        video=overlap.video_index,
        scores=overlap.scores,
        predicted_label=overlap.predicted_label,
        truth_label=overlap.truth_label,
        iou=overlap.iou,
        is_crowd=is_crowd,
        truth_ignored=is_crowd | _outside(np.array(stated, dtype=np.float64)),
        predicted_outside=_outside(mean),
        truth_is_unseen=np.zeros(len(overlap.truth), dtype=bool),
        predicted_is_unseen=np.zeros(len(overlap.predicted), dtype=bool),
    )


def mean_area(areas: Any) -> float:
    """Mean over the frames in which a track has pixels."""
    present = [area for area in areas if area]
    return float(np.mean(present)) if present else 0.0


def _outside(areas: Float[np.ndarray, " n"]) -> Bool[np.ndarray, "a n"]:
    low, high = np.array(AREA_RANGES).T[:, :, None]
    return (areas < low) | (areas > high)


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoMatches:
    """Outcome of the predictions of one class (or of all) in one video, by falling score; positions are the table's."""

    video: int
    score: Float[np.ndarray, " d"]
    predicted: Int[np.ndarray, " d"]
    matched: Int[np.ndarray, "a t d"]
    """The true track taken, -1 for none."""
    is_match: Bool[np.ndarray, "a t d"]
    is_ignored: Bool[np.ndarray, "a t d"]
    num_truth: Int[np.ndarray, " a"]


def match(
    table: VideoTable, rules: MatchingRules, *, predicted: Int[np.ndarray, " d"], truth: Int[np.ndarray, " g"]
) -> VideoMatches:
    """Each of these predictions, by falling score, takes the best free one of these true tracks.

    A track that counts goes before an ignored one. `predicted` and `truth` are positions in the table.
    """
    order = predicted[np.argsort(-table.scores[predicted], kind="stable")[: rules.limit]]
    is_outside = table.predicted_outside[:, None, order]
    shape = (len(is_outside), len(rules.thresholds), len(order))
    matched = np.full(shape, -1, dtype=np.int64)
    is_match, is_ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    truth_ignored = table.truth_ignored[:, truth]
    if truth.size and order.size:
        _match(
            np.ascontiguousarray(table.iou[np.ix_(order, truth)]),
            len(order),
            truth.size,
            _bytes(truth_ignored),
            len(truth_ignored),
            _bytes(table.is_crowd[truth] & rules.crowd_takes_many),
            _bytes(table.predicted_is_unseen[order]),
            np.minimum(rules.thresholds, 1 - 1e-10),
            len(rules.thresholds),
            np.array([rules.tolerance]),
            np.zeros(truth.size, dtype=np.uint8),
            matched,
        )
        taken = truth[np.maximum(matched, 0)]
        is_taken = matched >= 0
        matched = np.where(is_taken, taken, -1)
        is_ignored = is_taken & np.take_along_axis(table.truth_ignored[:, None], taken, axis=2)
        is_match = is_taken & ~table.truth_is_unseen[taken]
    is_ignored |= ~is_match & is_outside
    return VideoMatches(
        video=table.video,
        score=table.scores[order],
        predicted=order,
        matched=matched,
        is_match=is_match,
        is_ignored=is_ignored,
        num_truth=(~truth_ignored).sum(axis=1),
    )


def match_class(table: VideoTable, rules: MatchingRules, label: int) -> VideoMatches:
    """The predictions of one class with the true tracks of that class."""
    predicted, truth = np.flatnonzero(table.predicted_label == label), np.flatnonzero(table.truth_label == label)
    return match(table, rules, predicted=predicted, truth=truth)


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
class ClassFigures:
    """Precision and recall of one class for each sample; NaN where the sample has no true track in the range."""

    precision: Float[np.ndarray, "n a t"]
    """Averaged over the recall levels."""
    recall: Float[np.ndarray, "n a t"]
    """Reached with all predictions."""
    recall_at: Float[np.ndarray, "n l t"]
    """Reached with at most so many predictions per video, over all sizes."""


def figures_of(
    matches: Matches, *, limits: Sequence[int] = (), weights: Int[np.ndarray, "n v"] | None = None
) -> ClassFigures:
    """Figures of one class; each row of `weights` counts every video so many times, by default once."""
    if weights is None:
        weights = np.ones((1, len(matches.num_truth)), dtype=np.int64)
    num_areas, num_thresholds, num_predicted = matches.is_match.shape
    shape = (len(weights), num_areas, num_thresholds)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    recall_at = np.full((len(weights), len(limits), num_thresholds), np.nan)
    _weigh(
        _bytes(matches.is_match),
        _bytes(matches.is_ignored),
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
    return ClassFigures(precision=precision, recall=recall, recall_at=recall_at)


def _bytes(flags: Bool[np.ndarray, "..."]) -> np.ndarray:
    return np.ascontiguousarray(flags).view(np.uint8)


@compiled("float64* int64 int64 uint8* int64 uint8* uint8* float64* int64 float64* uint8* int64* -> int64")
@no_type_check
def _match(
    iou,
    num_predicted,
    num_truth,
    ignored,
    num_areas,
    takes_many,
    is_unseen,
    thresholds,
    num_thresholds,
    tolerance,
    taken,
    matched,
):
    """Position of the true track that each prediction takes, in the order of the predictions; -1 stays for none."""
    for area in range(num_areas):
        for level in range(num_thresholds):
            for truth in range(num_truth):
                taken[truth] = 0
            for prediction in range(num_predicted):
                best, bound = -1, thresholds[level]
                for is_ignored in range(2):
                    # Ignored tracks are looked at only when no other one fits.
                    if best >= 0:
                        break
                    for truth in range(num_truth):
                        if ignored[area * num_truth + truth] != is_ignored or (taken[truth] and not takes_many[truth]):
                            continue
                        if iou[prediction * num_truth + truth] >= bound - tolerance[0]:
                            bound = iou[prediction * num_truth + truth]
                            best = truth
                if best >= 0:
                    if not is_unseen[prediction]:
                        taken[best] = 1
                    matched[(area * num_thresholds + level) * num_predicted + prediction] = best
    return 0


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
