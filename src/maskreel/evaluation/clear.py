"""CLEAR metrics of tracked masks: Bernardin and Stiefelhagen 2008."""

from typing import ClassVar

import numpy as np

from maskreel.assignment import linear_sum_assignment
from maskreel.evaluation.metric import About, Metrics
from maskreel.evaluation.tracking import AVERAGES, EPSILON, MATCH_IOU, ClassTracks, Sums, TrackingMeter

_COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag")


class CLEARMeter(TrackingMeter):
    """Misses, false detections and changes of identity, frame by frame."""

    about: ClassVar[About] = About(
        columns=("MOTA", "MOTP", *_COUNTS),
        averages=AVERAGES,
        counts=_COUNTS,
    )

    @staticmethod
    def sums_of(tracks: ClassTracks) -> Sums:
        """Matches that prefer to go on as in the frame before; a switch is a change since the last match, ever."""
        num_truth = len(tracks.truth_present)
        last_match = np.full(num_truth, -1)
        match_before = np.full(num_truth, -1)
        starts = np.zeros(num_truth)
        hits = misses = surplus = switches = 0
        located = 0.0
        if not tracks.predicted_present.any() or not tracks.truth_present.any():
            misses, surplus = int(tracks.truth_present.sum()), int(tracks.predicted_present.sum())
            return _clear(hits, misses, surplus, switches, 0, located)
        for truth, predicted, similarity in tracks.frames():
            if not truth.size or not predicted.size:
                misses, surplus = misses + truth.size, surplus + predicted.size
                continue
            score = 1000.0 * (predicted[None] == match_before[truth][:, None]) + similarity
            score[similarity < MATCH_IOU - EPSILON] = 0
            rows, columns = linear_sum_assignment(-score)
            is_match = score[rows, columns] > EPSILON
            rows, columns = rows[is_match], columns[is_match]
            matched, taken = truth[rows], predicted[columns]
            switches += int(((last_match[matched] >= 0) & (last_match[matched] != taken)).sum())
            starts[matched[match_before[matched] < 0]] += 1
            last_match[matched] = taken
            match_before[:] = -1
            match_before[matched] = taken
            hits += rows.size
            misses += truth.size - rows.size
            surplus += predicted.size - rows.size
            located += float(similarity[rows, columns].sum())
        return _clear(hits, misses, surplus, switches, int(np.maximum(starts - 1, 0).sum()), located)

    @staticmethod
    def metrics_of(sums: Sums) -> Metrics:
        sums = {name: values[..., 0] for name, values in sums.items()}
        errors = sums["FP"] + sums["IDSW"]
        return {
            "MOTA": (sums["TP"] - errors) / np.maximum(1, sums["TP"] + sums["FN"]),
            "MOTP": sums["MOTP"] / np.maximum(1, sums["TP"]),
            "CLR_TP": sums["TP"],
            "CLR_FN": sums["FN"],
            "CLR_FP": sums["FP"],
            "IDSW": sums["IDSW"],
            "Frag": sums["Frag"],
        }


def _clear(hits: int, misses: int, surplus: int, switches: int, fragments: int, located: float) -> Sums:
    values = {"TP": hits, "FN": misses, "FP": surplus, "IDSW": switches, "Frag": fragments, "MOTP": located}
    return {name: np.array([value], dtype=np.float64) for name, value in values.items()}
