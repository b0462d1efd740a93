"""Average precision and recall of video instance segmentation, as the YouTube-VIS evaluation defines them.

Each prediction of a class takes the best true track of its class and video, in the order of falling scores; precision
is averaged over 101 recall levels, ten IoU thresholds and the classes that have objects.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.evaluation.overlap import VideoOverlap, measure
from maskreel.evaluation.results import GroundTruth, Predictions
from maskreel.geometry.runs import compiled

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
AREA_RANGES = ((0.0, 1e10), (0.0, 128.0**2), (128.0**2, 256.0**2), (256.0**2, 1e10))
"""Mean area of a track in pixels: all, small, medium, large; both ends belong to a range."""
LIMITS = (1, 10, 100)
"""Predictions that count per video and class, best scores first."""
STAT_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
CATEGORY_NAMES = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "APs", "APm", "APl")

_AP75 = 5
POOLED = -1
"""Stands for a class id where classes are ignored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Outcome of every prediction (d, by falling score) of a class over all videos (v).

    Axes: area range (a), IoU threshold (t).
    """

    video: Int[np.ndarray, " d"]
    rank: Int[np.ndarray, " d"]
    """Position among the predictions of the class in its video, 0 for the best score."""
    score: Float[np.ndarray, " d"]
    is_match: Bool[np.ndarray, "a t d"]
    is_ignored: Bool[np.ndarray, "a t d"]
    num_truth: Int[np.ndarray, "v a"]
    """True tracks that count, per video."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassFigures:
    """Measures of one class; NaN where it has no objects in the range."""

    precision: Float[np.ndarray, "a t"]
    recall: Float[np.ndarray, "a t"]
    recall_at: dict[int, Float[np.ndarray, " t"]]
    """Recall with at most so many predictions per video."""


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """Figures as fractions; None where nothing can be measured."""

    stats: dict[str, float | None]
    """The twelve figures by the names of `STAT_NAMES`."""
    ap_per_iou: tuple[float | None, ...]
    ar100_per_iou: tuple[float | None, ...]
    per_category: dict[int, dict[str, float | None]]
    """The figures of `CATEGORY_NAMES` by class id."""
    class_agnostic: dict[str, float | None]
    """The twelve figures with classes ignored."""

    def to_json(self) -> dict[str, Any]:
        """Names and layout of the Score JSON."""
        return {
            **self.stats,
            "ap_per_iou": list(self.ap_per_iou),
            "ar100_per_iou": list(self.ar100_per_iou),
            "per_category": {str(category): figures for category, figures in self.per_category.items()},
            "stat_names": list(STAT_NAMES),
            "class_agnostic_stats": [self.class_agnostic[name] for name in STAT_NAMES],
        }


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

    def __init__(self, ground_truth: GroundTruth, *, strict_reference: bool = False) -> None:
        self.strict_reference = strict_reference
        self.categories = sorted(ground_truth.categories)
        self.num_videos = len(ground_truth.videos)
        self.collected: dict[int, list[_VideoMatches]] = defaultdict(list)

    def add(self, overlap: VideoOverlap) -> None:
        """Match the predictions of one video, class by class and with all classes pooled."""
        ranges = _AreaRanges(overlap, strict_reference=self.strict_reference)
        for label in np.union1d(overlap.truth_label, overlap.predicted_label).tolist():
            truth, predicted = (
                np.flatnonzero(overlap.truth_label == label),
                np.flatnonzero(overlap.predicted_label == label),
            )
            self.collected[label].append(_match_video(overlap, truth, predicted, ranges))
        # The reference pools class after class, which decides between predictions of equal score.
        truth = np.argsort(overlap.truth_label, kind="stable")
        predicted = np.argsort(overlap.predicted_label, kind="stable")
        if truth.size or predicted.size:
            self.collected[POOLED].append(_match_video(overlap, truth, predicted, ranges))

    def matches(self, label: int) -> Matches:
        """All predictions of a class, or of `POOLED`."""
        return _join(self.collected[label], self.num_videos)

    def result(self) -> AveragePrecision:
        """Figures over all videos added."""
        figures = {label: figures_of(self.matches(label)) for label in self.categories}
        overall, pooled = list(figures.values()), figures_of(self.matches(POOLED))
        return AveragePrecision(
            stats=summarise(overall),
            ap_per_iou=_per_threshold([one.precision[0] for one in overall]),
            ar100_per_iou=_per_threshold([one.recall[0] for one in overall]),
            per_category={label: _pick(summarise([one]), CATEGORY_NAMES) for label, one in figures.items()},
            class_agnostic=summarise([pooled]),
        )


