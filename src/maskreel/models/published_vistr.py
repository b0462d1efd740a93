"""VisTR's released checkpoints (github.com/Epiphqny/VisTR), and its two relatives in the same layout.

No checkpoint of the poster's Deformable VisTR or of TT-SPN was released; both build on VisTR's code, so its names stand
for them, too.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskreel.errors import DataError
from maskreel.models.layout import Layout, own_tensors, rename

_TRANSFORMER = "vistr.transformer."
VISTR = (
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
    (r"^masks\.attend\.query\.", "bbox_attention.q_linear."),
    (r"^masks\.attend\.key\.", "bbox_attention.k_linear."),
    (r"^masks\.fuse\.mix\.", "mask_head.lay1."),
    (r"^masks\.fuse\.mix_norm\.", "mask_head.gn1."),
    *((rf"^masks\.fuse\.reduce\.{i}\.", f"mask_head.lay{i + 2}.") for i in range(3)),
    *((rf"^masks\.fuse\.reduce_norms\.{i}\.", f"mask_head.gn{i + 2}.") for i in range(3)),
    *((rf"^masks\.fuse\.adapters\.{i}\.", f"mask_head.adapter{i + 1}.") for i in range(3)),
    (r"^masks\.fuse\.offsets\.", "mask_head.conv_offset."),
    (r"^masks\.fuse\.deform\.", "mask_head.dcn."),
    (r"^masks\.fuse\.deform_norm\.", "mask_head.gn5."),
    (r"^masks\.volume\.", "insmask_head."),
)
"""Ours to VisTR's official checkpoints."""

UNUSED_LOGITS = 1
"""The official head has a logit below the 1-based category ids that no object has; "no object" is the last one."""


def vistr_name(name: str, *, class_layers: int = 2) -> str:
    """The official name of one of our tensors; `class_layers` is the number of sine layers of TT-SPN's class head."""
    published = rename(name, VISTR, "VisTR")
    behind = 2 * class_layers
    return published.replace("class_embed.net.linear.", f"class_embed.net.{behind}.").replace(
        "class_embed.out.", f"class_embed.net.{behind + 2}."
    )


def to_vistr(model: nn.Module) -> Layout:
    """A model of the family written out as an official checkpoint: every tensor of the file with its role there.

    Works on the meta device. The class head gets its unused logit (zero).
    """
    class_layers = _class_layers(dict(model.state_dict()))
    layout: Layout = {}
    for name, entry in own_tensors(model):
        if _is_class_output(name):
            unused = torch.zeros_like(entry.values[:1])
            entry = replace(entry, values=torch.cat((unused, entry.values)))
        layout[vistr_name(name, class_layers=class_layers)] = entry
    return layout


def from_vistr(state: Mapping[str, Tensor], num_classes: int, names: set[str]) -> dict[str, Tensor]:
    """The tensors `names` of our model out of an official checkpoint; DataError names what is missing."""
    class_layers = _class_layers(names)
    ours: dict[str, Tensor] = {}
    for name in names:
        source = vistr_name(name, class_layers=class_layers)
        if source not in state:
            raise DataError(f"the checkpoint has no {source}, which {name} is read from")
        values = state[source]
        if _is_class_output(name) and len(values) == num_classes + 1 + UNUSED_LOGITS:
            values = values[UNUSED_LOGITS:]
        ours[name] = values
    return ours


def _class_layers(names: Mapping[str, Tensor] | set[str]) -> int:
    return 2 if "classify.sines.1.weight" in names else 1


def _is_class_output(name: str) -> bool:
    return name in ("classify.weight", "classify.bias", "classify.out.weight", "classify.out.bias")
