"""Overlap of predicted and true tracks, one video at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from maskreel.data.tracks import AnnotatedTrack, GroundTruth, Video
from maskreel.evaluation.results import FileMasks, Predictions, check_predictions
from maskreel.geometry.masklets import Masklet
from maskreel.geometry.runs import PackedTracks, pack_tracks


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoOverlap:
    """Everything that the metrics ask about one video; g true and d predicted tracks, t frames."""

    video: Video
    video_index: int
    """Position among the videos that were measured, by ascending id."""
    truth: tuple[AnnotatedTrack, ...]
    predicted: tuple[Masklet, ...]
    packed: PackedTracks
    """Masks of the true tracks, then those of the predicted ones."""
    truth_label: Int[np.ndarray, " g"]
    """Class ids."""
    predicted_label: Int[np.ndarray, " d"]
    scores: Float[np.ndarray, " d"]
    iou: Float[np.ndarray, "d g"]
    """Intersections summed over frames divided by unions summed over frames; 0 for tracks of different classes that
    cannot reach 0.5, below which no metric asks about them."""

    @property
    def truth_areas(self) -> Int[np.ndarray, "g t"]:
        return self.packed.areas[: len(self.truth)]

    @property
    def predicted_areas(self) -> Int[np.ndarray, "d t"]:
        return self.packed.areas[len(self.truth) :]

    def frame_iou(self, predicted: Int[np.ndarray, " d"], truth: Int[np.ndarray, " g"]) -> Float[np.ndarray, "d g t"]:
        """Mask IoU in every frame for some of the tracks; 0 where both are absent."""
        pairs = _pairs(predicted + len(self.truth), truth)
        common = self.packed.overlaps_per_frame(pairs).reshape(len(predicted), len(truth), self.packed.areas.shape[1])
        union = self.predicted_areas[predicted][:, None] + self.truth_areas[truth][None] - common
        return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def measure(
    ground_truth: GroundTruth,
    predictions: Predictions,
    *,
    strict_reference: bool = False,
) -> Iterator[VideoOverlap]:
    """Overlaps of all videos by ascending id, decoded as they are asked for: one video at a time is in memory.

    Raises DataError for predictions that do not fit and for malformed masks. With `strict_reference`, as in the
    reference evaluator, predictions of unknown classes are dropped, and masks of another size than the video's overlap
    with nothing.
    """
    if not strict_reference:
        check_predictions(predictions, ground_truth)
    class_names = ground_truth.class_names
    order = sorted(range(len(ground_truth.videos)), key=lambda index: ground_truth.videos[index].id)
    for video_index, index in enumerate(order):
        video, truth = ground_truth.videos[index], ground_truth.tracks_of(index)
        found = predictions.tracks.get(video.id, ())
        predicted = [track for track in found if track.category_id in class_names]
        places = [ground_truth.place(index, track) for track in truth]
        places += [predictions.place(track) for track in predicted]
        packed = pack_tracks(
            [*(track.segmentations for track in truth), *(_stored(track.segmentations) for track in predicted)],
            height=video.height,
            width=video.width,
            place=lambda row, frame, places=places: f"{places[row]}, frame {frame}",
            any_size=strict_reference,
        )
        yield _overlap(video, video_index, truth, predicted, packed)


def _stored(masks: Sequence[Any]) -> Sequence[Any]:
    """In the form that is decoded fastest, and in which the reference evaluator sees masks of other sizes."""
    return masks.stored if isinstance(masks, FileMasks) else masks


def _overlap(
    video: Video,
    video_index: int,
    truth: Sequence[AnnotatedTrack],
    predicted: Sequence[Masklet],
    packed: PackedTracks,
) -> VideoOverlap:
    pairs = _pairs(np.arange(len(predicted)) + len(truth), np.arange(len(truth)))
    truth_label = np.array([track.category_id for track in truth], dtype=np.int64)
    predicted_label = np.array([track.category_id for track in predicted], dtype=np.int64)
    common, union = packed.overlaps(pairs, may_stop=(predicted_label[:, None] != truth_label).reshape(-1))
    iou = np.divide(common, union, out=np.zeros(len(pairs)), where=union > 0)
    return VideoOverlap(
        video=video,
        video_index=video_index,
        truth=tuple(truth),
        predicted=tuple(predicted),
        packed=packed,
        truth_label=truth_label,
        predicted_label=predicted_label,
        scores=np.array([track.score for track in predicted], dtype=np.float64),
        iou=iou.reshape(len(predicted), len(truth)),
    )


def _pairs(first: Int[np.ndarray, " a"], second: Int[np.ndarray, " b"]) -> Int[np.ndarray, "p 2"]:
    """Every one of the first with every one of the second, the second running faster."""
    return np.stack((np.repeat(first, len(second)), np.tile(second, len(first))), axis=1).astype(np.int64)
