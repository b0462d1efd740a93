"""Run a model over every video of a split and score what it finds."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.tracks import GroundTruth
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError
from maskreel.evaluation.average_precision import AveragePrecision, AveragePrecisionMeter
from maskreel.evaluation.options import EvaluationConfig
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.results import Predictions, write_results
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.inference.predictor import VideoPredictor
from maskreel.left_out import LeftOut
from maskreel.runtimes.protocol import Runtime

SHOWN = ("AP", "AP50", "AP75", "AR1", "AR10")
"""Metrics given overall, per size, per class and per dial."""
SIZES = ("small", "medium", "large")
"""Mean area of a track: below 128 x 128 pixels, up to 256 x 256, above."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model finds in a split, and how good it is; metrics are fractions, None where nothing can be measured."""

    predictions: Predictions
    class_names: dict[int, str]
    """By category id."""
    metrics: AveragePrecision
    per_size: dict[str, dict[str, float | None]]
    per_dial: dict[str, dict[str, float | None]]
    """Over the videos that show a difficulty; empty where the data names none."""

    @property
    def overall(self) -> dict[str, float | None]:
        return _shown(self.metrics.stats)

    @property
    def per_class(self) -> dict[str, dict[str, float | None]]:
        """By class name."""
        return {self.class_names[label]: _shown(stats) for label, stats in self.metrics.per_category.items()}

    def tracks(self, video_id: int) -> Sequence[Masklet]:
        return self.predictions.tracks.get(video_id, ())

    def to_json(self) -> dict[str, Any]:
        """The Score JSON, with the metrics per size and per dial added."""
        return {"ap": {**self.metrics.to_json(), "per_size": self.per_size, "per_dial": self.per_dial}}

    def save_results(self, path: str | Path) -> None:
        """Write the predictions as a YouTube-VIS results file."""
        write_results(Path(path), self.predictions)


def evaluate(
    model: nn.Module | Runtime,
    classes: Sequence[tuple[int, str]],
    dataset: YouTubeVIS,
    config: EvaluationConfig,
    *,
    device: torch.device | str = "cpu",
    on_video: Callable[[int], None] | None = None,
    left_out: LeftOut | None = None,
) -> Evaluation:
    """Predict every video of a split and measure AP and AR. Leaves the model in evaluation mode.

    `classes` are (category id, name) per label of the model; `on_video` is told how many videos are done. What is found
    of classes that the data lacks, as a model trained on several sets has them, is left out. A video that cannot be
    read is an error, or is not measured where `left_out` takes it. Raises DataError when a class of the data is not the
    model's, the split has no annotations, or no video can be read.
    """
    check_classes(classes, dataset)
    _require_truth(dataset)
    predictor = evaluated_predictor(model, classes, config, device)
    videos = range(len(dataset.videos))
    return measure_tracks(dataset, find_tracks(predictor, dataset, videos, on_video=on_video, left_out=left_out))


Tracks = dict[int, list[Masklet]]
"""What was found, by video id."""


def evaluated_predictor(
    model: nn.Module | Runtime,
    classes: Sequence[tuple[int, str]],
    config: EvaluationConfig,
    device: torch.device | str,
) -> VideoPredictor:
    """A predictor as `evaluate` runs it."""
    # Objects beyond the best pairs of a clip would change which tracks are linked, and so the published measure.
    return VideoPredictor(model, classes, replace(config.predictor, max_objects=None), device=device)


def find_tracks(
    predictor: VideoPredictor,
    dataset: YouTubeVIS,
    videos: Sequence[int],
    *,
    on_video: Callable[[int], None] | None = None,
    left_out: LeftOut | None = None,
) -> Tracks:
    """What is found in some videos of a split, by their places in it; other arguments and errors as `evaluate`."""
    class_names = dataset.truth.class_names
    tracks: Tracks = {}
    for done, index in enumerate(videos, 1):
        video = dataset.videos[index]
        try:
            masklets = predictor.predict(DatasetVideo(dataset, index)).pairs(predictor.options.min_score)
        except DataError as error:
            if left_out is None or not left_out.is_skipped("video") or len(dataset.videos) == 1:
                raise
            left_out.leave_out("video", dataset.annotation_path, f"video {video.id}", str(error))
            continue
        found = predicted_tracks(masklets)
        tracks[video.id] = [track for track in found if track.category_id in class_names]
        if on_video is not None:
            on_video(done)
    return tracks


def measure_tracks(dataset: YouTubeVIS, tracks: Tracks) -> Evaluation:
    """AP and AR over the videos that were searched, whoever did it and in whatever order.

    DataError where none was, or there is no truth.
    """
    ground_truth = _require_truth(dataset)
    tracks = {video.id: tracks[video.id] for video in dataset.videos if video.id in tracks}
    if not tracks and dataset.videos:
        raise DataError(f"{dataset.annotation_path}: none of its {len(dataset.videos)} videos can be read")
    ground_truth = of_videos(ground_truth, tracks)
    overall = AveragePrecisionMeter(ground_truth)
    dials = {video.id: video.dials for video in dataset.videos}
    per_dial = {
        dial: AveragePrecisionMeter(ground_truth) for dial in sorted({d for some in dials.values() for d in some})
    }
    predictions = Predictions(tracks=tracks)
    for overlap in measure(ground_truth, predictions):
        overall.add(overlap)
        for dial in dials[overlap.video.id]:
            per_dial[dial].add(overlap)
    return Evaluation(
        predictions=predictions,
        class_names=ground_truth.class_names,
        metrics=overall.result(),
        per_size={size: _shown(overall.in_range(index)) for index, size in enumerate(SIZES, start=1)},
        per_dial={dial: _shown(meter.result().stats) for dial, meter in per_dial.items()},
    )


def _require_truth(dataset: YouTubeVIS) -> GroundTruth:
    if dataset.truth.tracks is None:
        raise DataError(f"{dataset.annotation_path}: there is no ground truth in it; score a split with annotations")
    return dataset.truth


def of_videos(truth: GroundTruth, ids: Collection[int]) -> GroundTruth:
    """The truth of some of its videos."""
    kept = [place for place, video in enumerate(truth.videos) if video.id in ids]
    if truth.tracks is None or len(kept) == len(truth.videos):
        return truth
    return replace(
        truth,
        videos=tuple(truth.videos[place] for place in kept),
        tracks=tuple(truth.tracks[place] for place in kept),
    )


def predicted_tracks(masklets: Masklets) -> list[Masklet]:
    """What was found in one video, as the metrics take it: with its masks in memory."""
    return [replace(masklet, segmentations=tuple(masklet.segmentations)) for masklet in masklets]


def check_classes(classes: Sequence[tuple[int, str]], dataset: YouTubeVIS) -> None:
    """Raise DataError unless the model has the classes of the data, with the same ids; it may have more."""
    own = dict(classes)
    wanted = {category.id: category.name for category in dataset.categories}
    if len(own) < len(wanted):
        raise DataError(
            f"the model has {len(own)} classes, {dataset.annotation_path} has {len(wanted)}; "
            "score a model that was trained on these classes"
        )
    for category_id, name in wanted.items():
        if own.get(category_id, "").casefold() != name.casefold():
            raise DataError(
                f"class {category_id} of {dataset.annotation_path} is {name!r}, of the model "
                f"{own.get(category_id)!r}; score a model that was trained on these classes"
            )


def _shown(stats: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: stats[name] for name in SHOWN}
