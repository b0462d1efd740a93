"""Deformable VisTR: Spatio-temporal Deformable Attention for Video Instance Segmentation (arXiv 2203.06318).

The paper's form of the attention could not be read in full; the default is the reading that fits its poster, which
names 16 or 32 space-time samples per query.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import SequenceLoss
from maskreel.models.parts import frame_queries as parts
from maskreel.models.parts.backbones import FineBackboneConfig, ResNetConfig, build_backbone
from maskreel.models.parts.checks import require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.decoders.frame_queries import CrossAttention
from maskreel.nn.encoders.space_time import Reading, SpaceTimeEncoder
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


@dataclass(frozen=True, kw_only=True)
class DeformableVisTRConfig:
    """Defaults are the published R50 model with 32 points."""

    kind: Literal["deformable_vistr"] = "deformable_vistr"
    backbone: FineBackboneConfig = ResNetConfig(padding="masked")
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    transformer: parts.ClipTransformer = parts.ClipTransformer()
    encoder_attention: Reading = "offsets_3d"
    """Sampling points anywhere in the clip's volume, or as many of them in every frame, as in the public code."""
    decoder_attention: CrossAttention = "dense"
    """Queries read the whole clip, or a few learned points of its volume."""
    num_points: int = 32
    """Sampling points per head: 32 or 16 in the volume, 6 per frame with frames as levels."""
    queries: parts.FrameQueries = parts.FrameQueries()
    mask_head: parts.AttentionMaskHead = parts.AttentionMaskHead()
    loss: parts.SequenceLossConfig = parts.SequenceLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes", "num_points")


class DeformableVisTR(nn.Module):
    """VisTR whose tokens read a few learned points of the clip instead of all other tokens."""

    def __init__(self, config: DeformableVisTRConfig) -> None:
        super().__init__()
        transformer = config.transformer
        self.backbone = build_backbone(config.backbone)
        self.project = Projection(self.backbone.channels[-1], transformer.width)
        self.encoder = SpaceTimeEncoder(
            reading=config.encoder_attention,
            num_frames=config.queries.frames,
            num_points=config.num_points,
            **transformer.sizes(num_layers=transformer.encoder_layers),
        )
        self.decoder = parts.build_decoder(
            transformer,
            config.queries,
            cross_attention=config.decoder_attention,
            num_points=config.num_points,
        )
        self.classify = FrameClassHead(transformer.width, config.num_classes)
        self.boxes = FrameBoxHead(transformer.width)
        self.mask_head = parts.build_mask_head(transformer, config.mask_head, self.backbone.channels)

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Maps of the backbone: frames meet where the encoder samples."""
        return parts.map_features(self.backbone, self.project, frames)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        """As in VisTR, but for what a token reads.

        Positions are those of the whole clip, so that a learned point may lie in any of its frames.
        """
        *finer, coarse = features.maps
        position = space_time_position(coarse.is_padding, coarse.values.shape[2])
        memory = self.encoder(coarse, position)
        states = self.decoder(memory, position)
        return parts.predict_clip(states, self.classify, self.boxes, self.mask_head(states[-1], memory, finer))

    masks = staticmethod(select_masks)


def criterion(config: DeformableVisTRConfig) -> SequenceLoss:
    return parts.build_sequence_loss(config.loss)
