"""MS-STS VIS: Multi-Scale Spatio-Temporal Split Attention Transformer (arXiv 2203.13253)."""

from dataclasses import dataclass
from typing import Literal

from einops import rearrange
from torch import nn

from maskreel.criteria.adversarial import AdversarialLoss, Discriminator, Form
from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.models.parts import (
    BackboneConfig,
    ResNetConfig,
    TemporalSelfAttention,
    build_backbone,
    build_temporal,
    check_chances,
    check_token_width,
    clip_sizes,
    per_layer,
    require_at_least,
)
from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.nn.decoders.box_queries import BoxQueryDecoder
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.nn.encoders.split_scale import SplitScaleEncoder
from maskreel.nn.heads.classify import ClassHead
from maskreel.nn.heads.dynamic_masks import DynamicMasks
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.scale_pairs import Upsampling
from maskreel.nn.layers.split_attention import SplitScaleAttention
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class Colocated:
    """A token looks at the tokens of its own position, in its level and the next coarser one, in all frames."""

    kind: Literal["colocated"] = "colocated"
    upsampling: Upsampling = "bilinear"
    """How the coarser map is brought to the finer grid."""
    concat: Literal["token", "channel"] = "token"
    """Two tokens per position, or one of twice the width."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A token looks at a square of cells around its position in either level, in all frames."""

    kind: Literal["window"] = "window"
    size: int = 3
    """Rows and columns of the square; odd."""


@dataclass(frozen=True, kw_only=True)
class SplitScale:
    """Attention over frames and scales beside the deformable attention; defaults give the published model size."""

    intra: Literal["temporal", "paired"] | None = "temporal"
    """Within a level: over the frames of one position, or as the inter-scale block does it, each level with itself."""
    inter: Colocated | Window | Literal["cross", "full"] | None = Colocated()
    """Between a level and the next coarser one: near a token, over the whole coarser map ("cross"), or over both maps
    ("full"). The last two are quadratic in the size of the maps."""
    width: int = 64
    """Channels inside both blocks."""
    hidden: int = 64
    """Channels inside their feed-forward parts."""
    num_heads: int = 8
    residual: Literal["inside", "none"] = "inside"
    """Whether the blocks add what they compute to what they read."""
    sharing: Literal["per_layer", "shared"] = "per_layer"
    """One module for each encoder layer, or one for all."""
    code: FrameCode = "none"
    """Time of the frames in what the module reads: none, as a fraction of the clip, or as the index."""


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """A discriminator that tells predicted from true foreground, in training only."""

    form: Form = "bce"
    """True or false by cross-entropy, or the L1 distance of the responses."""
    weight: float = 0.1
    """Of the term that the model minimises."""
    learning_rate: float = 1e-4
    """Of the discriminator's own AdamW."""
    warmup: int = 3865
    """Optimizer steps before the two start to compete; an epoch of YouTube-VIS 2019 by default."""


@dataclass(frozen=True, kw_only=True)
class MsStsConfig:
    """Defaults are the published R50 model; `encoder_variant` names the rows of table S1."""

    kind: Literal["ms_sts"] = "ms_sts"
    backbone: BackboneConfig = ResNetConfig()
    num_classes: int = 40
    """Classes of the data, without any "no object" entry."""
    num_queries: int = 300
    width: int = 256
    """Channels of every token; a multiple of 32."""
    hidden: int = 1024
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    num_levels: int = 4
    """Levels of the pyramid: three from the backbone, the others added below it."""
    num_points: int = 4
    """Sampling points per head and level."""
    encoder_layers: int = 6
    decoder_layers: int = 6
    encoder_variant: Literal[
        "baseline", "attention_after", "attention_before", "encoder_after", "encoder_before", "split"
    ] = "split"
    """Where split attention stands: nowhere, in every layer after or before the deformable attention, in an encoder of
    its own after or before the deformable one, or beside the deformable attention."""
    split: SplitScale = SplitScale()
    temporal_decoder: TemporalSelfAttention | None = TemporalSelfAttention(place="after_self")
    adversary: Adversary | None = Adversary()
    mask_channels: int = 8
    """Channels of the mask features."""
    dropout: float = 0.1
    box_refinement: Literal["iterative", "none"] = "iterative"
    """Whether each decoder layer starts from the boxes of the one before."""
    mask_coordinates: Literal["relative", "none"] = "relative"
    """Whether the dynamic mask layers see pixel coordinates relative to the object."""
    absent_box_loss: Literal["official", "ignore"] = "official"
    """Boxes in frames where an object is absent: trained as zero boxes (published), or left out."""
    costs: MatchCosts = MatchCosts()
    losses: LossWeights = LossWeights()

    def __post_init__(self) -> None:
        check_token_width(self.width, self.num_heads)
        require_at_least(self, 1, "num_classes", "num_queries", "hidden", "num_points", "mask_channels")
        require_at_least(self, 1, "encoder_layers", "decoder_layers")
        require_at_least(self, 3, "num_levels")
        check_chances(self, "dropout")


