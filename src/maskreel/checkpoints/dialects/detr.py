"""DETR: a start for a VisTR of its width, and for TT-SPN."""

from dataclasses import replace

from maskreel.checkpoints.dialects.resnet import resnet_config
from maskreel.checkpoints.dialects.table import Dialect, Drop, Fresh, State, named_classes
from maskreel.checkpoints.dialects.vistr import RULES, transformer_sizes
from maskreel.models.vistr import VisTRConfig

_VIDEO_ONLY = ("classify", "queries", "mask_head", "reference_points", "sines", "boxes\\.linear", "boxes\\.out")


def _config(state: State, heads: int, num_classes: int | None) -> VisTRConfig:
    return VisTRConfig(
        backbone=replace(resnet_config(state, "backbone.0.body."), padding="masked"),
        transformer=transformer_sizes(state, "transformer.", heads),
        **named_classes(num_classes),
    )


DETR = Dialect(
    name="detr",
    title="DETR",
    keys=("query_embed.weight", "class_embed.weight", "input_proj.weight", "transformer.decoder.norm.weight"),
    config=_config,
    rules=tuple(
        (ours, theirs.removeprefix("vistr.")) for ours, theirs in RULES if not any(word in ours for word in _VIDEO_ONLY)
    ),
    drops=(
        Drop(keys=("class_embed.weight", "class_embed.bias"), reason="class head of COCO's categories"),
        Drop(keys=("query_embed.weight",), reason="queries of an image, where a clip has some for every frame"),
    ),
    fresh=(
        Fresh(pattern=r"classify\.", reason="class head of other categories: drawn as in a new model"),
        Fresh(pattern=r"decoder\.queries\.", reason="queries of every frame: drawn as in a new model"),
        Fresh(pattern=r"mask_head\.", reason="a detector has no masks: drawn as in a new model"),
    ),
)
