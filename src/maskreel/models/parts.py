"""Config records and builders that two or more models share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.nn.backbones.resnet import ResNet
from maskreel.structures import ClipBatch


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Residual network; the defaults are those of pretrained ImageNet weights."""

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101] = 50
    width: int = 64
    """Channels of the stem; 64 for pretrained weights, less for small models."""
    norm: Literal["frozen", "batch", "group"] = "frozen"
    """`frozen` needs pretrained weights; `batch` and `group` train from scratch."""
    frozen_stages: int = 2
    """Parts that are not trained, counted from the stem."""


def build_backbone(config: ResNetConfig) -> ResNet:
    return ResNet(config.depth, width=config.width, norm=config.norm, frozen_stages=config.frozen_stages)


def per_layer(build: Callable[[], nn.Module], num_layers: int, *, shared: bool = False) -> nn.ModuleList:
    """One module per decoder layer, or one module for all of them."""
    return nn.ModuleList([build()] * num_layers if shared else [build() for _ in range(num_layers)])


def clip_sizes(clip: ClipBatch) -> Float[Tensor, "b 2"]:
    """(width, height) of the un-padded clips in pixels."""
    valid = ~clip.is_padding[:, 0]
    return torch.stack((valid[:, 0].sum(-1), valid[:, :, 0].sum(-1)), -1).to(clip.frames.dtype)
