"""VisTR: the published rows (arXiv 2011.14503), and a small one for a CPU."""

from dataclasses import replace
from typing import Any, Literal

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries, PlacedQueries
from maskreel.models.vistr import VisTRConfig
from maskreel.recipes import seqformer
from maskreel.training.recipe import Recipe, SingleFrames, TrainingConfig

BATCH = 8
"""One clip on each of 8 GPUs of 32 GB, here accumulated."""
SMALL_BACKBONE = ResNetConfig(depth=18, width=24, norm="batch", frozen_stages=0, padding="masked", last_stride=16)
SMALL: dict[str, Any] = {
    "num_classes": 4,
    "transformer": ClipTransformer(
        width=96, hidden=256, encoder_layers=3, decoder_layers=3, dropout=0.0, attention_dropout=0.0
    ),
    "queries": FrameQueries(count=6, frames=6),
}
"""Model options of the small recipes: VisTR's, and those of the models that grew from it."""
PLACED: dict[str, Any] = {**SMALL, "queries": FrameQueries(count=6, frames=6, placed=PlacedQueries())}
"""The same with queries that part early; published weights start from a trained DETR instead."""


def r50_ytvis19() -> Recipe:
    """ResNet-50, YouTube-VIS 2019, 36 frames, 18 epochs with a drop after 12; 1000 hours of V100.

    Starts from COCO weights of a DETR of width 384.
    """
    return _published("vistr-r50-ytvis19", depth=50, short_side=300, long_side=540)


def r101_ytvis19() -> Recipe:
    """ResNet-101 on smaller frames."""
    return _published("vistr-r101-ytvis19", depth=101, short_side=280, long_side=504)


def r50_ytvis21() -> Recipe:
    """ResNet-50 on YouTube-VIS 2021, as TAFormer's paper lists it."""
    clips = seqformer.CLIPS_PER_EPOCH_2021
    return _published("vistr-r50-ytvis21", depth=50, short_side=300, long_side=540, clips=clips)


def _published(
    name: str,
    *,
    depth: Literal[50, 101],
    short_side: int,
    long_side: int,
    clips: int = seqformer.CLIPS_PER_EPOCH,
) -> Recipe:
    epoch = clips // BATCH
    return Recipe(
        name=name,
        model=VisTRConfig(backbone=ResNetConfig(depth=depth, padding="masked")),
        data=DataConfig(
            num_frames=36,
            frames="consecutive",
            batch_size=1,
            augmentation=augmentation(short_side, long_side),
        ),
        training=TrainingConfig(steps=18 * epoch, drops=(12 * epoch,), accumulate=BATCH, learning_rate=1e-4),
        evaluation=EvaluationConfig(
            predictor=replace(EVERY_SCORE, short_side=short_side, long_side=long_side, short_clips="repeat")
        ),
    )


def augmentation(short_side: int, long_side: int) -> Augmentation:
    """A window is cut out of every clip, as the public code does it."""
    return Augmentation(scales=(short_side,), max_size=long_side, crop_probability=1.0)


def tiny() -> Recipe:
    """A small model for rendered video at 96x160, clips of 6 frames, on two CPU cores.

    Two stages: single frames, on which the queries part, then clips that start from their weights. Its last map stays
    at stride 16, where an object is more than one token.
    """
    recipe = seqformer.tiny()
    return replace(
        recipe,
        name="vistr-tiny",
        model=VisTRConfig(backbone=SMALL_BACKBONE, **PLACED),
        data=replace(recipe.data, num_frames=6, frames="consecutive"),
        training=replace(recipe.training, steps=1200, learning_rate=7e-4, warmup=50, validate_every=400),
        evaluation=EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=96, clip_frames=6, clip_overlap=2)),
        first=SingleFrames(),
    )
