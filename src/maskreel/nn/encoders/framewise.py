"""Deformable encoder that treats every frame on its own (SeqFormer, section 3.2; Deformable DETR)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.geometry.grids import encoder_reference_points
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import DeformableAttention, xavier_matrices
from maskreel.nn.layers.feedforward import FeedForward
from maskreel.nn.layers.tokens import flatten_positions, flatten_pyramid
from maskreel.structures import ClipMemory, FeatureMap


class FramewiseEncoderLayer(nn.Module):
    """Deformable self-attention of the tokens of one frame, then feed-forward; post-norm."""

    def __init__(
        self, width: int, *, hidden: int, num_levels: int, num_heads: int, num_points: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention = DeformableAttention(width, num_levels=num_levels, num_heads=num_heads, num_points=num_points)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout)

    def forward(
        self, memory: ClipMemory, position: Float[Tensor, "b t s c"], reference_points: Float[Tensor, "b t s l 2"]
    ) -> ClipMemory:
        x = memory.tokens
        x = self.norm(x + self.dropout(self.attention(x + position, reference_points, memory)))
        return replace(memory, tokens=self.feedforward(x))


class FramewiseEncoder(Checkpointed):
    """Flattens a pyramid to tokens and lets the tokens of each frame exchange what they know."""

    def __init__(
        self,
        width: int,
        *,
        num_layers: int = 6,
        num_levels: int = 4,
        hidden: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.level_embedding = nn.Parameter(torch.empty(num_levels, width))
        self.layers = nn.ModuleList(
            FramewiseEncoderLayer(
                width,
                hidden=hidden,
                num_levels=num_levels,
                num_heads=num_heads,
                num_points=num_points,
                dropout=dropout,
            )
            for _ in range(num_layers)
        )
        xavier_matrices(self)
        nn.init.normal_(self.level_embedding)

    def forward(self, pyramid: Sequence[FeatureMap]) -> ClipMemory:
        memory, position, reference_points = encoder_inputs(pyramid, self.level_embedding)
        for layer in self.layers:
            memory = self.run(layer, memory, position, reference_points)
        return memory


def encoder_inputs(
    pyramid: Sequence[FeatureMap], level_embedding: Float[Tensor, "l c"]
) -> tuple[ClipMemory, Float[Tensor, "b t s c"], Float[Tensor, "b t s l 2"]]:
    """Un-encoded tokens, the position of each, and its reference point on every level."""
    memory = flatten_pyramid(pyramid)
    reference_points = encoder_reference_points(memory.level_sizes, memory.valid_ratios)
    frames = memory.tokens.shape[1]
    return (
        memory,
        flatten_positions(pyramid, level_embedding),
        reference_points[:, None].expand(-1, frames, -1, -1, -1),
    )
