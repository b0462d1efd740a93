"""Stands where a backbone stands, for recordings that begin behind it."""

import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.nn.layers.position import shrink_padding
from maskreel.structures import ClipBatch, FeatureMap


class RecordedMaps(nn.Module):
    """Hands out recorded maps of one clip by stride, with the clip's padding."""

    def __init__(self, maps: dict[int, Tensor]) -> None:
        super().__init__()
        self.maps = maps
        self.channels = tuple(values.shape[1] for values in maps.values())

    def forward(self, clip: ClipBatch) -> tuple[FeatureMap, ...]:
        return tuple(
            FeatureMap(
                values=rearrange(values, "t c h w -> 1 t c h w"),
                is_padding=shrink_padding(clip.is_padding, (values.shape[-2], values.shape[-1])),
                stride=stride,
            )
            for stride, values in self.maps.items()
        )

    @classmethod
    def of(cls, inputs: dict[str, Tensor], dtype: torch.dtype) -> "RecordedMaps":
        return cls({4 << level: inputs[f"feat.{level}"].to(dtype) for level in range(4)})
