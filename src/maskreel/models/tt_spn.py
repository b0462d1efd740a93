"""TT-SPN: Twin Transformers with Sinusoidal Representation Networks for Video Instance Segmentation."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.criteria.sequence_loss import MaskResize, SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts
from maskreel.errors import OptionError
from maskreel.models.parts import check_chances, check_clip_tokens, require_at_least
from maskreel.nn.backbones.pyramid import Projection
from maskreel.nn.backbones.twins import StageNorm, TwinsSVT
from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.heads.attention_masks import Area, AttentionMasks
from maskreel.nn.heads.boxes import FrameBoxHead
from maskreel.nn.heads.classify import FrameClassHead
from maskreel.nn.heads.sine import SineBoxHead, SineClassHead
from maskreel.nn.layers.padding import Padding
from maskreel.nn.layers.parameter_groups import ParameterGroups, group_parameters
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import ClipBatch, ClipPrediction, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class TwinsConfig:
    """Twins-SVT backbone; the defaults are the small one."""

    kind: Literal["twins"] = "twins"
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels per stage."""
    num_heads: tuple[int, int, int, int] = (2, 4, 8, 16)
    """Attention heads per stage; each must divide its width."""
    depths: tuple[int, int, int, int] = (2, 2, 10, 4)
    """Blocks per stage, windows and global attention in turn."""
    drop_path: float = 0.2
    """Chance that the last block is left out for an image in training; it grows from 0 at the first."""
    padding: Padding = "masked"
    """Nothing reads padded cells, or everything does, as in the published detectors."""
    stage_norm: StageNorm = "none"
    """`carried`: a norm per stage, which the next stage then reads, as in the published detectors."""

    def __post_init__(self) -> None:
        for name in ("widths", "num_heads", "depths"):
            if min(getattr(self, name)) < 1:
                raise OptionError(f"{name} {getattr(self, name)} must all be at least 1")
        if any(width % heads for width, heads in zip(self.widths, self.num_heads, strict=True)):
            raise OptionError(f"num_heads {self.num_heads} must divide widths {self.widths}")
        check_chances(self, "drop_path")


TWINS_BASE = TwinsConfig(widths=(96, 192, 384, 768), num_heads=(3, 6, 12, 24), depths=(2, 2, 18, 2))
TWINS_LARGE = TwinsConfig(widths=(128, 256, 512, 1024), num_heads=(4, 8, 16, 32), depths=(2, 2, 18, 2))


@dataclass(frozen=True, kw_only=True)
class SineHeads:
    """Class and box by sine representation networks."""

    kind: Literal["sine"] = "sine"
    class_layers: Literal[1, 2] = 2
    """Sine layers of the class head: two in the paper, one in its code. The box head has two."""
    w0: float = 1.0
    """Factor inside the sines; 30 in the original SIREN."""
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
    backbone: TwinsConfig = TwinsConfig()
    num_classes: int = 40
    """Classes of the data, without the "no object" entry."""
    num_frames: int = 36
    """Longest clip that the query table knows."""
    num_queries: int = 10
    """Objects of a clip at most; each has a query in every frame."""
    width: int = 256
    """Channels of every token; a multiple of 16."""
    hidden: int = 2048
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    head: SineHeads | PerceptronHeads = SineHeads()
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


class TTSPN(nn.Module):
    """VisTR with a Twins backbone, GELU throughout, and sine networks for class and box."""

    def __init__(self, config: TTSPNConfig) -> None:
        super().__init__()
        backbone = config.backbone
        self.backbone = TwinsSVT(
            backbone.widths,
            backbone.num_heads,
            backbone.depths,
            drop_path=backbone.drop_path,
            padding=backbone.padding,
            stage_norm=backbone.stage_norm,
        )
        self.project = Projection(self.backbone.channels[-1], config.width)
        self.encoder = FullEncoder(
            config.width,
            num_layers=config.encoder_layers,
            hidden=config.hidden,
            num_heads=config.num_heads,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
            activation="gelu",
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
            activation="gelu",
        )
        self.classify, self.boxes = build_heads(config)
        self.masks = AttentionMasks(
            config.width,
            self.backbone.channels[:3],
            num_heads=config.num_heads,
            activation="gelu",
            area=config.mask_area,
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


def build_heads(config: TTSPNConfig) -> tuple[nn.Module, nn.Module]:
    """Class head and box head."""
    head = config.head
    if isinstance(head, PerceptronHeads):
        return FrameClassHead(config.width, config.num_classes), FrameBoxHead(config.width)
    classify = SineClassHead(
        config.width, config.num_classes, sine_layers=head.class_layers, w0=head.w0, dropout=head.dropout
    )
    return classify, SineBoxHead(config.width, w0=head.w0, dropout=head.dropout)


def criterion(config: TTSPNConfig) -> SequenceLoss:
    return SequenceLoss(
        config.losses,
        config.costs,
        legacy_valid_index=config.legacy_valid_index,
        mask_resize=config.mask_resize,
    )
