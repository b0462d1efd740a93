"""What SeqFormer and the models that grew from it share: deformable tokens, box queries, dynamic masks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.matching import MatchCosts
from maskreel.criteria.set_loss import LossWeights, SetLoss
from maskreel.models.parts.checks import check_chances, check_width, require_at_least
from maskreel.models.parts.frames import frame_sizes
from maskreel.nn.decoders.box_queries import BoxQueryDecoder, QueryState
from maskreel.nn.heads.classify import ClassHead
from maskreel.nn.heads.dynamic_masks import DynamicMasks
from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.temporal import Place, TemporalAttention
from maskreel.structures import ClipBatch, FrameFeatures, LayerPrediction


@dataclass(frozen=True, kw_only=True)
class DeformableTransformer:
    """Sizes of an encoder and a decoder that sample a pyramid (Deformable DETR)."""

    num_levels: int = 4
    """Levels of the pyramid: three from the backbone, the others added below it."""
    num_points: int = 4
    """Sampling points per head and level, in a query's own frame."""
    decoder_points: int | None = None
    """The same in the decoder; without a number as many as in the encoder."""
    width: int = 256
    """Channels of every token; a multiple of 32."""
    hidden: int = 1024
    """Channels inside the feed-forward blocks."""
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_width(self.width, self.num_heads, multiple=32)
        require_at_least(self, 1, "hidden", "num_points", "encoder_layers", "decoder_layers")
        require_at_least(self, 3, "num_levels")
        if self.decoder_points is not None:
            require_at_least(self, 1, "decoder_points")
        check_chances(self, "dropout")

    def sizes(self, *, num_layers: int, num_levels: int) -> dict[str, Any]:
        """Arguments that the encoders and the decoder have in common."""
        return {
            "width": self.width,
            "hidden": self.hidden,
            "num_heads": self.num_heads,
            "num_points": self.num_points,
            "dropout": self.dropout,
            "num_layers": num_layers,
            "num_levels": num_levels,
        }

    def encoder_sizes(self) -> dict[str, Any]:
        """Arguments of an encoder of all levels."""
        return self.sizes(num_layers=self.encoder_layers, num_levels=self.num_levels)


@dataclass(frozen=True, kw_only=True)
class BoxQueries:
    """One query per object, split into a box query per frame (SeqFormer, section 3.2)."""

    count: int = 300
    refinement: Literal["iterative", "none"] = "iterative"
    """Whether each decoder layer starts from the boxes of the one before."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count")


@dataclass(frozen=True, kw_only=True)
class TemporalSelfAttention:
    """Attention of the box queries of an instance across frames, in every decoder layer."""

    place: Place
    """Before or after the self-attention among the box queries of a frame."""
    sharing: Literal["shared", "per_layer"] = "shared"
    """One module for all layers, as the published model sizes imply, or one for each."""
    code: FrameCode = "none"
    """Time of the frames in queries and keys: none, as a fraction of the clip, or as the index."""


@dataclass(frozen=True, kw_only=True)
class DynamicMaskHead:
    """Convolutions whose weights each query predicts for itself, the same in all frames (CondInst; SeqFormer,
    section 3.4)."""

    channels: int = 8
    """Channels of the mask features."""
    coordinates: Literal["relative", "none"] = "relative"
    """Whether the dynamic layers see pixel coordinates relative to the object."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "channels")


@dataclass(frozen=True, kw_only=True)
class SetLossConfig:
    """Matching queries to objects, and comparing them (SeqFormer, section 3.5)."""

    absent_boxes: Literal["official", "ignore"] = "official"
    """Boxes in frames where an object is absent: trained as zero boxes (published), or left out."""
    costs: MatchCosts = MatchCosts()
    weights: LossWeights = LossWeights()


def build_decoder(
    transformer: DeformableTransformer,
    queries: BoxQueries,
    *,
    temporal: TemporalSelfAttention | None = None,
    num_levels: int | None = None,
) -> BoxQueryDecoder:
    """The decoder of all levels, or of `num_levels`."""
    num_layers = transformer.decoder_layers
    if transformer.decoder_points is not None:
        transformer = replace(transformer, num_points=transformer.decoder_points)
    attentions = (
        [
            TemporalAttention(
                transformer.width,
                place=temporal.place,
                code=temporal.code,
                num_heads=transformer.num_heads,
                dropout=transformer.dropout,
            )
            for _ in range(1 if temporal.sharing == "shared" else num_layers)
        ]
        if temporal is not None
        else []
    )
    return BoxQueryDecoder(
        num_queries=queries.count,
        refinement=queries.refinement,
        temporal=attentions,
        **transformer.sizes(num_layers=num_layers, num_levels=num_levels or transformer.num_levels),
    )


class PerLayer(nn.ModuleList):
    """One module per decoder layer, or a single one that serves all of them and is stored once."""

    def __init__(self, modules: Iterable[nn.Module], num_layers: int) -> None:
        super().__init__(modules)
        self.num_layers = num_layers

    def __iter__(self) -> Iterator[nn.Module]:
        """The module of every layer."""
        return (self[layer % len(self)] for layer in range(self.num_layers))


def build_class_heads(transformer: DeformableTransformer, queries: BoxQueries, num_classes: int) -> PerLayer:
    """A class head per decoder layer, or one for all where boxes are not refined."""
    num_layers = transformer.decoder_layers
    count = num_layers if queries.refinement == "iterative" else 1
    return PerLayer([ClassHead(transformer.width, num_classes) for _ in range(count)], num_layers)


def build_mask_head(transformer: DeformableTransformer, head: DynamicMaskHead) -> DynamicMasks:
    return DynamicMasks(transformer.width, head.channels, coordinates=head.coordinates)


def pyramid_features(backbone: nn.Module, pyramid: nn.Module, frames: ClipBatch) -> FrameFeatures:
    """The levels of the pyramid, of each frame on its own."""
    return FrameFeatures(maps=pyramid(backbone(frames)[-3:], frames), sizes=frame_sizes(frames))


def predict_layers(
    states: Sequence[QueryState],
    classify: PerLayer,
    mask_head: DynamicMasks,
    mask_features: Float[Tensor, "b t d h w"],
    sizes: Float[Tensor, "b t 2"],
) -> tuple[LayerPrediction, ...]:
    """Class, boxes and masks of every decoder layer; all frames of a clip have the size of its first."""
    return tuple(
        LayerPrediction(
            class_logits=head(state.instance),
            boxes=rearrange(state.boxes, "b t q r -> b q t r"),
            masks=mask_head(mask_features, state.instance, state.reference, sizes[:, 0]),
        )
        for head, state in zip(classify, states, strict=True)
    )


def build_set_loss(config: SetLossConfig) -> SetLoss:
    return SetLoss(config.weights, config.costs, absent_box_loss=config.absent_boxes)
