"""Pictures of a run: what the labels look like, what the model is shown, what it finds, and the curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from maskreel.data.joint import TrainingData
from maskreel.data.loading import TrainingBatch
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.evaluation.evaluate import Evaluation
from maskreel.files import complete_file
from maskreel.geometry import rle
from maskreel.left_out import LeftOut
from maskreel.training.log import METRICS, ResultsTable
from maskreel.video.prepare import IMAGENET_MEAN, IMAGENET_STD
from maskreel.visualize.draw import DrawnObject, contact_sheet, draw_objects, evenly_spaced, save_picture

SHOWN_CLIPS, SHOWN_FRAMES = 4, 8
"""Most rows and columns of a filmstrip."""
SHOWN_SCORE = 0.3
"""Predictions below this score are left out of the pictures."""


def training_batch(path: Path, batch: TrainingBatch, dataset: TrainingData) -> None:
    """A filmstrip of the clips as the model is shown them: augmented, with their masks."""
    names = [category.name for category in dataset.categories]
    scale = 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1)
    shift = 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    rows = []
    for clip, target in list(zip(batch.clips.frames, batch.targets, strict=True))[:SHOWN_CLIPS]:
        height, width = target.masks.shape[-2:]
        pixels = (clip[:, :, :height, :width].cpu() * scale + shift).round().clamp(0, 255).byte()
        frames = pixels.permute(0, 2, 3, 1).numpy()
        captions = [names[label] for label in target.labels.tolist()]
        masks = target.masks.cpu().numpy()
        chosen = evenly_spaced(len(frames), SHOWN_FRAMES)
        rows.append([_painted(frames[t], masks[:, t], captions) for t in chosen])
    save_picture(path, contact_sheet(rows))


def validation_batch(folder: Path, dataset: YouTubeVIS, evaluation: Evaluation) -> None:
    """Filmstrips of the first validation videos that were read: `val_batch0_labels.jpg`, `val_batch0_pred.jpg`."""
    names = [category.name for category in dataset.categories]
    labelled, predicted = [], []
    measured = [index for index, video in enumerate(dataset.videos) if video.id in evaluation.predictions.tracks]
    for index in measured[:SHOWN_CLIPS]:
        video = dataset.videos[index]
        chosen = evenly_spaced(video.length, SHOWN_FRAMES)
        frames = dataset.decode_frames(index, chosen).permute(0, 2, 3, 1).numpy()
        target = dataset.clip_target(index, chosen, LeftOut(quiet=True))
        captions = [names[label] for label in target.labels.tolist()]
        masks = target.masks.numpy()
        labelled.append([_painted(frame, masks[:, t], captions) for t, frame in enumerate(frames)])
        found = [track for track in evaluation.tracks(video.id) if track.score >= SHOWN_SCORE]
        captions = [f"{evaluation.class_names[track.category_id]} {track.score:.2f}" for track in found]
        predicted.append(
            [
                _painted(frame, _decoded([track.segmentations[t] for track in found], frame.shape[:2]), captions)
                for t, frame in zip(chosen, frames, strict=True)
            ]
        )
    for name, rows in (("labels", labelled), ("pred", predicted)):
        if rows:
            save_picture(folder / f"val_batch0_{name}.jpg", contact_sheet(rows))


def results(path: Path, table: ResultsTable) -> None:
    """The curves of `results.csv`: the losses on a logarithmic scale, and the validation figures in percent."""
    from matplotlib.figure import Figure

    lines = table.read()
    figure = Figure(figsize=(12, 5))
    loss_axes, metric_axes = figure.subplots(1, 2)
    steps = [int(line["step"]) for line in lines]
    for name in (name for name in (lines[0] if lines else {}) if name.startswith("loss/")):
        loss_axes.plot(steps, [float(line[name]) for line in lines], label=name.removeprefix("loss/"))
    loss_axes.set_yscale("log")
    loss_axes.set_title("losses by step")
    measured = [line for line in lines if line["metrics/AP"]]
    for name in METRICS if measured else ():
        values = [100 * float(line[f"metrics/{name}"] or "nan") for line in measured]
        metric_axes.plot([int(line["step"]) for line in measured], values, "o-", label=name)
    metric_axes.set_title("validation by step, percent" if measured else "no validation")
    for axes in (loss_axes, metric_axes):
        if axes.has_data():
            axes.legend()
    _save_figure(figure, path)


def _painted(
    frame: UInt8[np.ndarray, "h w 3"], masks: Bool[np.ndarray, "n h w"], captions: Sequence[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """A frame with its masks in the colours of their positions."""
    return draw_objects(
        frame,
        [
            DrawnObject(mask=mask, track_id=number, caption=caption)
            for number, (mask, caption) in enumerate(zip(masks, captions, strict=True), start=1)
        ],
    )


def _decoded(segmentations: Sequence[Any], size: tuple[int, ...]) -> Bool[np.ndarray, "n h w"]:
    masks = np.zeros((len(segmentations), *size), dtype=bool)
    for mask, encoded in zip(masks, segmentations, strict=True):
        if encoded is not None:
            mask[:] = rle.decode(encoded)
    return masks


def _save_figure(figure: Any, path: Path) -> None:
    with complete_file(path) as new:
        figure.savefig(new, dpi=100)
