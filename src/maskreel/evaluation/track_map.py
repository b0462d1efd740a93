"""TrackMAP: average precision of tracks as the tracking evaluators have it.

It differs from the AP of YouTube-VIS: a crowd track absorbs one prediction only, and any number of predictions counts.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.matching import AREA_RANGES, MatchingRules, VideoMatches, match_class, table_of
from maskreel.evaluation.metric import About, Groups, by_class_name, numbers
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.precision import ClassMetrics, by_range, join, metrics_of
from maskreel.evaluation.results import Predictions

RULES = MatchingRules(
    thresholds=tuple(np.arange(0.5, 0.96, 0.05).tolist()),
    tolerance=float(np.finfo(np.float64).eps),
    crowd_takes_many=False,
)
_RANGES = ("all", "area_s", "area_m", "area_l")


class TrackMAPMeter:
    """Collects matches video by video; predictions of equal score count in the order of the names of their videos.

    With `strict_reference`, the very first prediction has the number 0 and passes for none, so that what it took can be
    taken again.
    """

    about: ClassVar[About] = About(
        columns=tuple(f"{figure}_{name}" for figure in ("AP", "AR") for name in _RANGES),
        averages=("class_averaged",),
    )

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None:
        self.categories = ground_truth.class_names
        by_id = sorted(ground_truth.videos, key=lambda video: video.id)
        self.order = sorted(range(len(by_id)), key=lambda index: by_id[index].name)
        self.unseen = None
        if strict_reference:
            assert predictions is not None, "the first of all has to be known before it is matched"
            found = (predictions.tracks.get(by_id[index].id, ()) for index in self.order)
            self.unseen = next((tracks[0] for tracks in found if tracks), None)
        self.collected: dict[int, dict[int, VideoMatches]] = defaultdict(dict)

    def add(self, overlap: VideoOverlap) -> None:
        """Match the predictions of one video class by class."""
        is_unseen = np.array([track is self.unseen for track in overlap.predicted], dtype=bool)
        table = replace(table_of(overlap), predicted_is_unseen=is_unseen)
        for label in np.union1d(table.truth_label, table.predicted_label).tolist():
            self.collected[label][overlap.video_index] = match_class(table, RULES, label)

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Averages over the classes that have objects; there is no other average over detections."""
        averaged = by_range([self._metrics(label, weights) for label in self.categories], _RANGES)
        return {"class_averaged": averaged, "detection_averaged": averaged}

    def section(self) -> dict[str, Any]:
        averaged = {group: numbers(metrics) for group, metrics in self.groups().items()}
        per_class = {label: by_range([self._metrics(label)], _RANGES) for label in self.categories}
        return {**averaged, "per_class": by_class_name(per_class, self.categories)}

    def _metrics(self, label: int, weights: Int[np.ndarray, "n v"] | None = None) -> ClassMetrics:
        videos = [self.collected[label][index] for index in self.order if index in self.collected[label]]
        matches = join(videos, num_videos=len(self.order), num_areas=len(AREA_RANGES), rules=RULES)
        return metrics_of(matches, weights=weights)
