"""From a pyramid of maps to the tokens of a clip."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from maskreel.nn.layers.position import sine_position, valid_ratio
from maskreel.structures import ClipMemory, FeatureMap


def flatten_pyramid(pyramid: Sequence[FeatureMap]) -> ClipMemory:
    """Levels of every frame one after the other, as un-encoded tokens."""
    return ClipMemory(
        tokens=torch.cat([rearrange(level.values, "b t c h w -> b t (h w) c") for level in pyramid], 2),
        is_padding=torch.cat([rearrange(level.is_padding, "b t h w -> b t (h w)") for level in pyramid], 2),
        level_sizes=tuple((level.values.shape[-2], level.values.shape[-1]) for level in pyramid),
        valid_ratios=torch.stack([valid_ratio(level.is_padding) for level in pyramid], 1),
    )


def unflatten_pyramid(tokens: Float[Tensor, "b t s c"], like: Sequence[FeatureMap]) -> tuple[FeatureMap, ...]:
    """The way back: tokens as the levels of the pyramid that they were made from."""
    parts = tokens.split([level.values.shape[-2] * level.values.shape[-1] for level in like], 2)
    return tuple(
        replace(level, values=rearrange(part, "b t (h w) c -> b t c h w", h=level.values.shape[-2]))
        for level, part in zip(like, parts, strict=True)
    )


def flatten_positions(pyramid: Sequence[FeatureMap], level_embedding: Float[Tensor, "l c"]) -> Float[Tensor, "b t s c"]:
    """Sine code of every token plus the learned embedding of its level; the same in all frames of a clip."""
    width, t = level_embedding.shape[-1], pyramid[0].values.shape[1]
    codes = [
        rearrange(sine_position(level.is_padding[:, :1], width), "b 1 c h w -> b 1 (h w) c") + embedding
        for level, embedding in zip(pyramid, level_embedding, strict=True)
    ]
    return torch.cat(codes, 2).expand(-1, t, -1, -1)


def with_levels(raw: ClipMemory, encoded: ClipMemory, levels: Sequence[int]) -> ClipMemory:
    """The un-encoded tokens of a pyramid, with those of `levels` (rising) replaced by their encoded ones."""
    sizes = [h * w for h, w in raw.level_sizes]
    tokens = list(raw.tokens.split(sizes, 2))
    for level, values in zip(levels, encoded.tokens.split([sizes[level] for level in levels], 2), strict=True):
        tokens[level] = values
    return replace(raw, tokens=torch.cat(tokens, 2))
