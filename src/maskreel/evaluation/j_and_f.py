"""Region similarity J and boundary accuracy F of DAVIS (Perazzi et al., CVPR 2016; Caelles et al., arXiv 1905.00737).

As in its unsupervised task: classes and scores do not count; in each video the predictions are assigned one to one to
the true tracks so that J is best; where there are too few of them, empty ones fill up, which are right in the frames
where the true track is absent; predictions left over cost nothing. All frames count, crowd tracks do not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.assignment import linear_sum_assignment
from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.metric import About, Groups, Metrics, by_class_name, numbers
from maskreel.evaluation.overlap import VideoOverlap
from maskreel.evaluation.results import Predictions
from maskreel.geometry.runs import PackedTracks
from maskreel.kernels.compiled import compiled

NAMES = ("J&F", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")
TOLERANCE = 0.008
"""Distance within which boundaries agree, in diagonals of the frame, rounded up to pixels."""
_BINS = 4
_STRIP = 2**22
"""Pixels of a window that are drawn at once; larger windows are taken in parts, with the same counts."""

Window = tuple[int, int, int, int]
"""top, bottom, left, right (exclusive), in pixels of the frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _TrackMetrics:
    """Metrics of one true track, in the order of `NAMES`."""

    video: int
    label: int
    values: Float[np.ndarray, " 7"]


