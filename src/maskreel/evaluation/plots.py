"""The plots of an evaluation by the names that people look for: PR, P, R and F1 curves, confusion matrix."""

from pathlib import Path

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.curves import ALL, CurveMeter, Curves
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.results import Predictions
from maskreel.visualize import plots

PLOTS = {
    "PR_curve.png": "precision at every recall",
    "F1_curve.png": "F1 of the predictions from a score on",
    "P_curve.png": "precision of the predictions from a score on",
    "R_curve.png": "recall of the predictions from a score on",
    "confusion_matrix.png": "which class is taken for which",
}
"""File by file what it shows; each has its numbers beside it, as CSV."""


def files() -> list[str]:
    """Names of all that `draw_plots` writes."""
    return [name for png in PLOTS for name in (png, png.replace(".png", ".csv"))]


def measured_curves(ground_truth: GroundTruth, predictions: Predictions) -> Curves:
    """Curves of predictions held in memory or read from files."""
    meter = CurveMeter(ground_truth)
    for overlap in measure(ground_truth, predictions):
        meter.add(overlap)
    return meter.result()


def draw_plots(folder: Path, found: Curves) -> None:
    """Write every file of `files` into a folder."""
    axes = ("recall", "precision")
    plots.curves(folder / "PR_curve.png", found.precision_at_recall, found.recall_levels, axes=axes, mean=ALL)
    for name, curve in (("F1", found.f1), ("P", found.precision), ("R", found.recall)):
        word = {"F1": "F1", "P": "precision", "R": "recall"}[name]
        plots.curves(folder / f"{name}_curve.png", curve, found.scores, axes=("score", word), mean=ALL)
    plots.confusion(folder / "confusion_matrix.png", found.class_names, found.confusion)
