"""What metrics of tracked masks share: the tracks of one class in one video, and sums over videos and classes.

Scores do not count here: every prediction does, so filter them first. Crowd tracks are tracks like any other.

Axes: true track g, predicted track d, frame t, sample n (a weighting of the videos).
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.metric import About, Groups, Metrics, by_class_name, numbers
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.results import Predictions

MATCH_IOU = 0.5
"""Frame IoU of a match in CLEAR and identity metrics."""
EPSILON = np.finfo(np.float64).eps

AVERAGES = ("detection_averaged", "class_averaged")
"""Over everything at once, and over classes; of the counts the latter is a sum."""

Sums = dict[str, Float[np.ndarray, "..."]]
"""What a metric adds up over videos and classes before it divides."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTracks:
    """Tracks of one class in one video."""

    similarity: Float[np.ndarray, "g d t"]
    """Mask IoU in every frame."""
    truth_present: Bool[np.ndarray, "g t"]
    predicted_present: Bool[np.ndarray, "d t"]

    def frames(self) -> Iterator[tuple[Int[np.ndarray, " x"], Int[np.ndarray, " y"], Float[np.ndarray, "x y"]]]:
        """Present true tracks, present predicted tracks and their similarity, frame by frame."""
        for frame in range(self.similarity.shape[2]):
            truth = np.flatnonzero(self.truth_present[:, frame])
            predicted = np.flatnonzero(self.predicted_present[:, frame])
            yield truth, predicted, self.similarity[:, :, frame][np.ix_(truth, predicted)]


def tracks_of(overlap: VideoOverlap, label: int) -> ClassTracks:
    """The tracks of one class; a mask that is present counts even when it is empty."""
    truth = np.flatnonzero(overlap.truth_label == label)
    predicted = np.flatnonzero(overlap.predicted_label == label)
    present = overlap.packed.is_present
    return ClassTracks(
        similarity=np.ascontiguousarray(overlap.frame_iou(predicted, truth).transpose(1, 0, 2)),
        truth_present=present[truth],
        predicted_present=present[predicted + len(overlap.truth)],
    )


class TrackingMeter(ABC):
    """Collects sums video by video and class by class; a metric says what it sums, and how it divides."""

    about: ClassVar[About]

    @staticmethod
    @abstractmethod
    def sums_of(tracks: ClassTracks) -> Sums:
        """Of one class in one video."""

    @staticmethod
    @abstractmethod
    def metrics_of(sums: Sums) -> Metrics:
        """Of sums over videos, and over classes or not."""

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None:
        self.categories = ground_truth.class_names
        self.num_videos = len(ground_truth.videos)
        self.collected: dict[int, list[tuple[int, Sums]]] = defaultdict(list)

    def add(self, overlap: VideoOverlap) -> None:
        """Match frame by frame, each class on its own."""
        for label in np.union1d(overlap.truth_label, overlap.predicted_label).tolist():
            sums = self.sums_of(tracks_of(overlap, label))
            self.collected[label].append((overlap.video_index, sums))

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Averages over all classes, those without any track counting 0, and over all detections."""
        sums = [self._sums(label, weights) for label in self.categories]
        if not sums:
            return {}
        per_class = [self.metrics_of(one) for one in sums]
        counts = self.about.counts
        averaged = {
            name: np.sum([one[name] for one in per_class], axis=0) / (1 if name in counts else len(per_class))
            for name in per_class[0]
        }
        together = {name: np.sum([one[name] for one in sums], axis=0) for name in sums[0]}
        return {"class_averaged": averaged, "detection_averaged": self.metrics_of(together)}

    def section(self) -> dict[str, Any]:
        averaged = {group: numbers(metrics) for group, metrics in self.groups().items()}
        per_class = {label: self.metrics_of(self._sums(label)) for label in self.categories}
        return {**averaged, "per_class": by_class_name(per_class, self.categories)}

    def _sums(self, label: int, weights: Int[np.ndarray, "n v"] | None = None) -> Sums:
        """Sums of a class for each weighting of the videos, by default every video once."""
        if weights is None:
            weights = np.ones((1, self.num_videos), dtype=np.int64)
        rows = self.collected[label]
        if not rows:
            return {name: np.zeros((len(weights), *value.shape)) for name, value in self._nothing().items()}
        chosen = weights[:, [video for video, _ in rows]]
        return {name: chosen @ np.stack([sums[name] for _, sums in rows]) for name in rows[0][1]}

    def _nothing(self) -> Sums:
        absent = np.zeros((0, 1), dtype=bool)
        nobody = ClassTracks(similarity=np.zeros((0, 0, 1)), truth_present=absent, predicted_present=absent)
        return self.sums_of(nobody)
