"""Twins-SVT, official classifier and detection variant: a start for TT-SPN."""

import re

from maskreel.checkpoints.dialects.resnet import NEW
from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, State, layers, named_classes
from maskreel.errors import DataError
from maskreel.models.parts.backbones import TwinsConfig
from maskreel.models.tt_spn import TTSPNConfig

HEAD_WIDTH = 32
"""Channels per attention head, in all published sizes."""
WINDOW = 7
"""Cells along a side of a window, in all published sizes."""


def twins_config(state: State) -> TwinsConfig:
    """Widths, depths, norms and reductions; edges as published. Windows show in no shape, but where there are none.

    DataError for widths that heads of 32 channels do not divide.
    """
    first, second, third, fourth = (state[f"patch_embeds.{stage}.proj.weight"].shape[0] for stage in range(4))
    widths = (first, second, third, fourth)
    if any(width % HEAD_WIDTH for width in widths):
        raise DataError(f"its Twins has {widths} channels, which heads of {HEAD_WIDTH} channels do not divide")
    depths = tuple(layers(state, f"blocks.{stage}.") for stage in range(4))
    windows = [WINDOW if f"blocks.{stage}.0.attn.qkv.weight" in state else 1 for stage in range(4)]
    reductions = [_reduction(state, f"blocks.{stage}.") for stage in range(4)]
    return TwinsConfig(
        widths=widths,
        num_heads=(first // HEAD_WIDTH, second // HEAD_WIDTH, third // HEAD_WIDTH, fourth // HEAD_WIDTH),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        windows=(windows[0], windows[1], windows[2], windows[3]),
        reductions=(reductions[0], reductions[1], reductions[2], reductions[3]),
        edges="cut",
        stage_norm="carried" if "norm_list.0.weight" in state else "none",
    )


def _reduction(state: State, prefix: str) -> int:
    """Cells along a side of a key of global attention, as the convolution says that makes it."""
    kernels = [values for name, values in state.items() if re.fullmatch(rf"{prefix}\d+\.attn\.sr\.weight", name)]
    return kernels[0].shape[-1] if kernels else 1


def _config(state: State, heads: int, num_classes: int | None) -> TTSPNConfig:
    return TTSPNConfig(backbone=twins_config(state), **named_classes(num_classes))


TWINS = Dialect(
    name="twins",
    title="an official Twins-SVT, classifier or detection variant",
    keys=("patch_embeds.0.proj.weight", "pos_block.0.proj.0.weight", "blocks.0.0.attn.qkv.weight"),
    config=_config,
    rules=((r"^backbone\.", ""),),
    drops=(
        Drop(
            keys=("norm.weight", "norm.bias", "head.weight", "head.bias"),
            reason="classifier of ImageNet and the norm in front of it, which the detection variant owns without use",
        ),
    ),
    fresh=(Fresh(pattern=r"(?!backbone\.)", reason=NEW),),
)
