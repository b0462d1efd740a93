"""Config records of the backbones, and how each is built."""

from dataclasses import dataclass
from typing import Literal

from maskreel.errors import OptionError
from maskreel.models.parts.checks import check_chances, require_at_least
from maskreel.nn.backbones.pyramid import LastStride
from maskreel.nn.backbones.resnet import ResNet
from maskreel.nn.backbones.swin import Swin
from maskreel.nn.backbones.twins import Edges, StageNorm, TwinsSVT
from maskreel.nn.layers.padding import Padding


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
    last_stride: LastStride = 32
    """Of the last map; 16 leaves objects of small frames more than one token."""

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


@dataclass(frozen=True, kw_only=True)
class TwinsConfig:
    """Twins-SVT backbone; the defaults are the small one."""

    kind: Literal["twins"] = "twins"
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    """Channels per stage."""
    num_heads: tuple[int, int, int, int] = (2, 4, 8, 16)
    """Attention heads per stage; each must divide its width."""
    depths: tuple[int, int, int, int] = (2, 2, 10, 4)
    """Blocks per stage, windows and global attention in turn."""
    windows: tuple[int, int, int, int] = (7, 7, 7, 7)
    """Sides of the attention windows in cells, per stage; 1 stands for global attention."""
    reductions: tuple[int, int, int, int] = (8, 4, 2, 1)
    """Cells along a side that become one key of global attention, per stage."""
    drop_path: float = 0.2
    """Chance that the last block is left out for an image in training; it grows from 0 at the first."""
    padding: Padding = "masked"
    """Nothing reads padded cells, or everything does, as in the published detectors."""
    edges: Edges = "filled"
    """Rows and columns that do not fill a cell of the next map are filled up with zeros, or left out as published:
    maps of 100 x 151 pixels then have 25 x 37, 12 x 18, 6 x 9 and 3 x 4 cells."""
    stage_norm: StageNorm = "none"
    """`carried`: a norm per stage, which the next stage then reads, as in the published detectors."""
    last_stride: LastStride = 32
    """Of the last map; 16 leaves objects of small frames more than one token."""

    def __post_init__(self) -> None:
        for name in ("widths", "num_heads", "depths", "windows", "reductions"):
            if min(getattr(self, name)) < 1:
                raise OptionError(f"{name} {getattr(self, name)} must all be at least 1")
        if any(width % heads for width, heads in zip(self.widths, self.num_heads, strict=True)):
            raise OptionError(f"num_heads {self.num_heads} must divide widths {self.widths}")
        check_chances(self, "drop_path")


TWINS_BASE = TwinsConfig(widths=(96, 192, 384, 768), num_heads=(3, 6, 12, 24), depths=(2, 2, 18, 2))
TWINS_LARGE = TwinsConfig(widths=(128, 256, 512, 1024), num_heads=(4, 8, 16, 32), depths=(2, 2, 18, 2))

BackboneConfig = ResNetConfig | SwinConfig
"""Backbones of the models with a pyramid."""
FineBackboneConfig = ResNetConfig | TwinsConfig
"""Backbones of the models whose mask head reads a map of stride 4, too."""


def build_backbone(config: ResNetConfig | SwinConfig | TwinsConfig) -> ResNet | Swin | TwinsSVT:
    """A backbone; its last three maps have strides 8, 16 and 32, or 8, 16 and 16."""
    match config:
        case SwinConfig():
            return Swin(config.depth, width=config.width, window=config.window, drop_path=config.drop_path)
        case TwinsConfig():
            return TwinsSVT(
                config.widths,
                config.num_heads,
                config.depths,
                windows=config.windows,
                reductions=config.reductions,
                drop_path=config.drop_path,
                padding=config.padding,
                edges=config.edges,
                stage_norm=config.stage_norm,
                last_stride=config.last_stride,
            )
        case ResNetConfig():
            return ResNet(
                config.depth,
                width=config.width,
                norm=config.norm,
                frozen_stages=config.frozen_stages,
                padding=config.padding,
                last_stride=config.last_stride,
            )