class JAndFMeter:
    """Collects the metrics of true tracks, video by video."""

    about: ClassVar[About] = About(columns=NAMES)

    def __init__(
        self, ground_truth: GroundTruth, predictions: Predictions | None = None, *, strict_reference: bool = False
    ) -> None:
        self.categories = ground_truth.class_names
        self.num_videos = len(ground_truth.videos)
        self.collected: list[_TrackMetrics] = []

    def add(self, overlap: VideoOverlap) -> None:
        """Assign the predictions of one video and compare them frame by frame."""
        truth = np.flatnonzero([not track.is_crowd for track in overlap.truth])
        predicted = np.arange(len(overlap.predicted))
        region = overlap.frame_iou(predicted, truth)
        is_empty = (overlap.predicted_areas[:, None] == 0) & (overlap.truth_areas[truth][None] == 0)
        region[is_empty] = 1.0
        is_absent = (overlap.truth_areas[truth] == 0).astype(np.float64)
        missing = max(truth.size - predicted.size, 0)
        region = np.concatenate((region, np.repeat(is_absent[None], missing, axis=0)))
        if not region.size:
            return
        for row, column in zip(*linear_sum_assignment(-region.mean(axis=2)), strict=True):
            boundary = is_absent[column]
            if row < predicted.size:
                tracks = (int(truth[column]), len(overlap.truth) + int(row))
                size = {"height": overlap.video.height, "width": overlap.video.width}
                boundary = boundary_accuracy(overlap.packed, *tracks, **size)
            label = int(overlap.truth_label[truth[column]])
            values = _over_time(region[row, column], boundary)
            self.collected.append(_TrackMetrics(video=overlap.video_index, label=label, values=values))

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Means over the true tracks, each video counted as often as its weight says."""
        if weights is None:
            weights = np.ones((1, self.num_videos), dtype=np.int64)
        return {"": _means(self.collected, weights)}

    def section(self) -> dict[str, Any]:
        """Means over all true tracks, and over those of each class, whatever class their predictions have."""
        weights = np.ones((1, self.num_videos), dtype=np.int64)
        per_class = {
            label: _means([track for track in self.collected if track.label == label], weights)
            for label in self.categories
        }
        return {**numbers(self.groups()[""]), "per_class": by_class_name(per_class, self.categories)}


def _means(tracks: list[_TrackMetrics], weights: Int[np.ndarray, "n v"]) -> Metrics:
    chosen = weights[:, [track.video for track in tracks]].astype(np.float64)
    values = np.array([track.values for track in tracks]).reshape(len(tracks), len(NAMES))
    total = chosen.sum(axis=1, keepdims=True)
    means = np.divide(chosen @ values, total, out=np.full((len(weights), len(NAMES)), np.nan), where=total > 0)
    return {name: means[:, index] for index, name in enumerate(NAMES)}


def _over_time(region: Float[np.ndarray, " t"], boundary: Float[np.ndarray, " t"]) -> Float[np.ndarray, " 7"]:
    """Mean, share of frames above one half, and loss from the first to the last quarter, of both measures."""
    edges = np.round(np.linspace(1, region.size, _BINS + 1) + 1e-10).astype(int) - 1
    metrics = [
        (values.mean(), (values > 0.5).mean(), values[: edges[1] + 1].mean() - values[edges[-2] :].mean())
        for values in (region, boundary)
    ]
    return np.array([(metrics[0][0] + metrics[1][0]) / 2, *metrics[0], *metrics[1]])


def boundary_accuracy(
    packed: PackedTracks, truth: int, predicted: int, *, height: int, width: int
) -> Float[np.ndarray, " t"]:
    """F-measure, frame by frame, of the boundary pixels of two tracks that lie within the tolerance of each other."""
    radius = int(np.ceil(TOLERANCE * np.hypot(height, width)))
    num_frames = packed.areas.shape[1]
    accuracy = np.zeros(num_frames)
    for frame in range(num_frames):
        masks = (truth * num_frames + frame, predicted * num_frames + frame)
        if not (packed.areas[truth, frame] and packed.areas[predicted, frame]):
            sizes = [_boundary_size(packed, mask, height, width) for mask in masks]
            accuracy[frame] = _of_counts(sizes[0], sizes[1], 0, 0)
            continue
        window = _window(packed, masks, margin=radius + 1, height=height, width=width)
        counts = np.zeros(4, dtype=np.int64)
        for strip, core in _strips(window, margin=radius + 1):
            true, found = (boundary_map(_draw(packed, mask, strip, height)) for mask in masks)
            own, other = (_inside(edge, core) for edge in (true, found))
            counts += (own.sum(), other.sum(), _near(own, found, radius), _near(other, true, radius))
        accuracy[frame] = _of_counts(*map(int, counts))
    return accuracy


def _strips(window: Window, *, margin: int) -> Iterator[tuple[Window, slice]]:
    """The window in parts of whole columns with a margin to either side, and which columns of each are its own."""
    top, bottom, left, right = window
    step = max(_STRIP // max(bottom - top, 1), 1)
    for first in range(left, right, step):
        start, end = max(first - margin, left), min(first + step + margin, right)
        yield (top, bottom, start, end), slice(first - start, min(first + step, right) - start)


def _inside(edge: Bool[np.ndarray, "h w"], core: slice) -> Bool[np.ndarray, "h w"]:
    """What lies in some columns; all else is false."""
    if core == slice(0, edge.shape[1]):
        return edge
    kept = np.zeros_like(edge)
    kept[:, core] = edge[:, core]
    return kept


def _of_counts(num_true: int, num_found: int, true_near: int, found_near: int) -> float:
    if not num_true or not num_found:
        return float(num_true == num_found)
    precision, recall = found_near / num_found, true_near / num_true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ from the one to the right, below, or right below; outside the frame nothing differs."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _boundary_size(packed: PackedTracks, mask: int, height: int, width: int) -> int:
    if packed.first[mask] == packed.first[mask + 1]:
        return 0
    window = _window(packed, (mask,), margin=1, height=height, width=width)
    strips = _strips(window, margin=1)
    return sum(int(boundary_map(_draw(packed, mask, strip, height))[:, core].sum()) for strip, core in strips)


def _window(packed: PackedTracks, masks: tuple[int, ...], *, margin: int, height: int, width: int) -> Window:
    """A crop that holds the masks and a margin, inside the frame."""
    runs = [packed.bounds[packed.first[mask] : packed.first[mask + 1]] for mask in masks]
    start = np.concatenate([run[0::2] for run in runs])
    last = np.concatenate([run[1::2] for run in runs]) - 1
    start, last = start[last >= start], last[last >= start]
    is_tall = (start // height != last // height).any()
    top, bottom = (0, height) if is_tall else (int((start % height).min()), int((last % height).max()) + 1)
    left, right = int(start.min()) // height, int(last.max()) // height + 1
    return max(top - margin, 0), min(bottom + margin, height), max(left - margin, 0), min(right + margin, width)


def _draw(packed: PackedTracks, mask: int, window: Window, height: int) -> Bool[np.ndarray, "h w"]:
    """Dense pixels of one mask inside a window."""
    top, bottom, left, right = window
    columns = np.zeros((right - left, bottom - top), dtype=np.uint8)
    first, stop = packed.first[mask], packed.first[mask + 1]
    _fill(packed.bounds, first, stop, height, top, bottom, left, right, columns)
    return columns.T.view(bool)


def _near(pixels: Bool[np.ndarray, "h w"], others: Bool[np.ndarray, "h w"], radius: int) -> int:
    """How many of the pixels have one of the others within the radius."""
    reach = np.floor(np.sqrt(radius**2 - np.arange(-radius, radius + 1) ** 2)).astype(np.int64)
    painted = np.zeros(pixels.shape, dtype=np.uint8)
    _paint(np.ascontiguousarray(others).view(np.uint8), *pixels.shape, radius, reach, painted)
    return int((painted.view(bool) & pixels).sum())


@compiled("int32* int64 int64 int64 int64 int64 int64 int64 uint8* -> int64")
@no_type_check
def _fill(bounds, at, stop, height, top, bottom, left, right, columns):
    """Set the pixels of a mask's runs that lie in the window, column after column."""
    while at < stop:
        column, row = bounds[at] // height, bounds[at] % height
        for _ in range(bounds[at], bounds[at + 1]):
            if left <= column < right and top <= row < bottom:
                columns[(column - left) * (bottom - top) + row - top] = 1
            row += 1
            if row == height:
                column, row = column + 1, 0
        at += 2
    return 0


@compiled("uint8* int64 int64 int64 int64* uint8* -> int64")
@no_type_check
def _paint(pixels, height, width, radius, reach, painted):
    """Paint a disc around every pixel."""
    for y in range(height):
        for x in range(width):
            if pixels[y * width + x] == 0:
                continue
            for step in range(-radius, radius + 1):
                row, half = y + step, reach[step + radius]
                first = x - half if x > half else 0
                stop = x + half + 1 if x + half < width else width
                if 0 <= row < height:
                    for column in range(first, stop):
                        painted[row * width + column] = 1
    return 0
