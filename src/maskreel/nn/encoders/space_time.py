"""Deformable encoder across frames: every token reads a few learned points of the clip (Deformable VisTR)."""

from dataclasses import replace
from typing import Literal

from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.geometry.grids import encoder_reference_points
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import xavier_matrices
from maskreel.nn.layers.feedforward import FeedForward, NormPlace
from maskreel.nn.layers.space_time import FrameLevelAttention, SpaceTimeAttention, volume_reference_points
from maskreel.nn.layers.tokens import flatten_pyramid
from maskreel.structures import ClipMemory, FeatureMap

Reading = Literal["offsets_3d", "frames_as_levels"]
"""Points of the clip's volume, or as many points of every frame."""


class SpaceTimeEncoderLayer(nn.Module):
    """Deformable self-attention of all tokens of a clip, then feed-forward."""

    def __init__(
        self,
        attention: SpaceTimeAttention | FrameLevelAttention,
        width: int,
        *,
        hidden: int,
        dropout: float,
        norm: NormPlace,
    ) -> None:
        super().__init__()
        self.is_pre_norm = norm == "pre"
        self.attention = attention
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout, norm=norm)

    def forward(
        self, memory: ClipMemory, position: Float[Tensor, "b q c"], reference_points: Float[Tensor, "_ q *lr"]
    ) -> ClipMemory:
        t = memory.tokens.shape[1]
        x = rearrange(memory.tokens, "b t s c -> b (t s) c")
        content = self.norm(x) if self.is_pre_norm else x
        if self.is_pre_norm:
            memory = replace(memory, tokens=rearrange(content, "b (t s) c -> b t s c", t=t))
        x = x + self.dropout(self.attention(content + position, reference_points, memory))
        x = self.feedforward(x if self.is_pre_norm else self.norm(x))
        return replace(memory, tokens=rearrange(x, "b (t s) c -> b t s c", t=t))


class SpaceTimeEncoder(Checkpointed):
    """Turns one map of a clip into tokens that know of the whole clip, at a cost linear in their number.

    `num_frames` is the longest clip that the tables of `frames_as_levels` know; `offsets_3d` knows no limit. With
    pre-norm a last norm follows all layers.
    """

    def __init__(
        self,
        width: int,
        *,
        reading: Reading = "offsets_3d",
        num_frames: int = 36,
        num_layers: int = 6,
        hidden: int = 2048,
        num_heads: int = 8,
        num_points: int = 32,
        dropout: float = 0.1,
        norm: NormPlace = "post",
    ) -> None:
        super().__init__()

        def attention() -> SpaceTimeAttention | FrameLevelAttention:
            if reading == "offsets_3d":
                return SpaceTimeAttention(width, num_heads=num_heads, num_points=num_points)
            return FrameLevelAttention(width, num_frames=num_frames, num_heads=num_heads, num_points=num_points)

        self.is_volume = reading == "offsets_3d"
        self.layers = nn.ModuleList(
            SpaceTimeEncoderLayer(attention(), width, hidden=hidden, dropout=dropout, norm=norm)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        xavier_matrices(self)
        for layer in self.layers:
            assert isinstance(layer, SpaceTimeEncoderLayer)
            layer.attention.reset_parameters()

    def forward(self, level: FeatureMap, position: Float[Tensor, "b t c h w"]) -> ClipMemory:
        memory = flatten_pyramid((level,))
        t, size = memory.tokens.shape[1], memory.level_sizes[0]
        place = rearrange(position, "b t c h w -> b (t h w) c")
        if self.is_volume:
            return self._encode(memory, place, volume_reference_points(t, size, place.device)[None])
        levels = frames_as_levels(memory)
        levels = self._encode(levels, place, encoder_reference_points(levels.level_sizes, levels.valid_ratios))
        return replace(memory, tokens=rearrange(levels.tokens, "b 1 (t s) c -> b t s c", t=t))

    def _encode(self, memory: ClipMemory, position: Tensor, reference_points: Tensor) -> ClipMemory:
        for layer in self.layers:
            memory = self.run(layer, memory, position, reference_points)
        return replace(memory, tokens=self.norm(memory.tokens))


def frames_as_levels(memory: ClipMemory) -> ClipMemory:
    """A clip of one level as a single frame whose levels are the clip's frames."""
    t = memory.tokens.shape[1]
    return ClipMemory(
        tokens=rearrange(memory.tokens, "b t s c -> b 1 (t s) c"),
        is_padding=rearrange(memory.is_padding, "b t s -> b 1 (t s)"),
        level_sizes=memory.level_sizes * t,
        valid_ratios=repeat(memory.valid_ratios, "b 1 r -> b t r", t=t),
    )
