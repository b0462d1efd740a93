"""AP by length and by speed of tracks, in which methods that look at several frames differ from those that look at one.

Length: the share of the frames of its video in which a track has pixels. Short up to a quarter, long from three
quarters, medium between.

Speed, as the motion groups of ImageNet VID have it: in each frame the mean IoU of the track's box with its boxes in the
frames at most ten before or after in which it has pixels, the frame itself left out; of these the mean over the frames,
those without such a neighbour left out. Slow above 0.9, fast below 0.7, medium between and on the bounds. A track
without any neighbour, such as one seen in a single frame, does not move: it is slow. Boxes are drawn around masks.

True tracks outside of a class are ignored as those outside of an area range are in AP, and a prediction that takes none
is ignored by its own length or speed. Thresholds, recall levels and the limit of a hundred predictions are those of AP.
"""

from collections import defaultdict
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.average_precision import RULES
from maskreel.evaluation.matching import VideoMatches, match_class, table_of, with_ranges
from maskreel.evaluation.metric import About, Groups, Metrics, by_class_name, numbers
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.precision import by_range, join, metrics_of
from maskreel.evaluation.results import Predictions
from maskreel.geometry.runs import PackedTracks

CLASSES = ("all", "short", "medium_length", "long", "slow", "medium_speed", "fast")
"""Of tracks, by length, then by speed."""
SHORT, LONG = 0.25, 0.75
"""Most and least share of frames."""
SLOW, FAST = 0.9, 0.7
"""Mean IoU above and below."""
REACH = 10
"""Frames before and after that a frame's box is compared with."""


class TemporalMeter:
    """Collects matches video by video."""

    about: ClassVar[About] = About(
        columns=tuple(f"{figure}_{name}" for figure in ("AP", "AR") for name in CLASSES),
    )

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None:
        self.categories = ground_truth.class_names
        self.num_videos = len(ground_truth.videos)
        self.strict_reference = strict_reference
        self.collected: dict[int, list[VideoMatches]] = defaultdict(list)

    def add(self, overlap: VideoOverlap) -> None:
        """Match the predictions of one video, class by class."""
        classes = classes_of(overlap.packed, num_frames=overlap.video.length, height=overlap.video.height)
        num_truth = len(overlap.truth)
        table = table_of(overlap, is_id_0_unseen=self.strict_reference)
        table = with_ranges(table, classes[:, :num_truth], classes[:, num_truth:])
        for label in np.union1d(table.truth_label, table.predicted_label).tolist():
            self.collected[label].append(match_class(table, RULES, label))

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Averages over the categories that have tracks of a class."""
        return {"": self._metrics(list(self.categories), weights)}

    def section(self) -> dict[str, Any]:
        per_class = {label: self._metrics([label]) for label in self.categories}
        return {**numbers(self.groups()[""]), "per_class": by_class_name(per_class, self.categories)}

    def _metrics(self, labels: list[int], weights: Int[np.ndarray, "n v"] | None = None) -> Metrics:
        size = {"num_videos": self.num_videos, "num_areas": len(CLASSES)}
        every = [metrics_of(join(self.collected[one], **size, rules=RULES), weights=weights) for one in labels]
        return by_range(every, CLASSES)


def classes_of(packed: PackedTracks, *, num_frames: int, height: int) -> Bool[np.ndarray, "a n"]:
    """Which tracks of a video belong to each of `CLASSES`."""
    length = (packed.areas > 0).sum(axis=1) / max(num_frames, 1)
    speed = overlap_with_itself(boxes_of(packed, height), packed.areas > 0)
    is_short, is_long, is_slow, is_fast = length <= SHORT, length >= LONG, speed > SLOW, speed < FAST
    return np.stack(
        [
            np.ones_like(is_short),
            is_short,
            ~is_short & ~is_long,
            is_long,
            is_slow,
            ~is_slow & ~is_fast,
            is_fast,
        ]
    )


def overlap_with_itself(
    boxes: Float[np.ndarray, "n t 4"], is_present: Bool[np.ndarray, "n t"]
) -> Float[np.ndarray, " n"]:
    """Mean IoU of each track's box with its boxes in the frames around; 1 for a track without two frames that near."""
    total, count = np.zeros(is_present.shape), np.zeros(is_present.shape)
    for step in range(1, min(REACH, is_present.shape[1] - 1) + 1):
        both = is_present[:, step:] & is_present[:, :-step]
        iou = np.where(both, _box_iou(boxes[:, step:], boxes[:, :-step]), 0.0)
        for frames in (slice(step, None), slice(None, -step)):
            total[:, frames] += iou
            count[:, frames] += both
    has_neighbour = count > 0
    mean = total / np.maximum(count, 1)
    return np.where(has_neighbour.any(axis=1), mean.sum(axis=1) / np.maximum(has_neighbour.sum(axis=1), 1), 1.0)


def _box_iou(one: Float[np.ndarray, "n t 4"], other: Float[np.ndarray, "n t 4"]) -> Float[np.ndarray, "n t"]:
    """Of boxes given as left, top, right, bottom; 0 for two without any area."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = np.maximum(sides, 0).prod(axis=-1)
    union = sum((box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (one, other)) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def boxes_of(packed: PackedTracks, height: int) -> Float[np.ndarray, "n t 4"]:
    """Left, top, right and bottom edge of every mask in pixels; 0 where there is none."""
    boxes = np.zeros((packed.areas.size, 4))
    num_bounds = int(packed.first[-1])
    start, end = packed.bounds[:num_bounds:2].astype(np.int64), packed.bounds[1:num_bounds:2].astype(np.int64)
    mask = np.repeat(np.arange(packed.areas.size), np.diff(packed.first) // 2)
    has_pixels = end > start
    start, last, mask = start[has_pixels], end[has_pixels] - 1, mask[has_pixels]
    if mask.size:
        is_tall = start // height != last // height
        top, bottom = np.where(is_tall, 0, start % height), np.where(is_tall, height - 1, last % height)
        first_run = np.flatnonzero(np.diff(mask, prepend=-1))
        lowest = [np.minimum.reduceat(side, first_run) for side in (start // height, top)]
        highest = [np.maximum.reduceat(side, first_run) + 1 for side in (last // height, bottom)]
        boxes[mask[first_run]] = np.stack([*lowest, *highest], axis=1)
    return boxes.reshape(*packed.areas.shape, 4)