def figures_of(matches: Matches, weights: Int[np.ndarray, " v"] | None = None) -> ClassFigures:
    """Average precision (over recall levels) and recall of one class; `weights` counts each video so many times."""
    num_ranges, num_thresholds, _ = matches.is_match.shape
    precision = np.full((num_ranges, num_thresholds), np.nan)
    recall = np.full((num_ranges, num_thresholds), np.nan)
    recall_at = {limit: np.full(num_thresholds, np.nan) for limit in LIMITS}
    for index in range(num_ranges):
        num_truth = matches.num_truth[:, index]
        total = int(num_truth.sum() if weights is None else num_truth @ weights)
        if not total:
            continue
        hits, misses = _hits(matches, index, weights)
        precision[index], recall[index] = _precision_and_recall(hits, misses, total)
        if index == 0:
            recall_at = {limit: hits[:, matches.rank < limit].sum(axis=1) / total for limit in LIMITS}
    return ClassFigures(precision=precision, recall=recall, recall_at=recall_at)


def summarise(figures: Sequence[ClassFigures]) -> dict[str, float | None]:
    """The twelve figures, averaged over classes."""
    values = {
        "AP": [one.precision[0] for one in figures],
        "AP50": [one.precision[0, :1] for one in figures],
        "AP75": [one.precision[0, _AP75 : _AP75 + 1] for one in figures],
        **{f"AP{size}": [one.precision[i] for one in figures] for i, size in enumerate("sml", start=1)},
        **{f"AR{limit}": [one.recall_at[limit] for one in figures] for limit in LIMITS},
        **{f"AR{size}": [one.recall[i] for one in figures] for i, size in enumerate("sml", start=1)},
    }
    return {name: _mean(rows) for name, rows in values.items()}


class _AreaRanges:
    """Which tracks of a video are outside of each area range (a), and which true tracks are ignored."""

    def __init__(self, overlap: VideoOverlap, *, strict_reference: bool) -> None:
        stated = [
            _mean_area(measured if track.areas is None else track.areas)
            for track, measured in zip(overlap.truth, overlap.truth_areas, strict=True)
        ]
        is_crowd = np.array([track.is_crowd for track in overlap.truth], dtype=bool)
        self.is_crowd = is_crowd
        self.truth_ignored = is_crowd | _outside(np.array(stated, dtype=np.float64))
        self.predicted_outside = _outside(
            np.array([_mean_area(areas) for areas in overlap.predicted_areas], dtype=np.float64)
        )
        # The reference marks a match by the id of the true track, so that a match with id 0 passes for none.
        self.is_blind = np.array([strict_reference and track.id == 0 for track in overlap.truth], dtype=bool)


def _outside(areas: Float[np.ndarray, " n"]) -> Bool[np.ndarray, "a n"]:
    low, high = np.array(AREA_RANGES).T[:, :, None]
    return (areas < low) | (areas > high)


def _mean_area(areas: Any) -> float:
    """Mean over the frames in which a track has pixels."""
    present = [area for area in areas if area]
    return float(np.mean(present)) if present else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _VideoMatches:
    video: int
    score: Float[np.ndarray, " d"]
    is_match: Bool[np.ndarray, "a t d"]
    is_ignored: Bool[np.ndarray, "a t d"]
    num_truth: Int[np.ndarray, " a"]


def _match_video(
    overlap: VideoOverlap, truth: Int[np.ndarray, " g"], predicted: Int[np.ndarray, " d"], ranges: _AreaRanges
) -> _VideoMatches:
    """Match some predictions of a video, the best hundred by score, with some of its true tracks."""
    predicted = predicted[np.argsort(-overlap.scores[predicted], kind="stable")][: LIMITS[-1]]
    truth_ignored = ranges.truth_ignored[:, truth]
    shape = (len(AREA_RANGES), len(THRESHOLDS), len(predicted))
    matched = np.full(shape, -1, dtype=np.int64)
    if truth.size:
        iou = np.ascontiguousarray(overlap.iou[np.ix_(predicted, truth)])
        _match(iou, truth_ignored, ranges.is_crowd[truth], np.minimum(THRESHOLDS, 1 - 1e-10), matched)
    is_match = matched >= 0
    is_ignored = np.zeros(shape, dtype=bool)
    if truth.size:
        taken = np.maximum(matched, 0)
        is_ignored = is_match & np.take_along_axis(truth_ignored[:, None], taken, axis=2)
        is_match &= ~ranges.is_blind[truth][taken]
    is_ignored |= ~is_match & ranges.predicted_outside[:, None, predicted]
    return _VideoMatches(
        video=overlap.video_index,
        score=overlap.scores[predicted],
        is_match=is_match,
        is_ignored=is_ignored,
        num_truth=(~truth_ignored).sum(axis=1),
    )


