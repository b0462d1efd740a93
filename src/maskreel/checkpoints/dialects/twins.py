"""Twins-SVT, official classifier and detection variant: a start for TT-SPN."""

from maskreel.checkpoints.dialects.resnet import NEW
from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, State, layers, named_classes
from maskreel.errors import DataError
from maskreel.models.parts.backbones import TwinsConfig
from maskreel.models.tt_spn import TTSPNConfig

HEAD_WIDTH = 32
"""Channels per attention head, in all published sizes."""


def twins_config(state: State) -> TwinsConfig:
    """Widths, depths and norms; DataError for widths that heads of 32 channels do not divide."""
    first, second, third, fourth = (state[f"patch_embeds.{stage}.proj.weight"].shape[0] for stage in range(4))
    widths = (first, second, third, fourth)
    if any(width % HEAD_WIDTH for width in widths):
        raise DataError(f"its Twins has {widths} channels, which heads of {HEAD_WIDTH} channels do not divide")
    depths = tuple(layers(state, f"blocks.{stage}.") for stage in range(4))
    return TwinsConfig(
        widths=widths,
        num_heads=(first // HEAD_WIDTH, second // HEAD_WIDTH, third // HEAD_WIDTH, fourth // HEAD_WIDTH),
        depths=(depths[0], depths[1], depths[2], depths[3]),
        stage_norm="carried" if "norm_list.0.weight" in state else "none",
    )


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
