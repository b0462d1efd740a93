"""Deformable VisTR: the published rows (arXiv 2203.06318), and a small one for a CPU."""

from dataclasses import replace

from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.recipes import vistr
from maskreel.training.recipe import Recipe, TrainingConfig

CLIPS_PER_EPOCH = 2_238
"""Videos of YouTube-VIS 2019 train; here an epoch is one clip per video."""
BATCH = 4
"""One clip on each of 4 GPUs of 15 GB, here accumulated."""


def r50_ytvis19() -> Recipe:
    """ResNet-50, 32 points, YouTube-VIS 2019, 36 frames, 50 epochs with a drop after 40; 120 GPU hours.

    VisTR, which is a little better, trains for ten times as many epochs.
    """
    return _published("deformable-vistr-r50-ytvis19", num_points=32)


def r50_ytvis19_k16() -> Recipe:
    """The same with 16 points."""
    return _published("deformable-vistr-r50-ytvis19-k16", num_points=16)


def _published(name: str, *, num_points: int) -> Recipe:
    epoch = CLIPS_PER_EPOCH // BATCH
    return Recipe(
        name=name,
        model=DeformableVisTRConfig(num_points=num_points),
        data=DataConfig(
            num_frames=36,
            frames="consecutive",
            anchors="per_video",
            batch_size=1,
            augmentation=vistr.augmentation(300, 540),
        ),
        training=TrainingConfig(steps=50 * epoch, drops=(40 * epoch,), accumulate=BATCH, learning_rate=1e-4),
        evaluation=EvaluationConfig(
            predictor=replace(EVERY_SCORE, short_side=300, long_side=540, short_clips="repeat")
        ),
    )


def tiny() -> Recipe:
    """The twin of vistr-tiny: the same but for the encoder, whose tokens read 16 points of the clip."""
    model = DeformableVisTRConfig(backbone=vistr.SMALL_BACKBONE, num_points=16, **vistr.PLACED)
    return replace(vistr.tiny(), name="deformable-vistr-tiny", model=model)