class MsSts(nn.Module):
    """SeqFormer whose encoder also attends over frames and scales, and whose box queries look across frames."""

    def __init__(self, config: MsStsConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone)
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=config.width, num_levels=config.num_levels)
        self.encoder = build_encoder(config)
        self.decoder = BoxQueryDecoder(
            config.width,
            num_queries=config.num_queries,
            num_layers=config.decoder_layers,
            num_levels=config.num_levels,
            hidden=config.hidden,
            num_heads=config.num_heads,
            num_points=config.num_points,
            dropout=config.dropout,
            refinement=config.box_refinement,
            temporal=build_temporal(
                config.temporal_decoder,
                config.width,
                num_layers=config.decoder_layers,
                num_heads=config.num_heads,
                dropout=config.dropout,
            ),
        )
        self.classify = per_layer(
            lambda: ClassHead(config.width, config.num_classes),
            config.decoder_layers,
            shared=config.box_refinement == "none",
        )
        self.masks = DynamicMasks(config.width, config.mask_channels, coordinates=config.mask_coordinates)

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, clip: ClipBatch) -> ClipPrediction:
        pyramid = self.pyramid(self.backbone(clip)[-3:], clip)
        memory = self.encoder(pyramid)
        states = self.decoder(memory)
        features, sizes = self.masks.branch(memory), clip_sizes(clip)
        layers = tuple(
            LayerPrediction(
                class_logits=classify(state.instance),
                boxes=rearrange(state.boxes, "b t q r -> b q t r"),
                masks=self.masks(features, state.instance, state.reference, sizes),
            )
            for classify, state in zip(self.classify, states, strict=True)
        )
        return ClipPrediction(layers=layers, memory=memory if self.training else None)


def build_encoder(config: MsStsConfig) -> FramewiseEncoder | SplitScaleEncoder:
    """The encoder of a row of table S1."""
    shape = {
        "num_layers": config.encoder_layers,
        "num_levels": config.num_levels,
        "hidden": config.hidden,
        "num_heads": config.num_heads,
        "num_points": config.num_points,
        "dropout": config.dropout,
    }
    if config.encoder_variant == "baseline":
        return FramewiseEncoder(config.width, **shape)
    return SplitScaleEncoder(
        config.width,
        variant=config.encoder_variant,
        split=[build_split(config) for _ in range(1 if config.split.sharing == "shared" else config.encoder_layers)],
        code=config.split.code,
        **shape,
    )


def build_split(config: MsStsConfig) -> SplitScaleAttention:
    split = config.split
    inter = split.inter
    return SplitScaleAttention(
        config.width,
        intra=split.intra,
        inter=inter.kind if isinstance(inter, Colocated | Window) else inter,
        inner=split.width,
        hidden=split.hidden,
        num_heads=split.num_heads,
        dropout=config.dropout,
        residual=split.residual,
        window=inter.size if isinstance(inter, Window) else 1,
        upsampling=inter.upsampling if isinstance(inter, Colocated) else "bilinear",
        concat=inter.concat if isinstance(inter, Colocated) else "token",
    )


def criterion(config: MsStsConfig) -> SetLoss | AdversarialLoss:
    loss = SetLoss(config.losses, config.costs, absent_box_loss=config.absent_box_loss)
    if config.adversary is None:
        return loss
    return AdversarialLoss(
        loss,
        Discriminator(config.width),
        form=config.adversary.form,
        weight=config.adversary.weight,
        learning_rate=config.adversary.learning_rate,
        warmup=config.adversary.warmup,
    )
