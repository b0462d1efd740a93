"""Run a model over every video of a split and score what it finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError
from maskreel.evaluation.average_precision import AveragePrecision, AveragePrecisionMeter
from maskreel.evaluation.options import EvaluationConfig
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.results import Predictions, write_results
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.inference.predictor import VideoPredictor

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
    model: nn.Module,
    classes: Sequence[tuple[int, str]],
    dataset: YouTubeVIS,
    config: EvaluationConfig,
    *,
    device: torch.device | str = "cpu",
    on_video: Callable[[int], None] | None = None,
) -> Evaluation:
    """Predict every video of a split and measure AP and AR. Leaves the model in evaluation mode.

    `classes` are (category id, name) per label of the model; `on_video` is told how many videos are done. What is found
    of classes that the data lacks, as a model trained on several sets has them, is left out. Raises DataError when a
    class of the data is not the model's, or the split has no annotations.
    """
    check_classes(classes, dataset)
    ground_truth = dataset.truth
    if ground_truth.tracks is None:
        raise DataError(f"{dataset.annotation_path}: there is no ground truth in it; score a split with annotations")
    class_names = ground_truth.class_names
    # Objects beyond the best pairs of a clip would change which tracks are linked, and so the published measure.
    predictor = VideoPredictor(model, classes, replace(config.predictor, max_objects=None), device=device)
    tracks: dict[int, list[Masklet]] = {}
    for index, video in enumerate(dataset.videos):
        found = predicted_tracks(predictor.predict(DatasetVideo(dataset, index)).pairs(config.predictor.min_score))
        tracks[video.id] = [track for track in found if track.category_id in class_names]
        if on_video is not None:
            on_video(index + 1)
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
        class_names=class_names,
        metrics=overall.result(),
        per_size={size: _shown(overall.in_range(index)) for index, size in enumerate(SIZES, start=1)},
        per_dial={dial: _shown(meter.result().stats) for dial, meter in per_dial.items()},
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
