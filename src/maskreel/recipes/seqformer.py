"""SeqFormer: the published rows (arXiv 2112.08275), and a small one for a CPU."""

from dataclasses import replace
from typing import Any

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.parts.backbones import SWIN_L, BackboneConfig, ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.training.recipe import Recipe, TrainingConfig

CLIPS_PER_EPOCH = 61_845
"""Frames of YouTube-VIS 2019 train; each is the anchor of one clip per epoch."""
CLIPS_PER_EPOCH_2021 = 90_160
"""Frames of YouTube-VIS 2021 train."""
COCO_PICTURES = 80_000
"""Pictures of COCO train 2017 with a class of YouTube-VIS, about; each is one pseudo clip per epoch of a joint run."""
BATCH = 16
SMALL: dict[str, Any] = {
    "backbone": ResNetConfig(depth=18, width=24, norm="batch", frozen_stages=0),
    "num_classes": 4,
    "transformer": DeformableTransformer(
        width=96, hidden=256, num_heads=6, encoder_layers=3, decoder_layers=3, dropout=0.0
    ),
    "queries": BoxQueries(count=20),
}
"""Model options of the small recipes: SeqFormer's, and those of the models that grew from it."""


def r50_ytvis19() -> Recipe:
    """The ablation row: ResNet-50, YouTube-VIS 2019 alone, 12 epochs with drops after 2 and 10.

    Published on 8 GPUs with 2 clips each, from weights pretrained on COCO. One GPU reaches the same batch of 16 by
    accumulation; on 8 GPUs pass --training.accumulate 1.
    """
    return _published("seqformer-r50-ytvis19", ResNetConfig(), drops=(2, 10))


def r50_ytvis19_joint() -> Recipe:
    """ResNet-50 on YouTube-VIS 2019 joined with COCO pseudo clips, drops after 4 and 10.

    --data.joint names the folder of the COCO part.
    """
    return _published("seqformer-r50-ytvis19-joint", ResNetConfig(), drops=(4, 10), is_joint=True)


def r101_ytvis19_joint() -> Recipe:
    """ResNet-101 on YouTube-VIS 2019 joined with COCO pseudo clips, drops after 4 and 10.

    --data.joint names the folder of the COCO part.
    """
    return _published("seqformer-r101-ytvis19-joint", ResNetConfig(depth=101), drops=(4, 10), is_joint=True)


def swin_l_ytvis19_joint() -> Recipe:
    """Swin-L on YouTube-VIS 2019 joined with COCO pseudo clips, drops after 4 and 10; smaller frames, to fit memory.

    Published on 16 GPUs with 1 clip each. --data.joint names the folder of the COCO part.
    """
    recipe = _published("seqformer-swin-l-ytvis19-joint", SWIN_L, drops=(4, 10), is_joint=True)
    augmentation = Augmentation(scales=(288, 320, 352, 392, 416), max_size=640)
    return replace(
        recipe,
        data=replace(recipe.data, batch_size=1, augmentation=augmentation),
        training=replace(recipe.training, accumulate=16),
    )


def r50_ytvis21_joint() -> Recipe:
    """ResNet-50 on YouTube-VIS 2021 joined with COCO pseudo clips, as TAFormer's paper lists it.

    --data.joint names the folder of the COCO part.
    """
    clips = CLIPS_PER_EPOCH_2021
    return _published("seqformer-r50-ytvis21-joint", ResNetConfig(), drops=(4, 10), is_joint=True, clips=clips)


def _published(
    name: str,
    backbone: BackboneConfig,
    *,
    drops: tuple[int, int],
    is_joint: bool = False,
    clips: int = CLIPS_PER_EPOCH,
) -> Recipe:
    epoch = (clips + is_joint * COCO_PICTURES) // BATCH
    return Recipe(
        name=name,
        model=SeqFormerConfig(backbone=backbone),
        data=DataConfig(joint=None if is_joint else (), num_frames=5, batch_size=2),
        training=TrainingConfig(steps=12 * epoch, drops=(drops[0] * epoch, drops[1] * epoch), accumulate=8),
    )


def tiny() -> Recipe:
    """A small model for rendered video at 96x160; 20 minutes on two CPU cores."""
    return Recipe(
        name="seqformer-tiny",
        model=SeqFormerConfig(**SMALL),
        data=DataConfig(
            num_frames=4,
            batch_size=4,
            workers=1,
            augmentation=Augmentation(
                photometric="per_clip",
                scales=(80, 88, 96),
                max_size=160,
                crop_probability=0.3,
                crop_scales=(104, 120),
                crop_sides=(80, 160),
            ),
        ),
        training=TrainingConfig(
            steps=1800,
            learning_rate=5e-4,
            backbone_factor=1.0,
            schedule="cosine",
            warmup=100,
            clip_norm=1.0,
            validate_every=600,
            checkpoint_every=500,
        ),
        evaluation=EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=96)),
    )
