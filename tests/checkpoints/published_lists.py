"""What the lists of published checkpoints must be recognised as, source by source."""

from dataclasses import dataclass, field, replace

from maskreel.checkpoints.dialects.mssts import DiscriminatorConfig
from maskreel.models.parts.backbones import TWINS_BASE, TWINS_LARGE, ResNetConfig, SwinConfig, TwinsConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.parts.frame_queries import ClipTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.tt_spn import TTSPNConfig
from maskreel.models.vistr import VisTRConfig
from tests.checkpoints import spot_checks
from tests.checkpoints.spot_checks import Rows


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a list must be recognised as."""

    source: str
    config: object
    checks: dict[str, str]
    """Ours to theirs."""
    body: str
    """Prefix of the backbone's names there."""
    parts: dict[str, tuple[str, Rows]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Parts of ours that the list lacks."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Tensors of theirs by a word of the reason."""


R101 = ResNetConfig(depth=101)
DEAD = {"never calls": 12, "second name": 36}
START = ("classify.", "decoder.", "mask_head.")
NOT_BACKBONE = ("project.", "encoder.", "decoder.", "classify.", "boxes.", "mask_head.")
TWINS_DROPPED = {"classifier of ImageNet": 4}


def seqformer(source: str, config: SeqFormerConfig, dropped: dict[str, int]) -> Expected:
    return Expected(
        source=source,
        config=config,
        checks=spot_checks.SEQFORMER,
        body="detr.backbone.0.body.",
        parts=spot_checks.SEQFORMER_PARTS,
        dropped=dropped,
    )


def vistr(depth: ResNetConfig) -> Expected:
    return Expected(
        source="vistr",
        config=VisTRConfig(backbone=depth),
        checks=spot_checks.VISTR,
        body="vistr.backbone.0.body.",
        parts=spot_checks.VISTR_PARTS,
    )


def deformable_detr(config: SeqFormerConfig, second_names: int) -> Expected:
    return Expected(
        source="deformable-detr",
        config=config,
        checks=spot_checks.DEFORMABLE_DETR,
        body="backbone.0.body.",
        parts=spot_checks.DEFORMABLE_DETR_PARTS,
        missing=START,
        dropped={"COCO": 12, "second name": second_names},
    )


def twins(backbone: TwinsConfig) -> Expected:
    return Expected(
        source="twins",
        config=TTSPNConfig(backbone=replace(backbone, edges="cut")),
        checks={},
        body="",
        missing=NOT_BACKBONE,
        dropped=TWINS_DROPPED,
    )


def carried(config: TwinsConfig) -> TwinsConfig:
    return TwinsConfig(widths=config.widths, num_heads=config.num_heads, depths=config.depths, stage_norm="carried")


LISTS = {
    "seqformer_resnet50": seqformer("seqformer", SeqFormerConfig(), DEAD),
    "seqformer_resnet101": seqformer("seqformer", SeqFormerConfig(backbone=R101), DEAD),
    "seqformer_swin_l_p4w12": seqformer("seqformer", SeqFormerConfig(backbone=SwinConfig()), DEAD | {"nobody": 2}),
    "mssts_resnet50": seqformer(
        "mssts",
        SeqFormerConfig(transformer=DeformableTransformer(encoder_layers=3, decoder_layers=3)),
        {"builds and never calls": 9, "second name": 18},
    ),
    "vistr_resnet50": vistr(ResNetConfig(padding="masked")),
    "vistr_resnet101": vistr(ResNetConfig(depth=101, padding="masked")),
    "deformable_detr_resnet50": deformable_detr(SeqFormerConfig(queries=BoxQueries(refinement="none")), 30),
    "deformable_detr_resnet50_refine": deformable_detr(SeqFormerConfig(), 36),
    "detr_resnet50": Expected(
        source="detr",
        config=VisTRConfig(transformer=ClipTransformer(width=256)),
        checks=spot_checks.DETR,
        body="backbone.0.body.",
        missing=("classify.", "decoder.queries.", "mask_head."),
        dropped={"COCO": 2, "queries of an image": 1},
    ),
    "mssts_discriminator": Expected(
        source="mssts-discriminator", config=DiscriminatorConfig(), checks=spot_checks.DISCRIMINATOR, body="-"
    ),
    "twins_svt_small_cls": twins(TwinsConfig()),
    "twins_svt_small_det": twins(carried(TwinsConfig())),
    "twins_svt_base_cls": twins(TWINS_BASE),
    "twins_svt_base_det": twins(carried(TWINS_BASE)),
    "twins_svt_large_cls": twins(TWINS_LARGE),
    "twins_svt_large_det": twins(carried(TWINS_LARGE)),
}
REFUSED = {
    "ttspn_parts": "needs? that code's own feature extractor",
    "ttspn_twins": "needs attention over dense 7x7 convolutions",
    "twins_pcpvt_small_det": "needs a backbone of global attention in every block",
    "defvis_resnet50": "needs a level of learned identity tokens",
}
