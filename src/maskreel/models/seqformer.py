"""SeqFormer: Sequential Transformer for Video Instance Segmentation (arXiv 2112.08275)."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from maskreel.criteria.set_loss import SetLoss
from maskreel.models.parts import box_queries as parts
from maskreel.models.parts.backbones import BackboneConfig, ResNetConfig, build_backbone
from maskreel.models.parts.checks import require_at_least
from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.tokens import flatten_pyramid, unflatten_pyramid
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


@dataclass(frozen=True, kw_only=True)
class SeqFormerConfig:
    """Defaults are the published R50 model."""

    kind: Literal["seqformer"] = "seqformer"
    backbone: BackboneConfig = ResNetConfig()
    num_classes: int = 40
    """Classes of the data, without any "no object" entry."""
    transformer: parts.DeformableTransformer = parts.DeformableTransformer()
    queries: parts.BoxQueries = parts.BoxQueries()
    mask_head: parts.DynamicMaskHead = parts.DynamicMaskHead()
    """Reads the three finest levels as the encoder leaves them: mask features of a frame know nothing of other
    frames."""
    loss: parts.SetLossConfig = parts.SetLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes")


class SeqFormer(nn.Module):
    """One query per object, split into a box query per frame."""

    def __init__(self, config: SeqFormerConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(config.backbone)
        width, num_levels = config.transformer.width, config.transformer.num_levels
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=width, num_levels=num_levels)
        self.encoder = FramewiseEncoder(**config.transformer.encoder_sizes())
        self.decoder = parts.build_decoder(config.transformer, config.queries)
        self.classify = parts.build_class_heads(config.transformer, config.queries, config.num_classes)
        self.mask_head = parts.build_mask_head(config.transformer, config.mask_head)

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Encoded levels: frames meet in the decoder first."""
        features = parts.pyramid_features(self.backbone, self.pyramid, frames)
        memory = self.encoder(features.maps)
        return replace(features, maps=unflatten_pyramid(memory.tokens, features.maps))

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        memory = flatten_pyramid(features.maps)
        states = self.decoder(memory)
        masks = self.mask_head.branch(memory)
        return ClipPrediction(
            layers=parts.predict_layers(states, self.classify, self.mask_head, masks, features.sizes),
            appearance=None if self.training else states[-1].instance,
        )

    masks = staticmethod(select_masks)


def criterion(config: SeqFormerConfig) -> SetLoss:
    return parts.build_set_loss(config.loss)
