"""HOTA of tracked masks: Luiten et al., arXiv 2009.07736.

Axes: true track g, predicted track d, localisation threshold a.
"""

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from maskreel.assignment import linear_sum_assignment
from maskreel.evaluation.metric import About, Metrics
from maskreel.evaluation.tracking import AVERAGES, EPSILON, ClassTracks, Sums, TrackingMeter

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Localisation thresholds."""


class HOTAMeter(TrackingMeter):
    """Detection and association in one figure, averaged over localisation thresholds."""

    about: ClassVar[About] = About(
        columns=("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA"),
        averages=AVERAGES,
    )

    @staticmethod
    def sums_of(tracks: ClassTracks) -> Sums:
        """True and false detections and association scores per localisation threshold."""
        truth_frames = tracks.truth_present.sum(axis=1, keepdims=True).astype(np.float64)
        predicted_frames = tracks.predicted_present.sum(axis=1).astype(np.float64)
        num_truth, num_predicted = truth_frames.sum(), predicted_frames.sum()
        hits, located = np.zeros(ALPHAS.size), np.zeros(ALPHAS.size)
        matches = np.zeros((ALPHAS.size, len(truth_frames), len(predicted_frames)))
        if num_truth and num_predicted:
            alignment = _alignment(tracks, truth_frames, predicted_frames)
            for truth, predicted, similarity in tracks.frames():
                if not truth.size or not predicted.size:
                    continue
                rows, columns = linear_sum_assignment(-(alignment[np.ix_(truth, predicted)] * similarity))
                found = similarity[rows, columns]
                is_hit = found >= ALPHAS[:, None] - EPSILON
                hits += is_hit.sum(axis=1)
                located += (is_hit * found).sum(axis=1)
                matches[:, truth[rows], predicted[columns]] += is_hit
        together = truth_frames + predicted_frames - matches
        return {
            "TP": hits,
            "FN": num_truth - hits,
            "FP": num_predicted - hits,
            "LocA": located,
            "AssA": (matches * matches / np.maximum(1, together)).sum(axis=(1, 2)),
            "AssRe": (matches * matches / np.maximum(1, truth_frames)).sum(axis=(1, 2)),
            "AssPr": (matches * matches / np.maximum(1, predicted_frames)).sum(axis=(1, 2)),
        }

    @staticmethod
    def metrics_of(sums: Sums) -> Metrics:
        """Means over the thresholds."""
        hits = sums["TP"]
        metrics = {
            "DetA": hits / np.maximum(1, hits + sums["FN"] + sums["FP"]),
            "AssA": sums["AssA"] / np.maximum(1, hits),
            "DetRe": hits / np.maximum(1, hits + sums["FN"]),
            "DetPr": hits / np.maximum(1, hits + sums["FP"]),
            "AssRe": sums["AssRe"] / np.maximum(1, hits),
            "AssPr": sums["AssPr"] / np.maximum(1, hits),
            # Without any hit the location is perfect, as the reference has it.
            "LocA": np.maximum(1e-10, sums["LocA"]) / np.maximum(1e-10, hits),
        }
        metrics = {"HOTA": np.sqrt(metrics["DetA"] * metrics["AssA"]), **metrics}
        return {name: values.mean(axis=-1) for name, values in metrics.items()}


def _alignment(
    tracks: ClassTracks, truth_frames: Float[np.ndarray, "g 1"], predicted_frames: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "g d"]:
    """How well two tracks align over the whole video, before any matching."""
    potential = np.zeros(tracks.similarity.shape[:2])
    for truth, predicted, similarity in tracks.frames():
        rivals = similarity.sum(axis=0)[None] + similarity.sum(axis=1)[:, None] - similarity
        share = np.divide(similarity, rivals, out=np.zeros_like(similarity), where=rivals > EPSILON)
        potential[np.ix_(truth, predicted)] += share
    together = truth_frames + predicted_frames - potential
    return np.divide(potential, together, out=np.zeros_like(potential), where=together > 0)
