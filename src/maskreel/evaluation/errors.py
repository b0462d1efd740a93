"""What keeps AP down: every wrong prediction and every missed object gets one reason, and each reason its cost in AP.

In the manner of TIDE (Bolya et al., arXiv 2008.08115), for tracks. A prediction is wrong when it takes no true track of
its class at an IoU of 0.5. The reasons, the first that fits:

    duplicate     it covers a true track of its class that a better score has taken
    wrong_class   it covers a true track of another class
    identity      it is on a true track of its class in some frames, and loses it or passes to another object in more
                  frames than it is merely inexact
    weak_mask     it overlaps a true track of its class with an IoU of at least 0.1
    spurious      there is nothing of the kind
    missed        (of a true track) nothing took it, nor is it the object of one of the errors above

The cost of a reason is the AP gained when an oracle repairs it and nothing else: classes and masks become right (a
prediction whose object is taken already disappears), lost or wrong frames become right, duplicates and spurious
predictions disappear, and missed objects no longer count. It can be negative: a duplicate at an IoU of 0.5 may be the
better mask at 0.9.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.average_precision import RULES, AveragePrecisionMeter
from maskreel.evaluation.matching import VideoTable, match_class, table_of
from maskreel.evaluation.overlap import VideoOverlap

EXPLAINED = "ap"
"""Metric of the catalog whose losses these are."""
KINDS = ("wrong_class", "weak_mask", "identity", "duplicate", "missed", "spurious")
FOREGROUND = 0.5
"""IoU from which on an object is covered, over the video and in a frame."""
BACKGROUND = 0.1
"""IoU from which on a mask is weak instead of spurious."""


@dataclass(frozen=True, kw_only=True)
class ErrorCost:
    """How often an error occurs, and the AP gained by repairing it; None where AP cannot be measured."""

    count: int
    AP: float | None
    AP50: float | None


@dataclass(kw_only=True)
class _VideoErrors:
    """Reasons of the wrong predictions of one video, and the true tracks that they are about."""

    reason: dict[int, str] = field(default_factory=dict)
    target: dict[int, int] = field(default_factory=dict)
    repaired_iou: dict[int, float] = field(default_factory=dict)
    """What `identity` predictions would reach on their object."""
    taken: set[int] = field(default_factory=set)
    missed: list[int] = field(default_factory=list)


class ErrorMeter:
    """Collects errors and repaired tables video by video."""

    def __init__(self, ground_truth: GroundTruth) -> None:
        self.as_is = AveragePrecisionMeter(ground_truth)
        self.repaired = {kind: AveragePrecisionMeter(ground_truth) for kind in KINDS}
        self.counts: Counter[str] = Counter()

    def add(self, overlap: VideoOverlap) -> None:
        """Find the errors of one video, and repair each kind on its own."""
        table = table_of(overlap)
        errors = _find(overlap, table)
        self.counts.update(errors.reason.values())
        self.counts["missed"] += len(errors.missed)
        self.as_is.add_table(table)
        for kind, meter in self.repaired.items():
            meter.add_table(_repair(table, errors, kind))

    def result(self) -> dict[str, ErrorCost]:
        """Number and cost of each kind, over all videos added."""
        before = self.as_is.metrics()
        costs = {}
        for kind, meter in self.repaired.items():
            after = meter.metrics()
            gain = {name: float(after[name][0] - before[name][0]) for name in ("AP", "AP50")}
            known = {name: None if np.isnan(value) else value for name, value in gain.items()}
            costs[kind] = ErrorCost(count=self.counts[kind], AP=known["AP"], AP50=known["AP50"])
        return costs


def _find(overlap: VideoOverlap, table: VideoTable) -> _VideoErrors:
    errors = _VideoErrors()
    counts = ~table.truth_ignored[0]
    wrong: list[int] = []
    for label in np.union1d(table.truth_label, table.predicted_label).tolist():
        matches = match_class(table, RULES, label)
        taken = matches.matched[0, 0]
        errors.taken.update(taken[taken >= 0].tolist())
        wrong += matches.predicted[~(matches.is_match | matches.is_ignored)[0, 0]].tolist()
    for prediction in wrong:
        is_own_class = counts & (table.truth_label == table.predicted_label[prediction])
        _explain(overlap, table.iou[prediction], prediction, is_own_class, counts & ~is_own_class, errors)
    about = set(errors.target.values())
    errors.missed = [int(truth) for truth in np.flatnonzero(counts) if truth not in errors.taken and truth not in about]
    return errors


def _explain(
    overlap: VideoOverlap,
    iou: Float[np.ndarray, " g"],
    prediction: int,
    is_own_class: Bool[np.ndarray, " g"],
    is_other_class: Bool[np.ndarray, " g"],
    errors: _VideoErrors,
) -> None:
    """Note the reason why a prediction is wrong."""
    own, other = np.where(is_own_class, iou, 0.0), np.where(is_other_class, iou, 0.0)
    if own.max(initial=0.0) >= FOREGROUND:
        errors.reason[prediction] = "duplicate"
    elif other.max(initial=0.0) >= FOREGROUND:
        errors.reason[prediction], errors.target[prediction] = "wrong_class", int(other.argmax())
    elif (lost := _identity(overlap, prediction, np.flatnonzero(is_own_class))) is not None:
        errors.reason[prediction] = "identity"
        errors.target[prediction], errors.repaired_iou[prediction] = lost
    elif own.max(initial=0.0) >= BACKGROUND:
        errors.reason[prediction], errors.target[prediction] = "weak_mask", int(own.argmax())
    else:
        errors.reason[prediction] = "spurious"


def _identity(overlap: VideoOverlap, prediction: int, own: Int[np.ndarray, " x"]) -> tuple[int, float] | None:
    """The object that a prediction loses or leaves for another, and its IoU had it stayed; None for other errors."""
    if not own.size:
        return None
    frames = overlap.frame_iou(np.array([prediction]), np.arange(len(overlap.truth)))[0]
    is_on = frames >= FOREGROUND
    truth = int(own[is_on[own].sum(axis=1).argmax()])
    if not is_on[truth].any():
        return None
    true_area, area = overlap.truth_areas[truth], overlap.predicted_areas[prediction]
    is_elsewhere = np.delete(is_on, truth, axis=0).any(axis=0)
    is_lost = ~is_on[truth] & (((true_area > 0) & (area == 0)) | is_elsewhere)
    is_inexact = ~is_on[truth] & ~is_lost & ((true_area > 0) | (area > 0))
    if is_lost.sum() <= is_inexact.sum():
        return None
    rows = np.array([[len(overlap.truth) + prediction, truth]])
    common = np.where(is_lost, true_area, overlap.packed.overlaps_per_frame(rows)[0])
    union = np.where(is_lost, true_area, true_area + area - common)
    return truth, float(common.sum() / union.sum())


def _repair(table: VideoTable, errors: _VideoErrors, kind: str) -> VideoTable:
    """The table as an oracle would leave it that repairs one kind of error."""
    is_kept = np.ones(table.scores.size, dtype=bool)
    iou, label = table.iou.copy(), table.predicted_label.copy()
    claimed = set(errors.taken)
    affected = [prediction for prediction, reason in errors.reason.items() if reason == kind]
    for prediction in sorted(affected, key=lambda index: -table.scores[index]):
        truth = errors.target.get(prediction)
        if truth is None or truth in claimed:
            is_kept[prediction] = False
            continue
        claimed.add(truth)
        if kind == "wrong_class":
            label[prediction] = table.truth_label[truth]
        else:
            iou[prediction] = 0.0
            iou[prediction, truth] = errors.repaired_iou.get(prediction, 1.0)
    is_counted = np.ones(table.truth_label.size, dtype=bool)
    if kind == "missed":
        is_counted[errors.missed] = False
    repaired = replace(table, iou=iou, predicted_label=label)
    return repaired.select(np.flatnonzero(is_kept), np.flatnonzero(is_counted))
