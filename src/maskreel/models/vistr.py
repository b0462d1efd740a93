"""VisTR: End-to-End Video Instance Segmentation with Transformers (arXiv 2011.14503)."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import MaskResize, SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts
from maskreel.models.parts import ResNetConfig, build_backbone, check_chances, check_clip_tokens, require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.heads.attention_masks import Area, AttentionMasks
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class VisTRConfig:
    """Defaults are the published R50 model."""

    kind: Literal["vistr"] = "vistr"
    backbone: ResNetConfig = ResNetConfig(padding="masked")
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    num_frames: int = 36
    """Longest clip that the query table knows."""
    num_queries: int = 10
    """Objects of a clip at most; each has a query in every frame."""
    width: int = 384
    """Channels of every token; a multiple of 16."""
    hidden: int = 2048
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    attention_dropout: float = 0.1
    """Of attention weights. On the CPU anything above 0 costs memory quadratic in the clip's tokens in training."""
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
        require_at_least(self, 1, "num_classes", "num_frames", "num_queries", "hidden")
        require_at_least(self, 1, "encoder_layers", "decoder_layers")
        check_chances(self, "dropout", "attention_dropout")


class VisTR(nn.Module):
    """The whole clip is one sequence; one query per instance and frame."""

    def __init__(self, config: VisTRConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone)
        self.project = Projection(self.backbone.channels[-1], config.width)
        self.encoder = FullEncoder(
            config.width,
            num_layers=config.encoder_layers,
            hidden=config.hidden,
            num_heads=config.num_heads,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
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


def criterion(config: VisTRConfig) -> SequenceLoss:
    return SequenceLoss(
        config.losses,
        config.costs,
        legacy_valid_index=config.legacy_valid_index,
        mask_resize=config.mask_resize,
    )
