"""MS-STS VIS: every row of its tables (arXiv 2203.13253 and its supplement), and a small one for a CPU.

The paper trains as SeqFormer does and states no schedule. Rows without `joint` take SeqFormer's for YouTube-VIS 2019
alone; the `joint` rows read "the same settings" as those of SeqFormer's main rows, which add COCO.
"""

from dataclasses import replace

from maskreel.data.augment import Augmentation
from maskreel.data.config import DataConfig
from maskreel.evaluation.options import EVERY_SCORE, EvaluationConfig
from maskreel.models.ms_sts import Adversary, MSSTSConfig
from maskreel.models.parts.backbones import SWIN_L, BackboneConfig, ResNetConfig
from maskreel.models.parts.split_scale import SplitScale, Window
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


def r50_ytvis19_joint() -> Recipe:
    """The main row trained on YouTube-VIS 2019 joined with COCO pseudo clips; --data.joint names the COCO part."""
    return _joint("r50-ytvis19-joint", ResNetConfig())


def r101_ytvis19_joint() -> Recipe:
    """ResNet-101, joined with COCO pseudo clips; --data.joint names the COCO part."""
    return _joint("r101-ytvis19-joint", ResNetConfig(depth=101))


def swin_l_ytvis19_joint() -> Recipe:
    """Swin-L, joined with COCO pseudo clips; --data.joint names the COCO part."""
    return _joint("swin-l-ytvis19-joint", SWIN_L)


def consecutive() -> Recipe:
    """The main row on clips of neighbouring frames, as it is used, instead of frames from the whole video."""
    row = _row("r50-ytvis19-consecutive", MSSTSConfig())
    return replace(row, data=replace(row.data, frames="consecutive"))


def without_adversary() -> Recipe:
    """Without the foreground-background loss."""
    return _row("r50-ytvis19-without-adversary", MSSTSConfig(adversary=None))


def without_decoder() -> Recipe:
    """Without the attention of box queries across frames."""
    return _row("r50-ytvis19-without-decoder", MSSTSConfig(temporal_decoder=None))


def decoder() -> Recipe:
    """The attention of box queries across frames, no other part."""
    return _row("r50-ytvis19-decoder", MSSTSConfig(encoder_variant="baseline", adversary=None))


def adversary() -> Recipe:
    """The foreground-background loss, no other part."""
    return _row("r50-ytvis19-adversary", MSSTSConfig(encoder_variant="baseline", temporal_decoder=None))


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


def intra_paired() -> Recipe:
    """The split encoder whose attention within a scale is of the kind between scales (supplement, section S1.1)."""
    return _encoder("intra-paired", MSSTSConfig(split=SplitScale(intra="paired", inter=None)))


def intra_window() -> Recipe:
    """The split encoder with attention over space and time within a scale alone (supplement, section S1.1)."""
    return _encoder("intra-window", MSSTSConfig(split=SplitScale(intra="window", inter=None)))


def inter_window() -> Recipe:
    """The split encoder with attention over space and time between scales alone (supplement, section S1.1)."""
    return _encoder("inter-window", MSSTSConfig(split=SplitScale(intra=None, inter=Window())))


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


def t2_linked() -> Recipe:
    """Trained on clips of 2 frames and evaluated on them, linked from clip to clip."""
    return _linked(t2())


def t3_linked() -> Recipe:
    """Trained on clips of 3 frames and evaluated on them, linked from clip to clip."""
    return _linked(t3())


def t4_linked() -> Recipe:
    """Trained on clips of 4 frames and evaluated on them, linked from clip to clip."""
    return _linked(t4())


def t5_linked() -> Recipe:
    """The main row evaluated on clips of 5 frames, linked from clip to clip."""
    return _linked(_frames(5))


def baseline_t2_linked() -> Recipe:
    """The paper's own SeqFormer trained on clips of 2 frames and evaluated on them, linked from clip to clip."""
    return _linked(baseline_t2())


def baseline_t3_linked() -> Recipe:
    """The paper's own SeqFormer trained on clips of 3 frames and evaluated on them, linked from clip to clip."""
    return _linked(baseline_t3())


def baseline_t4_linked() -> Recipe:
    """The paper's own SeqFormer trained on clips of 4 frames and evaluated on them, linked from clip to clip."""
    return _linked(baseline_t4())


def baseline_t5_linked() -> Recipe:
    """The paper's own SeqFormer evaluated on clips of 5 frames, linked from clip to clip."""
    return _linked(_frames(5, of=baseline()))


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


def _joint(row: str, backbone: BackboneConfig) -> Recipe:
    """A main row under the schedule and on the data of SeqFormer's joint rows."""
    like = seqformer.swin_l_ytvis19_joint() if backbone == SWIN_L else seqformer.r50_ytvis19_joint()
    return replace(like, name=f"ms-sts-{row}", model=MSSTSConfig(backbone=backbone))


def _linked(row: Recipe) -> Recipe:
    """A row evaluated in windows as long as its training clips, each a frame after the one before."""
    frames = row.data.num_frames
    predictor = replace(row.evaluation.predictor, clip_frames=frames, clip_overlap=frames - 1)
    return replace(row, name=f"{row.name}-linked", evaluation=replace(row.evaluation, predictor=predictor))


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
