"""Brings the maps of a backbone to one width and adds coarser levels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from einops import rearrange
from torch import nn

from maskreel.errors import OptionError
from maskreel.nn.layers.position import shrink_padding
from maskreel.structures import ClipBatch, FeatureMap

LastStride = Literal[16, 32]
"""Of a backbone's last map; 16 leaves small frames four times as many tokens."""


class Pyramid(nn.Module):
    """1x1 convolution and group norm per backbone map; each extra level is a strided 3x3 convolution.

    The first extra level reads the last backbone map, not its projection (Deformable DETR, appendix A.4). Group norm
    sees padded cells too, as in the published systems.
    """

    def __init__(self, channels: Sequence[int], *, width: int, num_levels: int) -> None:
        super().__init__()
        if num_levels < len(channels):
            raise OptionError(f"num_levels is {num_levels}, but the backbone hands over {len(channels)} maps")
        levels = [self._level(nn.Conv2d(c, width, 1)) for c in channels]
        inputs = channels[-1]
        for _ in range(num_levels - len(channels)):
            levels.append(self._level(nn.Conv2d(inputs, width, 3, stride=2, padding=1)))
            inputs = width
        self.levels = nn.ModuleList(levels)

    @staticmethod
    def _level(conv: nn.Conv2d) -> nn.Sequential:
        nn.init.xavier_uniform_(conv.weight, gain=1)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        return nn.Sequential(conv, nn.GroupNorm(32, conv.out_channels))

    def forward(self, maps: Sequence[FeatureMap], clip: ClipBatch) -> tuple[FeatureMap, ...]:
        """Levels fine to coarse; `maps` are the backbone's, finest first."""
        b, t = clip.frames.shape[:2]
        out: list[FeatureMap] = []
        source, stride = maps[-1].values, maps[-1].stride
        for index, level in enumerate(self.levels):
            if index < len(maps):
                source, stride = maps[index].values, maps[index].stride
            elif index == len(maps):
                source, stride = maps[-1].values, 2 * stride
            else:
                source, stride = out[-1].values, 2 * stride
            x = level(rearrange(source, "b t c h w -> (b t) c h w"))
            out.append(
                FeatureMap(
                    values=rearrange(x, "(b t) c h w -> b t c h w", b=b, t=t),
                    is_padding=shrink_padding(clip.is_padding, (x.shape[-2], x.shape[-1])),
                    stride=stride,
                )
            )
        return tuple(out)


class Projection(nn.Conv2d):
    """Brings the last map of a backbone to the width of the tokens by a 1x1 convolution (DETR)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 1)

    def forward(self, input: FeatureMap) -> FeatureMap:  # pyright: ignore[reportIncompatibleMethodOverride]
        values = super().forward(rearrange(input.values, "b t c h w -> (b t) c h w"))
        return replace(input, values=rearrange(values, "(b t) c h w -> b t c h w", b=input.values.shape[0]))
