"""Attention to neighbouring frames as config records (TAFormer, section 3.2), and how it is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from maskreel.nn.layers.fusion import AddFusion, ConcatFusion, DynamicFusion, Pooling
from maskreel.nn.layers.neighbours import Border, NeighbourSampling


@dataclass(frozen=True, kw_only=True)
class DynamicAttention:
    """Dynamic attention fusion: a share of the spatial and of the temporal feature per channel."""

    hidden: int = 32
    """Channels between the two linear layers."""
    pooling: Pooling = "none"
    """Where the shares come from: the token itself, the mean of its level, or of its frame."""
    spatial_bias: float = 0.0
    """Where training starts: 0 gives both features equal shares, 20 the function of SeqFormer weights started from."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Deformable attention over the frames around a token's own, in every encoder layer."""

    num_points: int = 4
    """Sampling points per head, neighbouring frame and level (K_inter)."""
    radius: int = 2
    """Neighbours on either side."""
    border: Border = "clamp"
    """What stands for neighbours beyond the ends of the clip."""
    temporal_levels: tuple[int, ...] = ()
    """Levels whose points are sampled in neighbouring frames, 0 the finest; empty means all."""
    fusion: DynamicAttention | Literal["add", "concat"] = DynamicAttention()


def build_sampling(config: Neighbours, width: int, *, num_heads: int, tokens: Sequence[int]) -> NeighbourSampling:
    """Of one encoder layer; `tokens` are the levels of the pyramid that become tokens."""
    return NeighbourSampling(
        width,
        num_levels=len(tokens),
        num_heads=num_heads,
        num_points=config.num_points,
        radius=config.radius,
        border=config.border,
        levels=[tokens.index(level) for level in config.temporal_levels],
    )


def build_fusion(config: DynamicAttention | Literal["add", "concat"], width: int) -> nn.Module:
    if isinstance(config, DynamicAttention):
        return DynamicFusion(width, hidden=config.hidden, pooling=config.pooling, spatial_bias=config.spatial_bias)
    return AddFusion() if config == "add" else ConcatFusion(width)
