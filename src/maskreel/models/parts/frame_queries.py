"""What VisTR and the models that grew from it share: dense tokens, a query per object and frame, attention masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.sequence_loss import MaskResize, SequenceLoss, SequenceLossWeights
from maskreel.criteria.sequence_matching import SequenceCosts
from maskreel.models.parts.checks import check_chances, check_width, require_at_least
from maskreel.models.parts.frames import frame_sizes
from maskreel.nn.decoders.frame_queries import CrossAttention, FrameQueryDecoder
from maskreel.nn.decoders.placed_queries import place_queries
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.heads.attention_masks import Area, AttentionMaskDecoder, AttentionMasks
from maskreel.nn.layers.feedforward import Activation, NormPlace
from maskreel.structures import ClipBatch, ClipPrediction, FrameFeatures, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class ClipTransformer:
    """Sizes of an encoder and a decoder to which the whole clip is one sequence (VisTR, section 3.2).

    The deformable encoder takes its sizes from here, too.
    """

    width: int = 384
    """Channels of every token; a multiple of 16."""
    hidden: int = 2048
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    norm: NormPlace = "post"
    """Layers normalise their sums, as all published models do, or what they read, as the published code also can; the
    encoder then ends with a norm of its own."""
    dropout: float = 0.1
    attention_dropout: float = 0.1
    """Of dense attention weights. On the CPU anything above 0 costs memory quadratic in the clip's tokens in
    training."""

    def __post_init__(self) -> None:
        check_width(self.width, self.num_heads, multiple=16, why=": the mask head halves it four times")
        require_at_least(self, 1, "hidden", "encoder_layers", "decoder_layers")
        check_chances(self, "dropout", "attention_dropout")

    def sizes(self, *, num_layers: int) -> dict[str, Any]:
        """Arguments that the encoders and the decoder have in common."""
        return {
            "width": self.width,
            "hidden": self.hidden,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "norm": self.norm,
            "num_layers": num_layers,
        }


@dataclass(frozen=True, kw_only=True)
class PlacedQueries:
    """Queries that start at places of their frames instead of anywhere; no paper does so, small models need it."""

    rows: int = 2
    columns: int = 3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rows", "columns")


@dataclass(frozen=True, kw_only=True)
class FrameQueries:
    """A query per object and frame (VisTR, section 3.2)."""

    count: int = 10
    """Objects of a clip at most; each has a query in every frame."""
    frames: int = 36
    """Longest clip that the query table (and frames as levels) knows."""
    placed: PlacedQueries | None = None
    """Where queries start; without it they are drawn from N(0, 1), as published."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "frames")


@dataclass(frozen=True, kw_only=True)
class AttentionMaskHead:
    """Masks from where the queries look (VisTR, section 3.3)."""

    area: Area = "valid"
    """Cells that the mask head reads: the clip's own, or the whole padded map, as published."""


@dataclass(frozen=True, kw_only=True)
class SequenceLossConfig:
    """Matching the queries of all frames to objects at once, and comparing them (VisTR, section 3.2)."""

    mask_resize: MaskResize = "aligned"
    """Predicted masks meet their targets enlarged and cut, or stretched to their size, as published."""
    legacy_valid_index: bool = False
    """Repeat a fault of the published matcher: frames of match j are those in which object j is seen, whichever object
    was assigned, and absent objects have class 0."""
    costs: SequenceCosts = SequenceCosts()
    weights: SequenceLossWeights = SequenceLossWeights()


def build_full_encoder(transformer: ClipTransformer, *, activation: Activation = "relu") -> FullEncoder:
    return FullEncoder(
        attention_dropout=transformer.attention_dropout,
        activation=activation,
        **transformer.sizes(num_layers=transformer.encoder_layers),
    )


def build_decoder(
    transformer: ClipTransformer,
    queries: FrameQueries,
    *,
    activation: Activation = "relu",
    cross_attention: CrossAttention = "dense",
    num_points: int = 32,
) -> FrameQueryDecoder:
    decoder = FrameQueryDecoder(
        num_frames=queries.frames,
        num_queries=queries.count,
        attention_dropout=transformer.attention_dropout,
        activation=activation,
        cross_attention=cross_attention,
        num_points=num_points,
        **transformer.sizes(num_layers=transformer.decoder_layers),
    )
    if queries.placed is not None:
        place_queries(decoder, rows=queries.placed.rows, columns=queries.placed.columns)
    return decoder


def build_mask_head(
    transformer: ClipTransformer, head: AttentionMaskHead, channels: Sequence[int], *, activation: Activation = "relu"
) -> AttentionMasks:
    """`channels` are those of the backbone's maps, fine to coarse."""
    return AttentionMasks(
        transformer.width, channels[:3], num_heads=transformer.num_heads, activation=activation, area=head.area
    )


def map_features(backbone: nn.Module, project: nn.Module, frames: ClipBatch) -> FrameFeatures:
    """The backbone's maps at strides 4, 8 and 16, and its last one in the width of the tokens."""
    *finer, last = backbone(frames)
    return FrameFeatures(maps=(*finer, project(last)), sizes=frame_sizes(frames))


def predict_clip(
    states: Sequence[Float[Tensor, "b t q c"]], classify: nn.Module, boxes: nn.Module, masks: AttentionMaskDecoder
) -> ClipPrediction:
    """Class and box of every decoder layer; the last one has masks."""
    layers = tuple(
        LayerPrediction(class_logits=classify(state), boxes=boxes(state), masks=masks if state is states[-1] else None)
        for state in states
    )
    return ClipPrediction(
        layers=layers, votes="per_frame", appearance=None if classify.training else states[-1].mean(1)
    )


def build_sequence_loss(config: SequenceLossConfig) -> SequenceLoss:
    return SequenceLoss(
        config.weights,
        config.costs,
        legacy_valid_index=config.legacy_valid_index,
        mask_resize=config.mask_resize,
    )
