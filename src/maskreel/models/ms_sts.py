"""MS-STS VIS: Multi-Scale Spatio-Temporal Split Attention Transformer (arXiv 2203.13253)."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.adversarial import AdversarialLoss, Discriminator, Form
from maskreel.criteria.set_loss import SetLoss
from maskreel.models.parts import box_queries as parts
from maskreel.models.parts.backbones import BackboneConfig, ResNetConfig, build_backbone
from maskreel.models.parts.checks import require_at_least
from maskreel.models.parts.split_scale import SplitScale, build_split
from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.nn.encoders.split_scale import SplitScaleEncoder
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


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
class MSSTSConfig:
    """Defaults are the published R50 model; `encoder_variant` names the rows of table S1."""

    kind: Literal["ms_sts"] = "ms_sts"
    backbone: BackboneConfig = ResNetConfig()
    num_classes: int = 40
    """Classes of the data, without any "no object" entry."""
    transformer: parts.DeformableTransformer = parts.DeformableTransformer()
    encoder_variant: Literal[
        "baseline", "attention_after", "attention_before", "encoder_after", "encoder_before", "split"
    ] = "split"
    """Where split attention stands: nowhere, in every layer after or before the deformable attention, in an encoder of
    its own after or before the deformable one, or beside the deformable attention."""
    split: SplitScale = SplitScale()
    queries: parts.BoxQueries = parts.BoxQueries()
    temporal_decoder: parts.TemporalSelfAttention | None = parts.TemporalSelfAttention(place="after_self")
    mask_head: parts.DynamicMaskHead = parts.DynamicMaskHead()
    adversary: Adversary | None = Adversary()
    loss: parts.SetLossConfig = parts.SetLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes")


class MSSTS(nn.Module):
    """SeqFormer whose encoder also attends over frames and scales, and whose box queries look across frames."""

    def __init__(self, config: MSSTSConfig) -> None:
        super().__init__()
        transformer, queries = config.transformer, config.queries
        self.backbone = build_backbone(config.backbone)
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=transformer.width, num_levels=transformer.num_levels)
        self.encoder = build_encoder(config)
        self.decoder = parts.build_decoder(transformer, queries, temporal=config.temporal_decoder)
        self.classify = parts.build_class_heads(transformer, queries, config.num_classes)
        self.mask_head = parts.build_mask_head(transformer, config.mask_head)

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Levels of the pyramid: frames meet in the encoder."""
        return parts.pyramid_features(self.backbone, self.pyramid, frames)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        memory = self.encoder(features.maps)
        states = self.decoder(memory)
        masks = self.mask_head.branch(memory)
        return ClipPrediction(
            layers=parts.predict_layers(states, self.classify, self.mask_head, masks, features.sizes),
            memory=memory if self.training else None,
            appearance=None if self.training else states[-1].instance,
        )

    masks = staticmethod(select_masks)


def build_encoder(config: MSSTSConfig) -> FramewiseEncoder | SplitScaleEncoder:
    """The encoder of a row of table S1."""
    transformer, split = config.transformer, config.split
    if config.encoder_variant == "baseline":
        return FramewiseEncoder(**transformer.encoder_sizes())
    count = 1 if split.sharing == "shared" else transformer.encoder_layers
    return SplitScaleEncoder(
        variant=config.encoder_variant,
        split=[build_split(split, transformer.width, dropout=transformer.dropout) for _ in range(count)],
        code=split.code,
        **transformer.encoder_sizes(),
    )


def criterion(config: MSSTSConfig) -> SetLoss | AdversarialLoss:
    loss, adversary = parts.build_set_loss(config.loss), config.adversary
    if adversary is None:
        return loss
    return AdversarialLoss(
        loss,
        Discriminator(config.transformer.width),
        form=adversary.form,
        weight=adversary.weight,
        learning_rate=adversary.learning_rate,
        warmup=adversary.warmup,
    )
