"""Norms of the convolutional backbones."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["frozen", "batch", "group"]


class FrozenBatchNorm(nn.Module):
    """Batch norm whose statistics and affine numbers are buffers: they load, and never change."""

    eps = 1e-5
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None])


def build_norm(kind: Norm, channels: int) -> nn.Module:
    """`frozen` for pretrained weights, `batch` as in training on images, `group` (8 channels each) for few clips."""
    match kind:
        case "frozen":
            return FrozenBatchNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(channels // 8, channels)
