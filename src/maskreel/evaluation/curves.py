"""Curves over scores, and which class is taken for which: what the plots of a run and of a report show.

All at an IoU of 0.5 over whole videos, with crowds ignored, as AP50 counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.average_precision import AveragePrecisionMeter
from maskreel.evaluation.matching import VideoTable, table_of
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.precision import RECALL_LEVELS

FOREGROUND = 0.5
SHOWN_SCORE = 0.3
"""Predictions below this score are no part of the confusion matrix; what overlays show."""
ALL = "all classes"


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """What the plots show; classes by name, classes without objects left out."""

    recall_levels: Float[np.ndarray, " r"]
    precision_at_recall: dict[str, Float[np.ndarray, " r"]]
    """The best precision at that recall or a higher one; the mean of the classes under `ALL`."""
    scores: Float[np.ndarray, " s"]
    precision: dict[str, Float[np.ndarray, " s"]]
    """Of the predictions from a score on; 1 where there is none."""
    recall: dict[str, Float[np.ndarray, " s"]]
    f1: dict[str, Float[np.ndarray, " s"]]
    class_names: tuple[str, ...]
    confusion: Int[np.ndarray, "g d"]
    """Objects of a class (rows; the last: no object) that were taken for a class (columns; the last: missed)."""


class CurveMeter:
    """Collects matches video by video."""

    SCORES: ClassVar = np.linspace(0, 1, 101)

    def __init__(self, ground_truth: GroundTruth, *, min_score: float = SHOWN_SCORE) -> None:
        self._names = ground_truth.class_names
        self._matches = AveragePrecisionMeter(ground_truth)
        self._min_score = min_score
        self._place = {label: place for place, label in enumerate(self._names)}
        self._confusion = np.zeros((len(self._names) + 1, len(self._names) + 1), dtype=np.int64)

    def add(self, overlap: VideoOverlap) -> None:
        """Count one video."""
        table = table_of(overlap)
        self._matches.add_table(table)
        self._confuse(table)

    def _confuse(self, table: VideoTable) -> None:
        """Give each prediction, the best score first, the free object that it covers best, whatever its class."""
        none = len(self._names)
        is_free = ~table.is_crowd
        for prediction in np.argsort(-table.scores, kind="stable").tolist():
            if table.scores[prediction] < self._min_score:
                break
            column = self._place[int(table.predicted_label[prediction])]
            iou = np.where(is_free, table.iou[prediction], -1.0)
            if iou.size and iou.max() >= FOREGROUND:
                truth = int(iou.argmax())
                is_free[truth] = False
                self._confusion[self._place[int(table.truth_label[truth])], column] += 1
            elif not (table.is_crowd & (table.iou[prediction] >= FOREGROUND)).any():
                self._confusion[none, column] += 1
        for label in table.truth_label[is_free].tolist():
            self._confusion[self._place[int(label)], none] += 1

    def result(self) -> Curves:
        """Curves over all videos added."""
        at_recall, precision, recall, f1 = {}, {}, {}, {}
        for label, name in _unique(self._names).items():
            matches = self._matches.matches(label)
            num_truth = int(matches.num_truth[:, 0].sum())
            if not num_truth:
                continue
            counts = ~matches.is_ignored[0, 0]
            is_match, scores = matches.is_match[0, 0][counts], matches.score[counts]
            true = np.cumsum(is_match)
            at_recall[name] = _at_recall(true / np.arange(1, true.size + 1), true / num_truth)
            kept = np.searchsorted(-scores, -self.SCORES, side="right")
            found = np.concatenate(([0], true))[kept]
            precision[name] = np.where(kept > 0, found / np.maximum(kept, 1), 1.0)
            recall[name] = found / num_truth
            f1[name] = 2 * found / (kept + num_truth)
        curves = (at_recall, precision, recall, f1)
        for curve in curves:
            if len(curve) > 1:
                curve[ALL] = np.mean(list(curve.values()), axis=0)
        return Curves(
            recall_levels=RECALL_LEVELS,
            precision_at_recall=at_recall,
            scores=self.SCORES,
            precision=precision,
            recall=recall,
            f1=f1,
            class_names=tuple(_unique(self._names).values()),
            confusion=self._confusion,
        )


def _at_recall(precision: Float[np.ndarray, " d"], recall: Float[np.ndarray, " d"]) -> Float[np.ndarray, " r"]:
    """The best precision at each recall level or beyond; 0 where no prediction gets so far."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(recall, RECALL_LEVELS, side="left")
    return np.concatenate((best, [0.0]))[first]


def _unique(names: Mapping[int, str]) -> dict[int, str]:
    """Names by class id; those that two classes share get their id."""
    listed = list(names.values())
    return {label: name if listed.count(name) == 1 else f"{name} ({label})" for label, name in names.items()}
