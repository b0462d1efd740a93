"""SeqFormer: Sequential Transformer for Video Instance Segmentation (arXiv 2112.08275)."""

from dataclasses import dataclass
from typing import Literal

from einops import rearrange
from torch import nn

from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.errors import OptionError
from maskreel.models.parts import (
    BackboneConfig,
    ResNetConfig,
    build_backbone,
    check_token_width,
    clip_sizes,
    per_layer,
    require_at_least,
)
from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.nn.decoders.box_queries import BoxQueryDecoder
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.nn.heads.classify import ClassHead
from maskreel.nn.heads.dynamic_masks import DynamicMasks
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class SeqFormerConfig:
    """Defaults are the published R50 model."""

    kind: Literal["seqformer"] = "seqformer"
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
        if not 0 <= self.dropout < 1:
            raise OptionError(f"dropout {self.dropout} must be at least 0 and below 1")


class SeqFormer(nn.Module):
    """One query per object, split into a box query per frame."""

    def __init__(self, config: SeqFormerConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone)
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=config.width, num_levels=config.num_levels)
        self.encoder = FramewiseEncoder(
            config.width,
            num_layers=config.encoder_layers,
            num_levels=config.num_levels,
            hidden=config.hidden,
            num_heads=config.num_heads,
            num_points=config.num_points,
            dropout=config.dropout,
        )
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
        return ClipPrediction(layers=layers)


def criterion(config: SeqFormerConfig) -> SetLoss:
    return SetLoss(config.losses, config.costs, absent_box_loss=config.absent_box_loss)
