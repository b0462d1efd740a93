"""TT-SPN: the published row, VisTR's heads instead of its own, and small ones for a CPU."""

from dataclasses import replace

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.parts.backbones import ResNetConfig, TwinsConfig
from maskreel.models.tt_spn import PerceptronHeads, SineHeads, TTSPNConfig
from maskreel.recipes import seqformer, vistr
from maskreel.training.recipe import Recipe, SingleFrames, TrainingConfig

BATCH = 16


def twins_ytvis19() -> Recipe:
    """Twins-SVT-S, width 256, YouTube-VIS 2019, 36 frames, 18 epochs, batch 16; the drop after 12 is its code's.

    Evaluated on objects that score above 0.6. Starts from ImageNet weights of the backbone and COCO weights of DETR.
    """
    epoch = seqformer.CLIPS_PER_EPOCH // BATCH
    return Recipe(
        name="tt-spn-twins-ytvis19",
        model=TTSPNConfig(),
        data=DataConfig(
            num_frames=36,
            frames="consecutive",
            batch_size=1,
            augmentation=Augmentation(photometric="none", scales=(300,), max_size=540, crop_probability=0.0),
        ),
        training=TrainingConfig(steps=18 * epoch, drops=(12 * epoch,), accumulate=BATCH, learning_rate=1e-4),
        evaluation=EvaluationConfig(
            predictor=replace(EVERY_SCORE, short_side=300, long_side=540, min_score=0.6, short_clips="repeat")
        ),
    )


def twins_ytvis19_deep() -> Recipe:
    """Blocks counted as the paper's equation 1 has them: a last stage of depth 4 is eight of ours, not four."""
    recipe = twins_ytvis19()
    backbone = TwinsConfig(depths=(2, 2, 10, 8))
    return replace(recipe, name="tt-spn-twins-ytvis19-deep", model=replace(recipe.model, backbone=backbone))


def twins_ytvis19_stated() -> Recipe:
    """The schedule that the text states: one rate for all layers, a tenth of it every three epochs."""
    recipe = twins_ytvis19()
    epoch = seqformer.CLIPS_PER_EPOCH // BATCH
    drops = tuple(number * epoch for number in range(3, 18, 3))
    training = replace(recipe.training, backbone_factor=1.0, drops=drops)
    return replace(recipe, name="tt-spn-twins-ytvis19-stated", training=training)


def twins_ytvis19_siren() -> Recipe:
    """Sine layers that begin as the SIREN paper says, with its factor of 30, where the public code takes 1."""
    recipe = twins_ytvis19()
    head = SineHeads(w0=30.0, start="siren")
    return replace(recipe, name="tt-spn-twins-ytvis19-siren", model=replace(recipe.model, head=head))


def r50_ytvis19() -> Recipe:
    """ResNet-50 instead of Twins, to tell what the backbone does; nothing was reported of it."""
    recipe = twins_ytvis19()
    model = replace(recipe.model, backbone=ResNetConfig(padding="masked"))
    return replace(recipe, name="tt-spn-r50-ytvis19", model=model)


def twins_ytvis19_mlp() -> Recipe:
    """VisTR's linear and perceptron heads instead of sine networks; nothing was reported of it."""
    recipe = twins_ytvis19()
    return replace(recipe, name="tt-spn-twins-ytvis19-mlp", model=replace(recipe.model, head=PerceptronHeads()))


def tiny() -> Recipe:
    """A small model for rendered video at 96x160, clips of 6 frames, on two CPU cores; every score counts.

    On single frames, as vistr-tiny, where cells teach the backbone and heads are VisTR's: the paper begins with a
    backbone and a DETR that have learnt before, and neither part learns beside the other from nothing.
    """
    backbone = TwinsConfig(
        widths=(24, 48, 96, 192), num_heads=(1, 2, 4, 8), depths=(2, 2, 2, 2), drop_path=0.0, last_stride=16
    )
    model = TTSPNConfig(backbone=backbone, head=SineHeads(dropout=0.0), **vistr.PLACED)
    return replace(vistr.tiny(), name="tt-spn-tiny", model=model, first=SingleFrames(cells=2.0, heads="mlp"))


def tiny_mlp() -> Recipe:
    """The twin of tt-spn-tiny with VisTR's heads."""
    recipe = tiny()
    return replace(recipe, name="tt-spn-tiny-mlp", model=replace(recipe.model, head=PerceptronHeads()))
