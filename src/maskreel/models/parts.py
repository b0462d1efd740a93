"""Config records and builders that two or more models share."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.backbones.resnet import ResNet
from maskreel.nn.backbones.swin import Swin
from maskreel.nn.layers.padding import Padding
from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.temporal import Place, TemporalAttention
from maskreel.structures import ClipBatch


def require_at_least(config: object, least: int, *names: str) -> None:
    """OptionError for a field of a config record that is below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise OptionError(f"{name} {getattr(config, name)} must be at least {least}")


def check_token_width(width: int, num_heads: int) -> None:
    """OptionError unless tokens of `width` channels suit the pyramid's 32 norm groups and the attention heads."""
    if width < 32 or width % 32:
        raise OptionError(f"width {width} must be a multiple of 32")
    if num_heads < 1 or width % num_heads:
        raise OptionError(f"num_heads {num_heads} must divide width {width}")


def check_clip_tokens(width: int, num_heads: int) -> None:
    """OptionError unless `width` channels suit the 3-D position code, the mask head and the attention heads."""
    if width < 16 or width % 16:
        raise OptionError(f"width {width} must be a multiple of 16: the mask head halves it four times")
    if num_heads < 1 or width % num_heads:
        raise OptionError(f"num_heads {num_heads} must divide width {width}")


def check_chances(config: object, *names: str) -> None:
    """OptionError for a field of a config record that is no chance below 1."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise OptionError(f"{name} {getattr(config, name)} must be at least 0 and below 1")


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
    padding: Padding = "seen"
    """Convolutions read what earlier layers made of padded pixels, as published, or zeros: `masked` makes a map the
    same however far its frame is padded."""

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 8:
            raise OptionError(f"backbone width {self.width} must be a multiple of 8")
        if not 0 <= self.frozen_stages <= 5:
            raise OptionError(
                f"frozen_stages {self.frozen_stages} must be between 0 (none) and 5 (stem and four stages)"
            )


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """Swin transformer (arXiv 2103.14030); the defaults are Swin-L as the published video systems use it."""

    kind: Literal["swin"] = "swin"
    depth: Literal[12, 24] = 24
    """Blocks: 2, 2, 6, 2 in the four stages, or 2, 2, 18, 2."""
    width: int = 192
    """Channels of the first stage; a head has 32."""
    window: int = 12
    """Sides of the attention windows in cells; 7 or 12 for pretrained weights."""
    drop_path: float = 0.3
    """Chance that the last block is left out in training; it rises from 0 at the first."""

    def __post_init__(self) -> None:
        if self.width < 32 or self.width % 32:
            raise OptionError(f"backbone width {self.width} must be a multiple of 32")
        require_at_least(self, 2, "window")
        check_chances(self, "drop_path")


SWIN_T = SwinConfig(depth=12, width=96, window=7, drop_path=0.2)
SWIN_S = SwinConfig(depth=24, width=96, window=7, drop_path=0.3)
SWIN_B = SwinConfig(depth=24, width=128, window=12, drop_path=0.3)
SWIN_L = SwinConfig()

BackboneConfig = ResNetConfig | SwinConfig


@dataclass(frozen=True, kw_only=True)
class TemporalSelfAttention:
    """Attention of the box queries of an instance across frames, in every decoder layer."""

    place: Place
    """Before or after the self-attention among the box queries of a frame."""
    sharing: Literal["shared", "per_layer"] = "shared"
    """One module for all layers, as the published model sizes imply, or one for each."""
    code: FrameCode = "none"
    """Time of the frames in queries and keys: none, as a fraction of the clip, or as the index."""


def build_backbone(config: BackboneConfig) -> ResNet | Swin:
    """A backbone; its last three maps have strides 8, 16 and 32."""
    if isinstance(config, SwinConfig):
        return Swin(config.depth, width=config.width, window=config.window, drop_path=config.drop_path)
    return ResNet(
        config.depth,
        width=config.width,
        norm=config.norm,
        frozen_stages=config.frozen_stages,
        padding=config.padding,
    )


def build_temporal(
    config: TemporalSelfAttention | None, width: int, *, num_layers: int, num_heads: int, dropout: float
) -> list[TemporalAttention]:
    """Temporal attentions of a decoder: none, one for all layers, or one for each."""
    if config is None:
        return []
    return [
        TemporalAttention(width, place=config.place, code=config.code, num_heads=num_heads, dropout=dropout)
        for _ in range(1 if config.sharing == "shared" else num_layers)
    ]


class PerLayer(nn.ModuleList):
    """One module per decoder layer, or a single one that serves all of them and is stored once."""

    def __init__(self, modules: Iterable[nn.Module], num_layers: int) -> None:
        super().__init__(modules)
        self.num_layers = num_layers

    def __iter__(self) -> Iterator[nn.Module]:
        """The module of every layer."""
        return (self[layer % len(self)] for layer in range(self.num_layers))


def per_layer(build: Callable[[], nn.Module], num_layers: int, *, shared: bool = False) -> PerLayer:
    """One module per decoder layer, or one module for all of them."""
    return PerLayer([build() for _ in range(1 if shared else num_layers)], num_layers)


def clip_sizes(clip: ClipBatch) -> Float[Tensor, "b 2"]:
    """(width, height) of the un-padded clips in pixels."""
    valid = ~clip.is_padding[:, 0]
    return torch.stack((valid[:, 0].sum(-1), valid[:, :, 0].sum(-1)), -1).to(clip.frames.dtype)
