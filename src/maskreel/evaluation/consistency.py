"""How steady masks are: the change of their overlap with the truth from one frame to the next.

Tracks of a class are assigned one to one so that their IoUs, summed over frames, are largest; pairs count whose mean
IoU over the frames of the true track is at least a half. Of a pair, every two consecutive frames in which the true
track is present give one change; a frame in which the prediction is missing has an IoU of 0. The papers speak of
consistency without a figure for it, so this one is ours.
"""

from typing import ClassVar

import numpy as np

from maskreel.assignment import linear_sum_assignment
from maskreel.evaluation.metric import About, Metrics
from maskreel.evaluation.tracking import AVERAGES, EPSILON, MATCH_IOU, ClassTracks, Sums, TrackingMeter


class ConsistencyMeter(TrackingMeter):
    """One less the mean change of IoU; the change itself; the mean IoU of the frames that changes are between."""

    about: ClassVar[About] = About(columns=("Consistency", "IoU_change", "IoU"), averages=AVERAGES)

    @staticmethod
    def sums_of(tracks: ClassTracks) -> Sums:
        frames = np.maximum(1, tracks.truth_present.sum(1))
        similarity = tracks.similarity * tracks.truth_present[:, None]
        total = similarity.sum(2)
        rows, columns = linear_sum_assignment(-total)
        is_match = total[rows, columns] / frames[rows] >= MATCH_IOU - EPSILON
        iou, present = similarity[rows, columns][is_match], tracks.truth_present[rows][is_match]
        is_step = present[:, 1:] & present[:, :-1]
        change = np.abs(np.diff(iou, axis=1))[is_step].sum()
        mean = ((iou[:, 1:] + iou[:, :-1]) / 2)[is_step].sum()
        values = {"steps": is_step.sum(), "change": change, "iou": mean}
        return {name: np.array([value], dtype=np.float64) for name, value in values.items()}

    @staticmethod
    def metrics_of(sums: Sums) -> Metrics:
        """NaN where no true track of two consecutive frames was found."""
        steps = np.where(sums["steps"] > 0, sums["steps"], np.nan)[..., 0]
        change = sums["change"][..., 0] / steps
        return {"Consistency": 1 - change, "IoU_change": change, "IoU": sums["iou"][..., 0] / steps}
