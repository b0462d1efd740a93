"""VisTR: End-to-End Video Instance Segmentation with Transformers (arXiv 2011.14503)."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import SequenceLoss
from maskreel.models.parts import frame_queries as parts
from maskreel.models.parts.backbones import FineBackboneConfig, ResNetConfig, build_backbone
from maskreel.models.parts.checks import require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


@dataclass(frozen=True, kw_only=True)
class VisTRConfig:
    """Defaults are the published R50 model."""

    kind: Literal["vistr"] = "vistr"
    backbone: FineBackboneConfig = ResNetConfig(padding="masked")
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    transformer: parts.ClipTransformer = parts.ClipTransformer()
    queries: parts.FrameQueries = parts.FrameQueries()
    mask_head: parts.AttentionMaskHead = parts.AttentionMaskHead()
    loss: parts.SequenceLossConfig = parts.SequenceLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes")


class VisTR(nn.Module):
    """The whole clip is one sequence; one query per instance and frame."""

    def __init__(self, config: VisTRConfig) -> None:
        super().__init__()
        width = config.transformer.width
        self.backbone = build_backbone(config.backbone)
        self.project = Projection(self.backbone.channels[-1], width)
        self.encoder = parts.build_full_encoder(config.transformer)
        self.decoder = parts.build_decoder(config.transformer, config.queries)
        self.classify = FrameClassHead(width, config.num_classes)
        self.boxes = FrameBoxHead(width)
        self.mask_head = parts.build_mask_head(config.transformer, config.mask_head, self.backbone.channels)

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Maps of the backbone: frames meet in the encoder."""
        return parts.map_features(self.backbone, self.project, frames)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        """Every token of the clip looks at every other; the queries of all frames then look at all tokens."""
        *finer, coarse = features.maps
        position = space_time_position(coarse.is_padding, coarse.values.shape[2])
        memory = self.encoder(coarse, position)
        states = self.decoder(memory, position)
        return parts.predict_clip(states, self.classify, self.boxes, self.mask_head(states[-1], memory, finer))

    masks = staticmethod(select_masks)


def criterion(config: VisTRConfig) -> SequenceLoss:
    return parts.build_sequence_loss(config.loss)
