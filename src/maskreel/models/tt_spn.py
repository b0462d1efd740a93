"""TT-SPN: Twin Transformers with Sinusoidal Representation Networks for Video Instance Segmentation."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import SequenceLoss
from maskreel.errors import OptionError
from maskreel.models.parts import frame_queries as parts
from maskreel.models.parts.backbones import FineBackboneConfig, TwinsConfig, build_backbone
from maskreel.models.parts.checks import check_chances, require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.heads.sine import SineBoxHead, SineClassHead
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, select_masks


@dataclass(frozen=True, kw_only=True)
class SineHeads:
    """Class and box by sine representation networks."""

    kind: Literal["sine"] = "sine"
    class_layers: Literal[1, 2] = 2
    """Sine layers of the class head: two in the paper, one in its code. The box head has two."""
    w0: float = 1.0
    """Factor inside the sines; 30 in the original SIREN."""
    start: Literal["published_code", "siren"] = "published_code"
    """How the first sine layer is drawn: as the later ones, or within one over its inputs (SIREN, section 3.2)."""
    dropout: float = 0.2
    """Behind every sine layer."""

    def __post_init__(self) -> None:
        if self.w0 <= 0:
            raise OptionError(f"w0 {self.w0} must be above 0")
        check_chances(self, "dropout")


@dataclass(frozen=True, kw_only=True)
class PerceptronHeads:
    """VisTR's heads: a linear layer for the class, a perceptron for the box."""

    kind: Literal["mlp"] = "mlp"


@dataclass(frozen=True, kw_only=True)
class TTSPNConfig:
    """Defaults are the paper's model."""

    kind: Literal["tt_spn"] = "tt_spn"
    backbone: FineBackboneConfig = TwinsConfig()
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    transformer: parts.ClipTransformer = parts.ClipTransformer(width=256)
    queries: parts.FrameQueries = parts.FrameQueries()
    head: SineHeads | PerceptronHeads = SineHeads()
    mask_head: parts.AttentionMaskHead = parts.AttentionMaskHead()
    loss: parts.SequenceLossConfig = parts.SequenceLossConfig()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "num_classes")


class TTSPN(nn.Module):
    """VisTR with a Twins backbone, GELU throughout, and sine networks for class and box."""

    def __init__(self, config: TTSPNConfig) -> None:
        super().__init__()
        transformer = config.transformer
        self.backbone = build_backbone(config.backbone)
        self.project = Projection(self.backbone.channels[-1], transformer.width)
        self.encoder = parts.build_full_encoder(transformer, activation="gelu")
        self.decoder = parts.build_decoder(transformer, config.queries, activation="gelu")
        self.classify, self.boxes = build_heads(config)
        self.mask_head = parts.build_mask_head(transformer, config.mask_head, self.backbone.channels, activation="gelu")

    def parameter_groups(self) -> ParameterGroups:
        return group_parameters(self, self.backbone)

    def forward(self, frames: ClipBatch) -> ClipPrediction:
        return self.clip(self.frame_features(frames))

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Maps of the first of the twin transformers, the backbone.

        Frames meet in the second one, which is VisTR's.
        """
        return parts.map_features(self.backbone, self.project, frames)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        *finer, coarse = features.maps
        position = space_time_position(coarse.is_padding, coarse.values.shape[2])
        memory = self.encoder(coarse, position)
        states = self.decoder(memory, position)
        return parts.predict_clip(states, self.classify, self.boxes, self.mask_head(states[-1], memory, finer))

    masks = staticmethod(select_masks)


def build_heads(config: TTSPNConfig) -> tuple[nn.Module, nn.Module]:
    """Class head and box head."""
    head, width = config.head, config.transformer.width
    if isinstance(head, PerceptronHeads):
        return FrameClassHead(width, config.num_classes), FrameBoxHead(width)
    sines = {"w0": head.w0, "dropout": head.dropout, "is_siren": head.start == "siren"}
    classify = SineClassHead(width, config.num_classes, sine_layers=head.class_layers, **sines)
    return classify, SineBoxHead(width, **sines)


def criterion(config: TTSPNConfig) -> SequenceLoss:
    return parts.build_sequence_loss(config.loss)
