"""VisTR's released checkpoints (github.com/Epiphqny/VisTR), and its relatives in the same layout.

No checkpoint of the poster's Deformable VisTR or of TT-SPN was released; both build on VisTR's code, so its names stand
for them, too.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskreel.checkpoints.layout import Layout, PublishedTensor, own_tensors, rename
from maskreel.checkpoints.sources.resnet import resnet_config
from maskreel.checkpoints.sources.table import Part, Source, State, layers
from maskreel.errors import DataError
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries
from maskreel.models.vistr import VisTRConfig

_TRANSFORMER = "vistr.transformer."
RULES = (
    (r"^backbone\.", "vistr.backbone.0.body."),
    (r"^project\.", "vistr.input_proj."),
    (r"^encoder\.layers\.(\d+)\.attention\.", rf"{_TRANSFORMER}encoder.layers.\1.self_attn."),
    (r"^encoder\.layers\.(\d+)\.norm\.", rf"{_TRANSFORMER}encoder.layers.\1.norm1."),
    (r"^encoder\.layers\.(\d+)\.feedforward\.norm\.", rf"{_TRANSFORMER}encoder.layers.\1.norm2."),
    (r"^encoder\.layers\.(\d+)\.feedforward\.", rf"{_TRANSFORMER}encoder.layers.\1."),
    (r"^decoder\.queries\.", "vistr.query_embed."),
    (r"^decoder\.reference_points\.", f"{_TRANSFORMER}reference_points."),
    (r"^decoder\.norm\.", f"{_TRANSFORMER}decoder.norm."),
    (r"^decoder\.layers\.(\d+)\.self_attention\.", rf"{_TRANSFORMER}decoder.layers.\1.self_attn."),
    (r"^decoder\.layers\.(\d+)\.self_norm\.", rf"{_TRANSFORMER}decoder.layers.\1.norm1."),
    (r"^decoder\.layers\.(\d+)\.cross_attention\.", rf"{_TRANSFORMER}decoder.layers.\1.multihead_attn."),
    (r"^decoder\.layers\.(\d+)\.cross_norm\.", rf"{_TRANSFORMER}decoder.layers.\1.norm2."),
    (r"^decoder\.layers\.(\d+)\.feedforward\.norm\.", rf"{_TRANSFORMER}decoder.layers.\1.norm3."),
    (r"^decoder\.layers\.(\d+)\.feedforward\.", rf"{_TRANSFORMER}decoder.layers.\1."),
    (r"^classify\.sines\.0\.", "vistr.class_embed.net.0."),
    (r"^classify\.sines\.1\.", "vistr.class_embed.net.2."),
    (r"^classify\.linear\.", "vistr.class_embed.net.linear."),
    (r"^classify\.", "vistr.class_embed."),
    (r"^boxes\.sines\.0\.", "vistr.bbox_embed.net.0."),
    (r"^boxes\.sines\.1\.", "vistr.bbox_embed.net.2."),
    (r"^boxes\.linear\.", "vistr.bbox_embed.net.4."),
    (r"^boxes\.out\.", "vistr.bbox_embed.net.6."),
    (r"^boxes\.", "vistr.bbox_embed."),
    (r"^mask_head\.attend\.query\.", "bbox_attention.q_linear."),
    (r"^mask_head\.attend\.key\.", "bbox_attention.k_linear."),
    (r"^mask_head\.fuse\.mix\.", "mask_head.lay1."),
    (r"^mask_head\.fuse\.mix_norm\.", "mask_head.gn1."),
    *((rf"^mask_head\.fuse\.reduce\.{i}\.", f"mask_head.lay{i + 2}.") for i in range(3)),
    *((rf"^mask_head\.fuse\.reduce_norms\.{i}\.", f"mask_head.gn{i + 2}.") for i in range(3)),
    *((rf"^mask_head\.fuse\.adapters\.{i}\.", f"mask_head.adapter{i + 1}.") for i in range(3)),
    (r"^mask_head\.fuse\.offsets\.", "mask_head.conv_offset."),
    (r"^mask_head\.fuse\.deform\.", "mask_head.dcn."),
    (r"^mask_head\.fuse\.deform_norm\.", "mask_head.gn5."),
    (r"^mask_head\.volume\.", "insmask_head."),
)
"""Ours to the official names."""

INSTANCES = 10
"""Queries per frame, a literal of the official code."""


def class_rows(values: Tensor, config: VisTRConfig) -> Tensor:
    """The rows of our classes and of "no object", the last. The official head has a logit below the 1-based category
    ids that no object has."""
    return values[len(values) - config.num_classes - 1 :]


def transformer_sizes(state: State, prefix: str, heads: int) -> ClipTransformer:
    """Sizes of the transformer under `prefix`, which ends in a dot: VisTR's and DETR's alike."""
    hidden, width = state[f"{prefix}encoder.layers.0.linear1.weight"].shape
    if width % heads:
        raise DataError(
            f"{heads} attention heads do not fit its {width} channels; the number of heads is not visible in a "
            "checkpoint: name it with --heads"
        )
    return ClipTransformer(
        width=width,
        hidden=hidden,
        num_heads=heads,
        encoder_layers=layers(state, f"{prefix}encoder.layers."),
        decoder_layers=layers(state, f"{prefix}decoder.layers."),
    )


def _config(state: State, heads: int, num_classes: int | None) -> VisTRConfig:
    queries, logits = state["vistr.query_embed.weight"].shape[0], state["vistr.class_embed.weight"].shape[0]
    if queries % INSTANCES:
        raise DataError(f"its table has {queries} queries, which are not {INSTANCES} for every frame")
    if num_classes is not None and not 1 <= logits - num_classes <= 2:
        raise DataError(f'its class head has {logits} logits with "no object", which {num_classes} classes do not fit')
    return VisTRConfig(
        backbone=replace(resnet_config(state, "vistr.backbone.0.body."), padding="masked"),
        num_classes=logits - 2 if num_classes is None else num_classes,
        transformer=transformer_sizes(state, _TRANSFORMER, heads),
        queries=FrameQueries(count=INSTANCES, frames=queries // INSTANCES),
    )


VISTR = Source(
    name="vistr",
    title="VisTR, official",
    keys=(
        "vistr.query_embed.weight",
        "vistr.class_embed.weight",
        "insmask_head.0.weight",
        "bbox_attention.q_linear.weight",
    ),
    absent=("vistr.transformer.instance_encoders.weight",),
    config=_config,
    rules=RULES,
    parts=(Part(pattern=r"classify\.(weight|bias)", take=class_rows, words="rows of the classes, without id 0"),),
    keeps_unused=True,
)


def vistr_name(name: str, *, class_layers: int = 2) -> str:
    """The official name of one of our tensors; `class_layers` is the number of sine layers of TT-SPN's class head."""
    published = rename(name, RULES, "VisTR")
    behind = 2 * class_layers
    return published.replace("class_embed.net.linear.", f"class_embed.net.{behind}.").replace(
        "class_embed.out.", f"class_embed.net.{behind + 2}."
    )


def to_vistr(model: nn.Module, unused: Mapping[str, Tensor] | None = None) -> Layout:
    """A model of the family written out as an official checkpoint: every tensor of the file with its role there.

    Works on the meta device. `unused` are tensors of the checkpoint that the model was converted from, under their
    names there; without them the class head's unused logit is zero.
    """
    class_layers = 2 if "classify.sines.1.weight" in model.state_dict() else 1
    unused = dict(unused or {})
    layout: Layout = {}
    for name, entry in own_tensors(model):
        published = vistr_name(name, class_layers=class_layers)
        if name in ("classify.weight", "classify.bias", "classify.out.weight", "classify.out.bias"):
            below = torch.zeros_like(entry.values[:1])
            if published in unused:
                below = unused[published][: len(unused[published]) - len(entry.values)]
            entry = replace(entry, values=torch.cat((below, entry.values)))
        layout[published] = entry
    for name in unused.keys() - layout.keys():
        layout[name] = PublishedTensor(values=unused[name], role="unused")
    return layout
