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


def fold_norm(conv: nn.Conv2d, norm: FrozenBatchNorm | nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that does what a convolution and the batch norm behind it do in evaluation mode.

    The factors are worked out in float64, so that the one rounding is that of the folded weights.
    """
    assert norm.running_mean is not None, "a norm without running statistics has no evaluation mode of its own"
    assert norm.running_var is not None, "a norm without running statistics has no evaluation mode of its own"
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    if conv.bias is not None:
        shift = shift + conv.bias.detach().double() * scale
    weight = conv.weight.detach()
    with torch.device("meta"):
        folded = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            padding=conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
        )
    folded.weight = nn.Parameter((weight.double() * scale[:, None, None, None]).to(weight.dtype), requires_grad=False)
    folded.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)
    return folded.train(conv.training)


def build_norm(kind: Norm, channels: int) -> nn.Module:
    """`frozen` for pretrained weights, `batch` as in training on images, `group` (8 channels each) for few clips."""
    match kind:
        case "frozen":
            return FrozenBatchNorm(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(channels // 8, channels)
