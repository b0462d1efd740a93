"""Matching of the predicted with the true tracks of one video, by falling score.

Axes: range of tracks a (by their area, or by whatever else a metric tells tracks apart), IoU threshold t, prediction d,
true track g.
"""

from dataclasses import dataclass, replace
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.evaluation.overlap import VideoOverlap
from maskreel.kernels.compiled import compiled

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


def table_of(overlap: VideoOverlap, *, is_id_0_unseen: bool = False) -> VideoTable:
    """Size ranges by the areas that the ground truth states, and those measured of the predictions.

    With `is_id_0_unseen`, as in the reference evaluator, a match is known by the id of the true track: 0 means none.
    """
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
        truth_is_unseen=np.array([is_id_0_unseen and track.id == 0 for track in overlap.truth], dtype=bool),
        predicted_is_unseen=np.zeros(len(overlap.predicted), dtype=bool),
    )


def with_ranges(table: VideoTable, truth: Bool[np.ndarray, "a g"], predicted: Bool[np.ndarray, "a d"]) -> VideoTable:
    """The table under other ranges than those of size: which tracks lie in each; the others are ignored."""
    return replace(table, truth_ignored=table.is_crowd | ~truth, predicted_outside=~predicted)


def mean_area(areas: Any) -> float:
    """Mean over the frames in which a track has pixels."""
    present = [area for area in areas if area]
    return float(np.mean(present)) if present else 0.0


def _outside(areas: Float[np.ndarray, " n"]) -> Bool[np.ndarray, "a n"]:
    low, high = np.array(AREA_RANGES).T[:, :, None]
    return (areas < low) | (areas > high)


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoMatches:
    """Outcome of the predictions of one class (or of all) in one video, by falling score; positions are the table's.

    `matched` is the true track taken, -1 for none; `num_truth` counts the true tracks of a range.
    """

    video: int
    score: Float[np.ndarray, " d"]
    predicted: Int[np.ndarray, " d"]
    matched: Int[np.ndarray, "a t d"]
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
            as_bytes(truth_ignored),
            len(truth_ignored),
            as_bytes(table.is_crowd[truth] & rules.crowd_takes_many),
            as_bytes(table.predicted_is_unseen[order]),
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


def as_bytes(flags: Bool[np.ndarray, "..."]) -> np.ndarray:
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