@compiled
@no_type_check
def _match(iou, truth_ignored, is_crowd, thresholds, matched):
    """Position of the true track that each prediction takes, in the order of the predictions; -1 stays for none."""
    num_predicted, num_truth = iou.shape
    for area in range(len(truth_ignored)):
        ignored = truth_ignored[area]
        for level in range(len(thresholds)):
            is_taken = np.zeros(num_truth, np.bool_)
            for prediction in range(num_predicted):
                best, bound = -1, thresholds[level]
                for counts_only in (True, False):
                    # Ignored tracks are looked at only when no other one fits.
                    if best >= 0:
                        break
                    for truth in range(num_truth):
                        if ignored[truth] == counts_only or (is_taken[truth] and not is_crowd[truth]):
                            continue
                        if iou[prediction, truth] >= bound:
                            bound = iou[prediction, truth]
                            best = truth
                if best >= 0:
                    is_taken[best] = True
                    matched[area, level, prediction] = best


def _join(videos: Sequence[_VideoMatches], num_videos: int) -> Matches:
    num_truth = np.zeros((num_videos, len(AREA_RANGES)), dtype=np.int64)
    for one in videos:
        num_truth[one.video] = one.num_truth
    shape = (len(AREA_RANGES), len(THRESHOLDS), 0)
    empty = _VideoMatches(
        video=0,
        score=np.zeros(0),
        is_match=np.zeros(shape, dtype=bool),
        is_ignored=np.zeros(shape, dtype=bool),
        num_truth=num_truth[0] if num_videos else np.zeros(len(AREA_RANGES), dtype=np.int64),
    )
    parts = [empty, *videos]
    score = np.concatenate([one.score for one in parts])
    order = np.argsort(-score, kind="stable")
    return Matches(
        video=np.concatenate([np.full(one.score.size, one.video) for one in parts])[order],
        rank=np.concatenate([np.arange(one.score.size) for one in parts])[order],
        score=score[order],
        is_match=np.concatenate([one.is_match for one in parts], axis=2)[:, :, order],
        is_ignored=np.concatenate([one.is_ignored for one in parts], axis=2)[:, :, order],
        num_truth=num_truth,
    )


def _hits(
    matches: Matches, index: int, weights: Int[np.ndarray, " v"] | None
) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, "t d"]]:
    """Right and wrong predictions of one area range; ignored ones are neither."""
    counts = ~matches.is_ignored[index]
    weight = 1.0 if weights is None else weights[matches.video].astype(np.float64)
    return (matches.is_match[index] & counts) * weight, (~matches.is_match[index] & counts) * weight


def _precision_and_recall(
    hits: Float[np.ndarray, "t d"], misses: Float[np.ndarray, "t d"], total: int
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Precision averaged over the recall levels, those never reached counting 0, and the recall reached."""
    if not hits.shape[1]:
        return np.zeros(len(hits)), np.zeros(len(hits))
    right, wrong = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
    recall = right / total
    precision = right / np.maximum(right + wrong, 1.0)
    # Monotone from the right: at each recall, the best precision at that recall or beyond.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.concatenate((envelope, np.zeros((len(hits), 1))), axis=1)
    reached = [np.searchsorted(row, RECALL_LEVELS, side="left") for row in recall]
    average = np.array([row[at].mean() for row, at in zip(envelope, reached, strict=True)])
    return average, recall[:, -1]


def _mean(rows: Sequence[Float[np.ndarray, " n"]]) -> float | None:
    values = np.concatenate([np.zeros(0), *rows])
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else None


def _per_threshold(rows: Sequence[Float[np.ndarray, " t"]]) -> tuple[float | None, ...]:
    return tuple(_mean([row[index : index + 1] for row in rows]) for index in range(len(THRESHOLDS)))


def _pick(stats: dict[str, float | None], names: Sequence[str]) -> dict[str, float | None]:
    return {name: stats[name] for name in names}
