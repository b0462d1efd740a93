"""One query per instance and frame, all decoded at once (VisTR, section 3.2)."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.errors import UsageError
from maskreel.geometry.grids import inverse_sigmoid
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import xavier_matrices
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.feedforward import Activation, FeedForward, NormPlace
from maskreel.nn.layers.parameter_groups import LocationLinear
from maskreel.nn.layers.space_time import SpaceTimeAttention, clip_extent
from maskreel.structures import ClipMemory

CrossAttention = Literal["dense", "space_time"]
"""Queries read all tokens of the clip, or a few learned points of its volume."""


class FrameQueryDecoderLayer(nn.Module):
    """Queries of all frames look at each other, then at the clip. Position is added to queries and keys."""

    def __init__(
        self,
        cross_attention: Attention | SpaceTimeAttention,
        width: int,
        *,
        hidden: int,
        num_heads: int,
        dropout: float,
        attention_dropout: float,
        activation: Activation,
        norm: NormPlace,
    ) -> None:
        super().__init__()
        self.is_pre_norm = norm == "pre"
        self.self_attention = Attention(width, num_heads, dropout=attention_dropout)
        self.self_norm = nn.LayerNorm(width)
        self.cross_attention = cross_attention
        self.cross_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.feedforward = FeedForward(width, hidden, dropout, activation=activation, norm=norm)

    def forward(
        self,
        x: Float[Tensor, "b q c"],
        position: Float[Tensor, "#b q c"],
        is_padding: Bool[Tensor, "b q"],
        reference_points: Float[Tensor, "b q 3"] | None,
        memory: ClipMemory,
        memory_position: Float[Tensor, "b s c"],
    ) -> Float[Tensor, "b q c"]:
        content = self.self_norm(x) if self.is_pre_norm else x
        placed = content + position
        x = x + self.dropout(self.self_attention(placed, placed, content, is_padding))
        if not self.is_pre_norm:
            x = self.self_norm(x)
        placed = (self.cross_norm(x) if self.is_pre_norm else x) + position
        if isinstance(self.cross_attention, SpaceTimeAttention):
            read = self.cross_attention(placed, reference_points, memory)
        else:
            tokens = rearrange(memory.tokens, "b t s c -> b (t s) c")
            is_hidden = rearrange(memory.is_padding, "b t s -> b (t s)")
            read = self.cross_attention(placed, tokens + memory_position, tokens, is_hidden)
        x = x + self.dropout(read)
        return self.feedforward(x if self.is_pre_norm else self.cross_norm(x))


class FrameQueryDecoder(Checkpointed):
    """Returns the queries after every layer, through one shared norm.

    The query table has `num_queries` rows per frame, frame after frame; a clip shorter than `num_frames` uses the rows
    of the first frames. Queries of padded frames are read by nobody. With `space_time` cross-attention every query
    predicts a place (x, y, t) from its row, its time relative to its own frame, and reads around it.
    """

    def __init__(
        self,
        width: int,
        *,
        num_frames: int = 36,
        num_queries: int = 10,
        num_layers: int = 6,
        hidden: int = 2048,
        num_heads: int = 8,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: Activation = "relu",
        norm: NormPlace = "post",
        cross_attention: CrossAttention = "dense",
        num_points: int = 32,
    ) -> None:
        super().__init__()
        self.num_frames, self.num_queries = num_frames, num_queries
        self.queries = nn.Embedding(num_frames * num_queries, width)
        is_dense = cross_attention == "dense"
        self.reference_points = None if is_dense else LocationLinear(width, 3)

        def cross() -> Attention | SpaceTimeAttention:
            if is_dense:
                return Attention(width, num_heads, dropout=attention_dropout)
            return SpaceTimeAttention(width, num_heads=num_heads, num_points=num_points)

        self.layers = nn.ModuleList(
            FrameQueryDecoderLayer(
                cross(),
                width,
                hidden=hidden,
                num_heads=num_heads,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
                norm=norm,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        xavier_matrices(self.layers)
        for module in self.modules():
            if isinstance(module, SpaceTimeAttention):
                module.reset_parameters()
        if self.reference_points is not None:
            nn.init.xavier_uniform_(self.reference_points.weight)
            nn.init.zeros_(self.reference_points.bias)

    def forward(self, memory: ClipMemory, position: Float[Tensor, "b t c h w"]) -> tuple[Float[Tensor, "b t q c"], ...]:
        """`position` is that of the memory's tokens."""
        b, t = memory.tokens.shape[:2]
        if t > self.num_frames:
            raise UsageError(
                f"a clip of {t} frames, but the query table of this model knows {self.num_frames}; cut the video into "
                f"clips of at most {self.num_frames} frames (--clip-frames {self.num_frames}, with a latency "
                f"--window {self.num_frames})"
            )
        place = self.queries.weight[None, : t * self.num_queries]
        is_padding = memory.is_padding.all(-1).repeat_interleave(self.num_queries, 1)
        reference_points = self._reference_points(place, memory)
        memory_position = rearrange(position, "b t c h w -> b (t h w) c")
        x = torch.zeros_like(place).expand(b, -1, -1)
        states = []
        for layer in self.layers:
            x = self.run(layer, x, place, is_padding, reference_points, memory, memory_position)
            states.append(rearrange(self.norm(x), "b (t q) c -> b t q c", t=t))
        return tuple(states)

    def _reference_points(self, place: Float[Tensor, "1 q c"], memory: ClipMemory) -> Float[Tensor, "b q 3"] | None:
        """Places in fractions of the padded clip."""
        if self.reference_points is None:
            return None
        t, extent = memory.tokens.shape[1], clip_extent(memory)[:, None]
        frame = (torch.arange(t, device=place.device) + 0.5).repeat_interleave(self.num_queries) / t
        place = self.reference_points(place).expand(len(extent), -1, -1)
        own_time = inverse_sigmoid((frame / extent[..., 2]).clamp(max=1.0))
        return torch.cat((place[..., :2], place[..., 2:] + own_time[..., None]), -1).sigmoid() * extent
