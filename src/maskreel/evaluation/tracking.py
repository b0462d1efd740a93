"""HOTA, CLEAR and identity metrics of tracked masks, class by class.

HOTA: Luiten et al., arXiv 2009.07736. CLEAR: Bernardin and Stiefelhagen 2008. IDF1: Ristani et al., arXiv 1609.01775.
Scores do not count here: every prediction does, so filter them first. Crowd tracks are tracks like any other.

Axes: true track g, predicted track d, frame t, localisation threshold a, sample n (a weighting of the videos).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from maskreel.data.tracks import GroundTruth
from maskreel.evaluation.figures import Figures, Groups, by_class_name, numbers
from maskreel.evaluation.overlap import VideoOverlap

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Localisation thresholds of HOTA."""
MATCH_IOU = 0.5
"""Frame IoU of a match in CLEAR and identity metrics."""
_EPSILON = np.finfo(np.float64).eps

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


def hota_sums(tracks: ClassTracks) -> Sums:
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
            is_hit = found >= ALPHAS[:, None] - _EPSILON
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


def _alignment(
    tracks: ClassTracks, truth_frames: Float[np.ndarray, "g 1"], predicted_frames: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "g d"]:
    """How well two tracks align over the whole video, before any matching."""
    potential = np.zeros(tracks.similarity.shape[:2])
    for truth, predicted, similarity in tracks.frames():
        rivals = similarity.sum(axis=0)[None] + similarity.sum(axis=1)[:, None] - similarity
        share = np.divide(similarity, rivals, out=np.zeros_like(similarity), where=rivals > _EPSILON)
        potential[np.ix_(truth, predicted)] += share
    together = truth_frames + predicted_frames - potential
    return np.divide(potential, together, out=np.zeros_like(potential), where=together > 0)


def hota_figures(sums: Sums) -> Figures:
    """Means over the thresholds."""
    hits = sums["TP"]
    figures = {
        "DetA": hits / np.maximum(1, hits + sums["FN"] + sums["FP"]),
        "AssA": sums["AssA"] / np.maximum(1, hits),
        "DetRe": hits / np.maximum(1, hits + sums["FN"]),
        "DetPr": hits / np.maximum(1, hits + sums["FP"]),
        "AssRe": sums["AssRe"] / np.maximum(1, hits),
        "AssPr": sums["AssPr"] / np.maximum(1, hits),
        # Without any hit the location is perfect, as the reference has it.
        "LocA": np.maximum(1e-10, sums["LocA"]) / np.maximum(1e-10, hits),
    }
    figures = {"HOTA": np.sqrt(figures["DetA"] * figures["AssA"]), **figures}
    return {name: values.mean(axis=-1) for name, values in figures.items()}


def clear_sums(tracks: ClassTracks) -> Sums:
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
        score[similarity < MATCH_IOU - _EPSILON] = 0
        rows, columns = linear_sum_assignment(-score)
        is_match = score[rows, columns] > _EPSILON
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


def _clear(hits: int, misses: int, surplus: int, switches: int, fragments: int, located: float) -> Sums:
    values = {"TP": hits, "FN": misses, "FP": surplus, "IDSW": switches, "Frag": fragments, "MOTP": located}
    return {name: np.array([value], dtype=np.float64) for name, value in values.items()}


def clear_figures(sums: Sums) -> Figures:
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


def identity_sums(tracks: ClassTracks) -> Sums:
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


def identity_figures(sums: Sums) -> Figures:
    sums = {name: values[..., 0] for name, values in sums.items()}
    hits = sums["IDTP"]
    return {
        "IDF1": hits / np.maximum(1, hits + 0.5 * sums["IDFP"] + 0.5 * sums["IDFN"]),
        "IDR": hits / np.maximum(1, hits + sums["IDFN"]),
        "IDP": hits / np.maximum(1, hits + sums["IDFP"]),
    }


COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag")
"""Figures that are added over classes where the others are averaged."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A family of metrics: what it adds up, and how it divides."""

    sums_of: Callable[[ClassTracks], Sums]
    figures_of: Callable[[Sums], Figures]


KINDS = {
    "hota": Kind(sums_of=hota_sums, figures_of=hota_figures),
    "clear": Kind(sums_of=clear_sums, figures_of=clear_figures),
    "identity": Kind(sums_of=identity_sums, figures_of=identity_figures),
}


class TrackingMeter:
    """Collects the sums of one of the `KINDS`, video by video and class by class."""

    per_video_group = "detection_averaged"

    def __init__(self, kind: str, ground_truth: GroundTruth) -> None:
        self.kind = KINDS[kind]
        self.categories = ground_truth.class_names
        self.num_videos = len(ground_truth.videos)
        self.collected: dict[int, list[tuple[int, Sums]]] = defaultdict(list)

    def add(self, overlap: VideoOverlap) -> None:
        """Match frame by frame, each class on its own."""
        for label in np.union1d(overlap.truth_label, overlap.predicted_label).tolist():
            sums = self.kind.sums_of(tracks_of(overlap, label))
            self.collected[label].append((overlap.video_index, sums))

    def groups(self, weights: Int[np.ndarray, "n v"] | None = None) -> Groups:
        """Averages over all classes, those without any track counting 0, and over all detections."""
        sums = [self._sums(label, weights) for label in self.categories]
        if not sums:
            return {}
        per_class = [self.kind.figures_of(one) for one in sums]
        averaged = {
            name: np.sum([one[name] for one in per_class], axis=0) / (1 if name in COUNTS else len(per_class))
            for name in per_class[0]
        }
        together = {name: np.sum([one[name] for one in sums], axis=0) for name in sums[0]}
        return {"class_averaged": averaged, "detection_averaged": self.kind.figures_of(together)}

    def section(self) -> dict[str, Any]:
        averaged = {group: numbers(figures) for group, figures in self.groups().items()}
        per_class = {label: self.kind.figures_of(self._sums(label)) for label in self.categories}
        return {**averaged, "per_class": by_class_name(per_class, self.categories)}

    def _sums(self, label: int, weights: Int[np.ndarray, "n v"] | None = None) -> Sums:
        """Sums of a class for each weighting of the videos, by default every video once."""
        if weights is None:
            weights = np.ones((1, self.num_videos), dtype=np.int64)
        rows = self.collected[label]
        if not rows:
            return {name: np.zeros((len(weights), *value.shape)) for name, value in _nothing(self.kind).items()}
        chosen = weights[:, [video for video, _ in rows]]
        return {name: chosen @ np.stack([sums[name] for _, sums in rows]) for name in rows[0][1]}


def _nothing(kind: Kind) -> Sums:
    absent = np.zeros((0, 1), dtype=bool)
    return kind.sums_of(ClassTracks(similarity=np.zeros((0, 0, 1)), truth_present=absent, predicted_present=absent))
