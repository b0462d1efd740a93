"""One query per instance, split into a box query per frame and refined layer by layer (SeqFormer, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.layers.attention import QueryAttention
from maskreel.nn.layers.box_refiner import BoxRefiner
from maskreel.nn.layers.deformable import DeformableAttention, xavier_matrices
from maskreel.nn.layers.feedforward import FeedForward
from maskreel.nn.layers.parameter_groups import LocationLinear
from maskreel.nn.layers.temporal import TemporalAttention
from maskreel.structures import ClipMemory


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryState:
    """Queries after one decoder layer."""

    instance: Float[Tensor, "b q c"]
    box_queries: Float[Tensor, "b t q c"]
    reference: Float[Tensor, "b t q r"]
    """The points (r = 2) or boxes (r = 4) that entered the layer."""
    boxes: Float[Tensor, "b t q 4"]


class BoxQueryDecoderLayer(nn.Module):
    """Box queries look at their own frame; the instance query gathers what they saw over time.

    Sampling depends on the box queries alone: the instance query differs by its own projection of the same samples.
    """

    def __init__(
        self, width: int, *, hidden: int, num_levels: int, num_heads: int, num_points: int, dropout: float
    ) -> None:
        super().__init__()
        self.instance_attention = QueryAttention(width, num_heads, dropout)
        self.box_attention = QueryAttention(width, num_heads, dropout)
        self.cross_attention = DeformableAttention(
            width, num_levels=num_levels, num_heads=num_heads, num_points=num_points
        )
        self.instance_proj = nn.Linear(width, width)
        self.frame_weight = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)
        self.box_norm = nn.LayerNorm(width)
        self.box_feedforward = FeedForward(width, hidden, dropout)
        self.instance_norm = nn.LayerNorm(width)
        self.instance_feedforward = FeedForward(width, hidden, dropout)

    def forward(
        self,
        instance: Float[Tensor, "b q c"],
        box_queries: Float[Tensor, "b t q c"],
        position: Float[Tensor, "b q c"],
        reference_points: Float[Tensor, "b t q l r"],
        memory: ClipMemory,
        temporal: TemporalAttention | None = None,
    ) -> tuple[Float[Tensor, "b q c"], Float[Tensor, "b t q c"]]:
        t = box_queries.shape[1]
        instance = self.instance_attention(instance, position)
        if temporal is not None and temporal.place == "before_self":
            box_queries = temporal(box_queries, position)
        frame_position = repeat(position, "b q c -> b t q c", t=t)
        box_queries = rearrange(
            self.box_attention(
                rearrange(box_queries, "b t q c -> (b t) q c"), rearrange(frame_position, "b t q c -> (b t) q c")
            ),
            "(b t) q c -> b t q c",
            t=t,
        )
        if temporal is not None and temporal.place == "after_self":
            box_queries = temporal(box_queries, position)
        sampled = self.cross_attention.sample(box_queries + frame_position, reference_points, memory)
        box_queries = self.box_norm(box_queries + self.dropout(self.cross_attention.output_proj(sampled)))
        box_queries = self.box_feedforward(box_queries)
        weight = self.frame_weight(box_queries).softmax(1)
        gathered = einsum(self.instance_proj(sampled), weight[..., 0], "b t q c, b t q -> b q c")
        instance = self.instance_norm(instance + self.dropout(gathered))
        return self.instance_feedforward(instance), box_queries


class BoxQueryDecoder(nn.Module):
    """Returns one state per layer; owns the box heads, whose boxes become the next layer's references.

    `refinement` "none" keeps the learned points as references of every layer and shares one box head. `temporal` holds
    attention across frames: one module for all layers or one for each; without it no frame knows of another.
    """

    def __init__(
        self,
        width: int,
        *,
        num_queries: int = 300,
        num_layers: int = 6,
        num_levels: int = 4,
        hidden: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.1,
        refinement: Literal["iterative", "none"] = "iterative",
        temporal: Sequence[TemporalAttention] = (),
    ) -> None:
        super().__init__()
        self.query_position = nn.Embedding(num_queries, width)
        self.query_content = nn.Embedding(num_queries, width)
        self.reference_points = LocationLinear(width, 2)
        self.layers = nn.ModuleList(
            BoxQueryDecoderLayer(
                width,
                hidden=hidden,
                num_levels=num_levels,
                num_heads=num_heads,
                num_points=num_points,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        xavier_matrices(self.layers)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)
        self.is_refining = refinement == "iterative"
        heads = num_layers if self.is_refining else 1
        self.box_heads = nn.ModuleList(BoxRefiner(width, first=index == 0) for index in range(heads))
        if len(temporal) not in (0, 1, num_layers):
            raise OptionError(
                f"{len(temporal)} temporal attentions for {num_layers} layers; give none, one, or one each"
            )
        self.temporal = nn.ModuleList(temporal)

    def forward(self, memory: ClipMemory) -> tuple[QueryState, ...]:
        b, t = memory.tokens.shape[:2]
        position = repeat(self.query_position.weight, "q c -> b q c", b=b)
        instance = repeat(self.query_content.weight, "q c -> b q c", b=b)
        box_queries = repeat(instance, "b q c -> b t q c", t=t)
        # Positions in low precision would be wrong by more than a pixel: they are float32 under autocast.
        reference = repeat(self.reference_points(position).to(position.dtype).sigmoid(), "b q r -> b t q r", t=t)
        states = []
        for index, layer in enumerate(self.layers):
            ratios = memory.valid_ratios[:, None, None]
            if reference.shape[-1] == 4:
                ratios = torch.cat((ratios, ratios), -1)
            instance, box_queries = layer(
                instance,
                box_queries,
                position,
                reference[:, :, :, None] * ratios,
                memory,
                temporal=self.temporal[index % len(self.temporal)] if len(self.temporal) else None,
            )
            head = self.box_heads[index if self.is_refining else 0]
            assert isinstance(head, BoxRefiner)
            boxes = head.refine(box_queries, reference)
            states.append(QueryState(instance=instance, box_queries=box_queries, reference=reference, boxes=boxes))
            if self.is_refining:
                reference = boxes.detach()
        return tuple(states)
