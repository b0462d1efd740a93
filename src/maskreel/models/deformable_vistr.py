"""Deformable VisTR: Spatio-temporal Deformable Attention for Video Instance Segmentation (arXiv 2203.06318).

The paper's form of the attention could not be read in full; the default is the reading that fits its poster, which
names 16 or 32 space-time samples per query.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import MaskResize, SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts
from maskreel.models.parts import ResNetConfig, build_backbone, check_chances, check_clip_tokens, require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.decoders.frame_queries import CrossAttention, FrameQueryDecoder
from maskreel.nn.encoders.space_time import Reading, SpaceTimeEncoder
from maskreel.nn.heads.attention_masks import Area, AttentionMasks
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class DeformableVisTRConfig:
    """Defaults are the published R50 model with 32 points."""

    kind: Literal["deformable_vistr"] = "deformable_vistr"
    backbone: ResNetConfig = ResNetConfig(padding="masked")
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    num_frames: int = 36
    """Longest clip that the query table (and frames as levels) knows."""
    num_queries: int = 10
    """Objects of a clip at most; each has a query in every frame."""
    width: int = 384
    """Channels of every token; a multiple of 16."""
    hidden: int = 2048
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    encoder_attention: Reading = "offsets_3d"
    """Sampling points anywhere in the clip's volume, or as many of them in every frame, as in the public code."""
    decoder_attention: CrossAttention = "dense"
    """Queries read the whole clip, or a few learned points of its volume."""
    num_points: int = 32
    """Sampling points per head: 32 or 16 in the volume, 6 per frame with frames as levels."""
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    attention_dropout: float = 0.1
    """Of the decoder's dense attention weights."""
    mask_area: Area = "valid"
    """Cells that the mask head reads: the clip's own, or the whole padded map, as published."""
    mask_resize: MaskResize = "aligned"
    """Predicted masks meet their targets enlarged and cut, or stretched to their size, as published."""
    legacy_valid_index: bool = False
    """Repeat a fault of the published matcher: frames of match j are those in which object j is seen, whichever object
    was assigned, and absent objects have class 0."""
    costs: SequenceCosts = SequenceCosts()
    losses: SequenceLossWeights = SequenceLossWeights()

    def __post_init__(self) -> None:
        check_clip_tokens(self.width, self.num_heads)
        require_at_least(self, 1, "num_classes", "num_frames", "num_queries", "hidden", "num_points")
        require_at_least(self, 1, "encoder_layers", "decoder_layers")
        check_chances(self, "dropout", "attention_dropout")


class DeformableVisTR(nn.Module):
    """VisTR whose tokens read a few learned points of the clip instead of all other tokens."""

    def __init__(self, config: DeformableVisTRConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone)
        self.project = Projection(self.backbone.channels[-1], config.width)
        self.encoder = SpaceTimeEncoder(
            config.width,
            reading=config.encoder_attention,
            num_frames=config.num_frames,
            num_layers=config.encoder_layers,
            hidden=config.hidden,
            num_heads=config.num_heads,
            num_points=config.num_points,
            dropout=config.dropout,
        )
        self.decoder = FrameQueryDecoder(
            config.width,
            num_frames=config.num_frames,
            num_queries=config.num_queries,
            num_layers=config.decoder_layers,
            hidden=config.hidden,
            num_heads=config.num_heads,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            cross_attention=config.decoder_attention,
            num_points=config.num_points,
        )
        self.classify = FrameClassHead(config.width, config.num_classes)
        self.boxes = FrameBoxHead(config.width)
        self.masks = AttentionMasks(
            config.width, self.backbone.channels[:3], num_heads=config.num_heads, area=config.mask_area
        )

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, clip: ClipBatch) -> ClipPrediction:
        *finer, last = self.backbone(clip)
        coarse = self.project(last)
        position = space_time_position(coarse.is_padding, coarse.values.shape[2])
        memory = self.encoder(coarse, position)
        states = self.decoder(memory, position)
        masks = self.masks(states[-1], memory, finer)
        layers = tuple(
            LayerPrediction(
                class_logits=self.classify(state),
                boxes=self.boxes(state),
                masks=masks if state is states[-1] else None,
            )
            for state in states
        )
        return ClipPrediction(layers=layers, votes="per_frame")


def criterion(config: DeformableVisTRConfig) -> SequenceLoss:
    return SequenceLoss(
        config.losses,
        config.costs,
        legacy_valid_index=config.legacy_valid_index,
        mask_resize=config.mask_resize,
    )
