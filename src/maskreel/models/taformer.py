"""TAFormer: Towards Robust Video Instance Segmentation with Temporal-Aware Transformer (arXiv 2301.09416)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.contrastive import ContrastiveSetLoss, Reduction
from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.errors import OptionError
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
from maskreel.nn.encoders.joint import JointEncoder
from maskreel.nn.heads.classify import ClassHead
from maskreel.nn.heads.dynamic_masks import DynamicMasks
from maskreel.nn.heads.embedding import EmbeddingHead
from maskreel.nn.layers.fusion import AddFusion, ConcatFusion, DynamicFusion, Pooling
from maskreel.nn.layers.neighbours import Border, NeighbourSampling
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.tokens import flatten_pyramid, with_levels
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class DynamicAttention:
    """Dynamic attention fusion: a share of the spatial and of the temporal feature per channel."""

    hidden: int = 32
    """Channels between the two linear layers."""
    pooling: Pooling = "none"
    """Where the shares come from: the token itself, the mean of its level, or of its frame."""
    spatial_bias: float = 0.0
    """Where training starts: 0 gives both features equal shares, 20 the function of SeqFormer weights started from."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Deformable attention over the frames around a token's own, in every encoder layer."""

    num_points: int = 4
    """Sampling points per head, neighbouring frame and level (K_inter)."""
    radius: int = 2
    """Neighbours on either side."""
    border: Border = "clamp"
    """What stands for neighbours beyond the ends of the clip."""
    temporal_levels: tuple[int, ...] = ()
    """Levels whose points are sampled in neighbouring frames, 0 the finest; empty means all."""
    fusion: DynamicAttention | Literal["add", "concat"] = DynamicAttention()


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Contrastive loss between the instances of a clip."""

    layers: Literal["last", "all"] = "all"
    """Decoder layers whose box queries are compared, all by one head."""
    reduction: Reduction = "mean"
    """Over the ordered pairs of frames; the paper's formula is a sum, 20 terms at 5 frames."""
    temperature: float = 0.07
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class TaFormerConfig:
    """Defaults are the published R50 model."""

    kind: Literal["taformer"] = "taformer"
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
    """Sampling points per head and level in a query's own frame (K_intra)."""
    spatial_levels: tuple[int, ...] = ()
    """Levels whose points are sampled in a token's own frame in the encoder, 0 the finest; empty means all."""
    encoded_levels: Literal["all", "sampled"] = "all"
    """Levels that become tokens: all, or those sampled alone; the mask head then reads the others un-encoded."""
    encoder_layers: int = 6
    decoder_layers: int = 6
    neighbours: Neighbours | None = Neighbours()
    code: FrameCode = "normalised"
    """Time of the frames in the position of tokens: none, as a fraction of the clip, or as the index."""
    temporal_decoder: TemporalSelfAttention | None = TemporalSelfAttention(place="before_self")
    contrast: Contrast | None = Contrast()
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
        temporal = () if self.neighbours is None else self.neighbours.temporal_levels
        for name, levels in (("spatial_levels", self.spatial_levels), ("temporal_levels", temporal)):
            if sorted(set(levels)) != list(levels) or any(not 0 <= level < self.num_levels for level in levels):
                raise OptionError(f"{name} {levels} must be rising numbers from 0 to {self.num_levels - 1}")

    def tokens(self) -> tuple[int, ...]:
        """Levels of the pyramid that become tokens."""
        every = tuple(range(self.num_levels))
        if self.encoded_levels == "all":
            return every
        temporal = () if self.neighbours is None else self.neighbours.temporal_levels or every
        return tuple(sorted({*(self.spatial_levels or every), *temporal}))


class TaFormer(nn.Module):
    """SeqFormer whose encoder also samples neighbouring frames, and whose box queries look across frames."""

    def __init__(self, config: TaFormerConfig) -> None:
        super().__init__()
        self.tokens = config.tokens()
        self.backbone = build_backbone(config.backbone)
        levels = max(3, 1 + self.tokens[-1])
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=config.width, num_levels=levels)
        self.encoder = build_encoder(config)
        self.decoder = BoxQueryDecoder(
            config.width,
            num_queries=config.num_queries,
            num_layers=config.decoder_layers,
            num_levels=len(self.tokens),
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
        self.embed = None if config.contrast is None else EmbeddingHead(config.width)
        embedded = config.decoder_layers if config.contrast is not None and config.contrast.layers == "all" else 1
        self.first_embedded = config.decoder_layers - embedded

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, clip: ClipBatch) -> ClipPrediction:
        pyramid = self.pyramid(self.backbone(clip)[-3:], clip)
        memory = self.encoder([pyramid[level] for level in self.tokens])
        states = self.decoder(memory)
        every = (
            memory if len(self.tokens) == len(pyramid) else with_levels(flatten_pyramid(pyramid), memory, self.tokens)
        )
        features, sizes = self.masks.branch(every), clip_sizes(clip)
        layers = tuple(
            LayerPrediction(
                class_logits=classify(state.instance),
                boxes=rearrange(state.boxes, "b t q r -> b q t r"),
                embedding=self._embedding(index, state.box_queries),
                masks=self.masks(features, state.instance, state.reference, sizes),
            )
            for index, (classify, state) in enumerate(zip(self.classify, states, strict=True))
        )
        return ClipPrediction(layers=layers)

    def _embedding(self, layer: int, box_queries: Float[Tensor, "b t q c"]) -> Float[Tensor, "b q t c"] | None:
        """For the contrastive loss, so in training alone."""
        if self.embed is None or not self.training or layer < self.first_embedded:
            return None
        return rearrange(self.embed(box_queries), "b t q c -> b q t c")


def build_encoder(config: TaFormerConfig) -> JointEncoder:
    tokens, neighbours, layers = config.tokens(), config.neighbours, range(config.encoder_layers)

    def places(levels: Sequence[int]) -> list[int]:
        return [tokens.index(level) for level in levels]

    samplings, fusions = [], []
    if neighbours is not None:
        samplings = [
            NeighbourSampling(
                config.width,
                num_levels=len(tokens),
                num_heads=config.num_heads,
                num_points=neighbours.num_points,
                radius=neighbours.radius,
                border=neighbours.border,
                levels=places(neighbours.temporal_levels),
            )
            for _ in layers
        ]
        fusions = [build_fusion(neighbours.fusion, config.width) for _ in layers]
    return JointEncoder(
        config.width,
        neighbours=samplings,
        fusions=fusions,
        num_layers=config.encoder_layers,
        num_levels=len(tokens),
        hidden=config.hidden,
        num_heads=config.num_heads,
        num_points=config.num_points,
        dropout=config.dropout,
        spatial_levels=places(config.spatial_levels),
        code=config.code,
    )


def build_fusion(config: DynamicAttention | Literal["add", "concat"], width: int) -> nn.Module:
    if isinstance(config, DynamicAttention):
        return DynamicFusion(width, hidden=config.hidden, pooling=config.pooling, spatial_bias=config.spatial_bias)
    return AddFusion() if config == "add" else ConcatFusion(width)


def criterion(config: TaFormerConfig) -> SetLoss | ContrastiveSetLoss:
    loss = SetLoss(config.losses, config.costs, absent_box_loss=config.absent_box_loss)
    if config.contrast is None:
        return loss
    return ContrastiveSetLoss(
        loss,
        weight=config.contrast.weight,
        temperature=config.contrast.temperature,
        reduction=config.contrast.reduction,
    )
