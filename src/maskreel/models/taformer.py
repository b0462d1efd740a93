"""TAFormer: Towards Robust Video Instance Segmentation with Temporal-Aware Transformer (arXiv 2301.09416)."""

from dataclasses import dataclass, replace
from typing import Literal

from einops import rearrange
from torch import nn

from maskreel.criteria.contrastive import ContrastiveSetLoss, Reduction
from maskreel.criteria.set_loss import SetLoss
from maskreel.errors import OptionError
from maskreel.models.parts import box_queries as parts
from maskreel.models.parts.backbones import BackboneConfig, ResNetConfig, build_backbone
from maskreel.models.parts.checks import require_at_least
from maskreel.models.parts.neighbours import Neighbours, build_fusion, build_sampling
from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.nn.encoders.joint import JointEncoder
from maskreel.nn.heads.embedding import EmbeddingHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.tokens import flatten_pyramid, with_levels
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


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
class TAFormerConfig:
    """Defaults are the published R50 model."""

    kind: Literal["taformer"] = "taformer"
    backbone: BackboneConfig = ResNetConfig()
    num_classes: int = 40
    """Classes of the data, without any "no object" entry."""
    transformer: parts.DeformableTransformer = parts.DeformableTransformer()
    spatial_levels: tuple[int, ...] = ()
    """Levels whose points are sampled in a token's own frame in the encoder, 0 the finest; empty means all."""
    encoded_levels: Literal["all", "sampled"] = "all"
    """Levels that become tokens: all, or those sampled alone; the mask head then reads the others un-encoded."""
    neighbours: Neighbours | None = Neighbours()
    code: FrameCode = "normalised"
    """Time of the frames in the position of tokens: none, as a fraction of the clip, or as the index."""
    queries: parts.BoxQueries = parts.BoxQueries()
    temporal_decoder: parts.TemporalSelfAttention | None = parts.TemporalSelfAttention(place="before_self")
    contrast: Contrast | None = Contrast()
    mask_head: parts.DynamicMaskHead = parts.DynamicMaskHead()
    loss: parts.SetLossConfig = parts.SetLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes")
        temporal = () if self.neighbours is None else self.neighbours.temporal_levels
        last = self.transformer.num_levels - 1
        for name, levels in (("spatial_levels", self.spatial_levels), ("temporal_levels", temporal)):
            if sorted(set(levels)) != list(levels) or any(not 0 <= level <= last for level in levels):
                raise OptionError(f"{name} {levels} must be rising numbers from 0 to {last}")

    def tokens(self) -> tuple[int, ...]:
        """Levels of the pyramid that become tokens."""
        every = tuple(range(self.transformer.num_levels))
        if self.encoded_levels == "all":
            return every
        temporal = () if self.neighbours is None else self.neighbours.temporal_levels or every
        return tuple(sorted({*(self.spatial_levels or every), *temporal}))


class TAFormer(nn.Module):
    """SeqFormer whose encoder also samples neighbouring frames, and whose box queries look across frames."""

    def __init__(self, config: TAFormerConfig) -> None:
        super().__init__()
        transformer, queries, self.tokens = config.transformer, config.queries, config.tokens()
        self.backbone = build_backbone(config.backbone)
        levels = max(3, 1 + self.tokens[-1])
        self.pyramid = Pyramid(self.backbone.channels[-3:], width=transformer.width, num_levels=levels)
        self.encoder = build_encoder(config)
        temporal, num_levels = config.temporal_decoder, len(self.tokens)
        self.decoder = parts.build_decoder(transformer, queries, temporal=temporal, num_levels=num_levels)
        self.classify = parts.build_class_heads(transformer, queries, config.num_classes)
        self.mask_head = parts.build_mask_head(transformer, config.mask_head)
        self.embed = None if config.contrast is None else EmbeddingHead(transformer.width)
        is_all = config.contrast is not None and config.contrast.layers == "all"
        self.first_embedded = 0 if is_all else transformer.decoder_layers - 1

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Levels of the pyramid: frames meet where the encoder samples their neighbours."""
        return parts.pyramid_features(self.backbone, self.pyramid, frames)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        pyramid = features.maps
        memory = self.encoder([pyramid[level] for level in self.tokens])
        states = self.decoder(memory)
        if len(self.tokens) < len(pyramid):
            memory = with_levels(flatten_pyramid(pyramid), memory, self.tokens)
        masks = self.mask_head.branch(memory)
        layers = parts.predict_layers(states, self.classify, self.mask_head, masks, features.sizes)
        if self.training and self.embed is not None:
            first = self.first_embedded
            compared = [rearrange(self.embed(state.box_queries), "b t q c -> b q t c") for state in states[first:]]
            pairs = zip(layers[first:], compared, strict=True)
            layers = (*layers[:first], *(replace(layer, embedding=embedding) for layer, embedding in pairs))
        last = states[-1]
        seen = last.instance if self.embed is None or self.training else self.embed(last.box_queries).mean(1)
        return ClipPrediction(layers=layers, appearance=None if self.training else seen)

    masks = staticmethod(select_masks)


def build_encoder(config: TAFormerConfig) -> JointEncoder:
    transformer, tokens = config.transformer, config.tokens()
    width, num_heads, layers = transformer.width, transformer.num_heads, range(transformer.encoder_layers)
    around = config.neighbours
    return JointEncoder(
        neighbours=[build_sampling(around, width, num_heads=num_heads, tokens=tokens) for _ in layers if around],
        fusions=[build_fusion(around.fusion, width) for _ in layers if around],
        spatial_levels=[tokens.index(level) for level in config.spatial_levels],
        code=config.code,
        **transformer.sizes(num_layers=len(layers), num_levels=len(tokens)),
    )


def criterion(config: TAFormerConfig) -> SetLoss | ContrastiveSetLoss:
    loss, contrast = parts.build_set_loss(config.loss), config.contrast
    if contrast is None:
        return loss
    return ContrastiveSetLoss(
        loss, weight=contrast.weight, temperature=contrast.temperature, reduction=contrast.reduction
    )
