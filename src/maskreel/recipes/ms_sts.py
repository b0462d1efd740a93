"""MS-STS VIS: every row of its tables (arXiv 2203.13253 and its supplement), and a small one for a CPU.

The paper trains as SeqFormer does and states no schedule; SeqFormer's for YouTube-VIS 2019 alone is taken.
"""

from dataclasses import replace

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.ms_sts import Adversary, MSSTSConfig
from maskreel.models.parts.backbones import SWIN_L, ResNetConfig
from maskreel.models.parts.split_scale import SplitScale
from maskreel.recipes import seqformer
from maskreel.training.recipe import Recipe, TrainingConfig

EPOCH = seqformer.CLIPS_PER_EPOCH // seqformer.BATCH
"""Optimizer steps."""


def r50_ytvis19() -> Recipe:
    """The main row: ResNet-50, split encoder, temporal decoder, adversary, 5 frames."""
    return _row("r50-ytvis19", MSSTSConfig())


def r101_ytvis19() -> Recipe:
    """ResNet-101."""
    return _row("r101-ytvis19", MSSTSConfig(backbone=ResNetConfig(depth=101)))


def swin_l_ytvis19() -> Recipe:
    """Swin-L."""
    return _row("swin-l-ytvis19", MSSTSConfig(backbone=SWIN_L))


def without_adversary() -> Recipe:
    """Without the foreground-background loss."""
    return _row("r50-ytvis19-without-adversary", MSSTSConfig(adversary=None))


def split() -> Recipe:
    """Split attention beside the deformable attention, no other part."""
    return _encoder("split", MSSTSConfig(encoder_variant="split"))


def baseline() -> Recipe:
    """The paper's own SeqFormer at 5 frames."""
    return _encoder("baseline", MSSTSConfig(encoder_variant="baseline"))


def attention_after() -> Recipe:
    """Split attention after the deformable attention of each layer."""
    return _encoder("attention-after", MSSTSConfig(encoder_variant="attention_after"))


def attention_before() -> Recipe:
    """Split attention before the deformable attention of each layer."""
    return _encoder("attention-before", MSSTSConfig(encoder_variant="attention_before"))


def encoder_after() -> Recipe:
    """An encoder of split attention after the deformable one."""
    return _encoder("encoder-after", MSSTSConfig(encoder_variant="encoder_after"))


def encoder_before() -> Recipe:
    """An encoder of split attention before the deformable one."""
    return _encoder("encoder-before", MSSTSConfig(encoder_variant="encoder_before"))


def intra_only() -> Recipe:
    """The split encoder with attention over frames alone (supplement, section S1.1, where no AP is stated)."""
    return _encoder("intra-only", MSSTSConfig(split=SplitScale(inter=None)))


def inter_only() -> Recipe:
    """The split encoder with attention over scales alone (supplement, section S1.1, where no AP is stated)."""
    return _encoder("inter-only", MSSTSConfig(split=SplitScale(intra=None)))


def t2() -> Recipe:
    """Trained on clips of 2 frames."""
    return _frames(2)


def t3() -> Recipe:
    """Trained on clips of 3 frames."""
    return _frames(3)


def t4() -> Recipe:
    """Trained on clips of 4 frames."""
    return _frames(4)


def t36() -> Recipe:
    """Trained on clips of 36 frames at VisTR's size; its AP is not stated, but its gain over the baseline (S1.4)."""
    return _frames(36)


def baseline_t2() -> Recipe:
    """The paper's own SeqFormer on clips of 2 frames."""
    return _frames(2, of=baseline())


def baseline_t3() -> Recipe:
    """The paper's own SeqFormer on clips of 3 frames."""
    return _frames(3, of=baseline())


def baseline_t4() -> Recipe:
    """The paper's own SeqFormer on clips of 4 frames."""
    return _frames(4, of=baseline())


def baseline_t36() -> Recipe:
    """The paper's own SeqFormer on clips of 36 frames at VisTR's size; its AP is not stated (S1.4)."""
    return _frames(36, of=baseline())


def tiny() -> Recipe:
    """The main row at the size of seqformer-tiny, for rendered video on two CPU cores; the same steps."""
    split = SplitScale(width=24, hidden=24, num_heads=6)
    model = MSSTSConfig(**seqformer.SMALL, split=split, adversary=Adversary(warmup=200))
    return replace(seqformer.tiny(), name="ms-sts-tiny", model=model)


def _row(row: str, model: MSSTSConfig) -> Recipe:
    return Recipe(
        name=f"ms-sts-{row}",
        model=model,
        data=DataConfig(num_frames=5, batch_size=2),
        training=TrainingConfig(steps=12 * EPOCH, drops=(2 * EPOCH, 10 * EPOCH), accumulate=8),
    )


def _encoder(row: str, model: MSSTSConfig) -> Recipe:
    """A row about the encoder: neither attention across frames in the decoder nor an adversary."""
    return _row(f"r50-ytvis19-{row}", replace(model, temporal_decoder=None, adversary=None))


def _frames(number: int, *, of: Recipe | None = None) -> Recipe:
    """A row with clips of another length; 36 frames take VisTR's frame size and one clip at a time."""
    row = of or r50_ytvis19()
    row = replace(row, name=f"{row.name}-t{number}", data=replace(row.data, num_frames=number))
    if number < 36:
        return row
    return replace(
        row,
        data=replace(row.data, batch_size=1, augmentation=Augmentation(scales=(300,), max_size=540)),
        training=replace(row.training, accumulate=16),
        evaluation=EvaluationConfig(predictor=replace(EVERY_SCORE, short_side=300)),
    )
