"""Identity metrics of tracked masks: Ristani et al., arXiv 1609.01775."""

from typing import ClassVar

import numpy as np

from maskreel.assignment import linear_sum_assignment
from maskreel.evaluation.metric import About, Metrics
from maskreel.evaluation.tracking import AVERAGES, MATCH_IOU, ClassTracks, Sums, TrackingMeter


class IdentityMeter(TrackingMeter):
    """Detections that keep their identity over the whole video."""

    about: ClassVar[About] = About(columns=("IDF1", "IDR", "IDP"), averages=AVERAGES)

    @staticmethod
    def sums_of(tracks: ClassTracks) -> Sums:
        """Detections that agree when whole tracks are assigned one to one."""
        is_common = (tracks.similarity >= MATCH_IOU) & tracks.truth_present[:, None] & tracks.predicted_present[None]
        common = is_common.sum(axis=2)
        rows, columns = linear_sum_assignment(-common)
        hits = float(common[rows, columns].sum())
        values = {
            "IDTP": hits,
            "IDFN": tracks.truth_present.sum() - hits,
            "IDFP": tracks.predicted_present.sum() - hits,
        }
        return {name: np.array([value], dtype=np.float64) for name, value in values.items()}

    @staticmethod
    def metrics_of(sums: Sums) -> Metrics:
        sums = {name: values[..., 0] for name, values in sums.items()}
        hits = sums["IDTP"]
        return {
            "IDF1": hits / np.maximum(1, hits + 0.5 * sums["IDFP"] + 0.5 * sums["IDFN"]),
            "IDR": hits / np.maximum(1, hits + sums["IDFN"]),
            "IDP": hits / np.maximum(1, hits + sums["IDFP"]),
        }
