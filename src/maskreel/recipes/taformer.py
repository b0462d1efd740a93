"""TAFormer: every row of its tables (arXiv 2301.09416), and a small one for a CPU.

Rows that stand in several tables of the paper are listed once.
"""

from dataclasses import replace

from maskreel.data.config import DataConfig
from maskreel.models.parts.backbones import SWIN_L, ResNetConfig
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.taformer import Contrast, TAFormerConfig
from maskreel.recipes import seqformer
from maskreel.training.recipe import Recipe, TrainingConfig

COCO_PICTURES = 117_266
"""Pictures of COCO train 2017 with an object."""
BATCH = 16
"""Four clips on each of four GPUs."""


def r50_ytvis19() -> Recipe:
    """The main row: ResNet-50, four points per neighbour, all parts."""
    return _row("r50-ytvis19", TAFormerConfig())


def r101_ytvis19() -> Recipe:
    """ResNet-101."""
    return _row("r101-ytvis19", TAFormerConfig(backbone=ResNetConfig(depth=101)))


def swin_l_ytvis19() -> Recipe:
    """Swin-L."""
    return _row("swin-l-ytvis19", TAFormerConfig(backbone=SWIN_L))


def r50_ytvis21() -> Recipe:
    """The main row on YouTube-VIS 2021."""
    return _row("r50-ytvis21", TAFormerConfig(), clips_per_epoch=seqformer.CLIPS_PER_EPOCH_2021)


def r50_coco() -> Recipe:
    """What the rows start from: 24 epochs on COCO, every picture five times, turned by up to 20 degrees.

    --data.root names COCO as `maskreel data convert --from coco` writes it. The drop is not stated; Deformable DETR's,
    after four fifths of the epochs, is taken.
    """
    row = _row("r50-coco", replace(TAFormerConfig(), num_classes=80))
    epoch = COCO_PICTURES // BATCH
    return replace(row, training=replace(row.training, steps=24 * epoch, drops=(19 * epoch,)))


def consecutive() -> Recipe:
    """The main row on clips of neighbouring frames, as it is used, instead of frames from the whole video."""
    row = r50_ytvis19()
    return replace(row, name=f"{row.name}-consecutive", data=replace(row.data, frames="consecutive"))


def raw_time() -> Recipe:
    """The main row with the index of a frame in its code, not its place in the clip as a fraction."""
    return _row("r50-ytvis19-raw-time", TAFormerConfig(code="raw"))


def contrast_sum() -> Recipe:
    """The main row with the contrastive loss summed over pairs of frames, as equation 8 says, instead of their mean."""
    return _row("r50-ytvis19-contrast-sum", TAFormerConfig(contrast=Contrast(reduction="sum")))


def baseline() -> Recipe:
    """The paper's own SeqFormer, four levels."""
    return _encoder("baseline", TAFormerConfig(neighbours=None, code="none"))


def encoder() -> Recipe:
    """Spatio-temporal encoder alone."""
    return _encoder("encoder", TAFormerConfig())


def encoder_decoder() -> Recipe:
    """Spatio-temporal encoder and temporal decoder."""
    return _row("r50-ytvis19-encoder-decoder", TAFormerConfig(contrast=None))


def fusion_add() -> Recipe:
    """Spatial and temporal features added, encoder alone."""
    return _encoder("fusion-add", TAFormerConfig(neighbours=Neighbours(fusion="add")))


def fusion_concat() -> Recipe:
    """Spatial and temporal features through a linear layer, encoder alone."""
    return _encoder("fusion-concat", TAFormerConfig(neighbours=Neighbours(fusion="concat")))


def baseline_one_level() -> Recipe:
    """The paper's own SeqFormer sampling stride 32 alone."""
    return _encoder("baseline-one-level", TAFormerConfig(spatial_levels=(2,), neighbours=None, code="none"))


def encoder_one_level() -> Recipe:
    """Spatio-temporal encoder sampling stride 32 alone."""
    model = TAFormerConfig(spatial_levels=(2,), neighbours=Neighbours(temporal_levels=(2,)))
    return _encoder("encoder-one-level", model)


def baseline_one_level_tokens() -> Recipe:
    """The same on tokens of stride 32 alone, in encoder and decoder: the other reading of the row."""
    return _one_level_tokens(baseline_one_level())


def encoder_one_level_tokens() -> Recipe:
    """The same on tokens of stride 32 alone, in encoder and decoder: the other reading of the row."""
    return _one_level_tokens(encoder_one_level())


def contrast_last() -> Recipe:
    """Contrastive loss on the last decoder layer alone."""
    return _row("r50-ytvis19-contrast-last", TAFormerConfig(contrast=Contrast(layers="last")))


def points1() -> Recipe:
    """One point per neighbour."""
    return _row("r50-ytvis19-points1", TAFormerConfig(neighbours=Neighbours(num_points=1)))


def points2() -> Recipe:
    """Two points per neighbour."""
    return _row("r50-ytvis19-points2", TAFormerConfig(neighbours=Neighbours(num_points=2)))


def points3() -> Recipe:
    """Three points per neighbour."""
    return _row("r50-ytvis19-points3", TAFormerConfig(neighbours=Neighbours(num_points=3)))


def tiny() -> Recipe:
    """The main row at the size of seqformer-tiny, for rendered video on two CPU cores; half as many steps again."""
    recipe = seqformer.tiny()
    training = replace(recipe.training, steps=2700)
    return replace(recipe, name="taformer-tiny", model=TAFormerConfig(**seqformer.SMALL), training=training)


def _row(row: str, model: TAFormerConfig, *, clips_per_epoch: int = seqformer.CLIPS_PER_EPOCH) -> Recipe:
    """6 epochs with drops after 3 and 5, on weights trained on COCO, whose pictures are turned in every frame."""
    epoch = clips_per_epoch // BATCH
    return Recipe(
        name=f"taformer-{row}",
        model=model,
        data=DataConfig(num_frames=5, batch_size=4, stills="rotate"),
        training=TrainingConfig(steps=6 * epoch, drops=(3 * epoch, 5 * epoch), accumulate=4, learning_rate=1e-4),
    )


def _encoder(row: str, model: TAFormerConfig) -> Recipe:
    """A row about the encoder: neither attention across frames in the decoder nor a contrastive loss."""
    return _row(f"r50-ytvis19-{row}", replace(model, temporal_decoder=None, contrast=None))


def _one_level_tokens(row: Recipe) -> Recipe:
    return replace(row, name=f"{row.name}-tokens", model=replace(row.model, encoded_levels="sampled"))
