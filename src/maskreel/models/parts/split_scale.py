"""Attention over frames and scales as config records (MS-STS VIS, section 3.1), and how it is built."""

from dataclasses import dataclass
from typing import Literal

from maskreel.nn.layers.position import FrameCode
from maskreel.nn.layers.scale_pairs import Upsampling
from maskreel.nn.layers.split_attention import SplitScaleAttention

INTRA_WINDOW = 3
"""Rows and columns that a token sees within its own level where that is a square."""


@dataclass(frozen=True, kw_only=True)
class Colocated:
    """A token looks at the tokens of its own position, in its level and the next coarser one, in all frames."""

    kind: Literal["colocated"] = "colocated"
    upsampling: Upsampling = "bilinear"
    """How the coarser map is brought to the finer grid."""
    concat: Literal["token", "channel"] = "token"
    """Two tokens per position, or one of twice the width."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A token looks at a square of cells around its position, in all frames and in every level that it reads."""

    kind: Literal["window"] = "window"
    size: int = 3
    """Rows and columns of the square; odd."""


@dataclass(frozen=True, kw_only=True)
class SplitScale:
    """Attention over frames and scales beside the deformable attention; defaults give the published model size."""

    intra: Literal["temporal", "window", "paired"] | None = "temporal"
    """Within a level: over the frames of one position, of a square of 3 x 3 positions, or as the inter-scale block does
    it, each level with itself."""
    inter: Colocated | Window | Literal["cross", "full"] | None = Colocated()
    """Between a level and the next coarser one: near a token, over the whole coarser map ("cross"), or over both maps
    ("full"). The last two are quadratic in the size of the maps."""
    width: int = 64
    """Channels inside both blocks."""
    hidden: int = 64
    """Channels inside their feed-forward parts."""
    num_heads: int = 8
    residual: Literal["inside", "none"] = "inside"
    """Whether the blocks add what they compute to what they read."""
    sharing: Literal["per_layer", "shared"] = "per_layer"
    """One module for each encoder layer, or one for all."""
    code: FrameCode = "none"
    """Time of the frames in what the module reads: none, as a fraction of the clip, or as the index."""


def build_split(split: SplitScale, width: int, *, dropout: float) -> SplitScaleAttention:
    """One module, for tokens of `width` channels."""
    inter = split.inter
    return SplitScaleAttention(
        width,
        intra=split.intra,
        intra_window=INTRA_WINDOW if split.intra == "window" else 1,
        inter=inter.kind if isinstance(inter, Colocated | Window) else inter,
        inner=split.width,
        hidden=split.hidden,
        num_heads=split.num_heads,
        dropout=dropout,
        residual=split.residual,
        window=inter.size if isinstance(inter, Window) else 1,
        upsampling=inter.upsampling if isinstance(inter, Colocated) else "bilinear",
        concat=inter.concat if isinstance(inter, Colocated) else "token",
    )
