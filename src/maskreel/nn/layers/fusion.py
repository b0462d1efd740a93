"""Ways to make one feature of a spatial and a temporal one (TAFormer, section 3.2 and table 4)."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

Pooling = Literal["none", "level", "frame"]


class AddFusion(nn.Module):
    """The sum of both."""

    def forward(
        self,
        spatial: Float[Tensor, "b t s c"],
        temporal: Float[Tensor, "b t s c"],
        is_padding: Bool[Tensor, "b t s"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t s c"]:
        return spatial + temporal


class ConcatFusion(nn.Module):
    """A linear layer over both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)

    def forward(
        self,
        spatial: Float[Tensor, "b t s c"],
        temporal: Float[Tensor, "b t s c"],
        is_padding: Bool[Tensor, "b t s"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t s c"]:
        return self.linear(torch.cat((spatial, temporal), -1))


class DynamicFusion(nn.Module):
    """A share of either per channel, from what stands in both (dynamic attention fusion, equations 3 to 5).

    The shares are a softmax over the two, never over channels. They come from the token itself, or from the mean over
    the un-padded tokens of its level or of its frame (`pooling`). They start equal with a `spatial_bias` of 0; with 20
    and more nothing but the spatial feature passes.
    """

    def __init__(self, width: int, *, hidden: int = 32, pooling: Pooling = "none", spatial_bias: float = 0.0) -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.spatial_bias = spatial_bias
        self.squeeze = nn.Linear(width, hidden)
        self.spatial_gate = nn.Linear(hidden, width)
        self.temporal_gate = nn.Linear(hidden, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with the same shares everywhere."""
        for gate in (self.spatial_gate, self.temporal_gate):
            nn.init.zeros_(gate.weight)
            nn.init.zeros_(gate.bias)
        nn.init.constant_(self.spatial_gate.bias, self.spatial_bias)

    def forward(
        self,
        spatial: Float[Tensor, "b t s c"],
        temporal: Float[Tensor, "b t s c"],
        is_padding: Bool[Tensor, "b t s"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t s c"]:
        both = spatial + temporal
        if self.pooling != "none":
            both = self._pool(both, is_padding, level_sizes)
        hidden = F.relu(self.squeeze(both))
        # A softmax over two numbers is a sigmoid of their difference, which one linear layer gives.
        difference = F.linear(
            hidden,
            self.spatial_gate.weight - self.temporal_gate.weight,
            self.spatial_gate.bias - self.temporal_gate.bias,
        )
        return torch.lerp(temporal, spatial, difference.sigmoid())

    def _pool(
        self,
        both: Float[Tensor, "b t s c"],
        is_padding: Bool[Tensor, "b t s"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t _ c"]:
        valid = rearrange(~is_padding, "b t s -> b t s 1").to(both.dtype)
        sizes = [h * w for h, w in level_sizes] if self.pooling == "level" else [both.shape[2]]
        means = [
            (part * count).sum(2, keepdim=True) / count.sum(2, keepdim=True).clamp(min=1)
            for part, count in zip(both.split(sizes, 2), valid.split(sizes, 2), strict=True)
        ]
        if self.pooling == "frame":
            return means[0]
        return torch.cat([mean.expand(-1, -1, size, -1) for mean, size in zip(means, sizes, strict=True)], 2)
