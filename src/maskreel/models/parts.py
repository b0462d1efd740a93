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

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise ValueError(f"backbone width {self.width} must be a multiple of 8")
        if not 0 <= self.frozen_stages <= 5:
            raise ValueError(
                f"frozen_stages {self.frozen_stages} must be between 0 (none) and 5 (stem and four stages)"
            )


def require_at_least(config: object, least: int, *names: str) -> None:
    """ValueError for a field of a config record that is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise ValueError(f"{name} {getattr(config, name)} must be at least {least}")


def check_token_width(width: int, num_heads: int) -> None:
    """ValueError unless tokens of `width` channels suit the pyramid's 32 norm groups and the attention heads."""
    if width < 32 or width % 32:
        raise ValueError(f"width {width} must be a multiple of 32")
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"num_heads {num_heads} must divide width {width}")


def build_backbone(config: ResNetConfig) -> ResNet:
    return ResNet(config.depth, width=config.width, norm=config.norm, frozen_stages=config.frozen_stages)


def per_layer(build: Callable[[], nn.Module], num_layers: int, *, shared: bool = False) -> nn.ModuleList:
    """One module per decoder layer, or one module for all of them."""
    return nn.ModuleList([build()] * num_layers if shared else [build() for _ in range(num_layers)])


def clip_sizes(clip: ClipBatch) -> Float[Tensor, "b 2"]:
    """(width, height) of the un-padded clips in pixels."""
    valid = ~clip.is_padding[:, 0]
    return torch.stack((valid[:, 0].sum(-1), valid[:, :, 0].sum(-1)), -1).to(clip.frames.dtype)
