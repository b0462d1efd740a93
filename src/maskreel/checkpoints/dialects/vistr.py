"""VisTR's released checkpoints (github.com/Epiphqny/VisTR), and its relatives in the same layout.

No checkpoint of the poster's Deformable VisTR or of TT-SPN was released; both build on VisTR's code, so its names stand
for them, too.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskreel.checkpoints.dialects.resnet import resnet_config
from maskreel.checkpoints.dialects.table import Dialect, Part, State, layers
from maskreel.checkpoints.layout import Layout, PublishedTensor, own_tensors, parse_rules, rename
from maskreel.errors import DataError
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries
from maskreel.models.vistr import VisTRConfig

_TRANSFORMER = "vistr.transformer."
RULES = (
    *parse_rules("""
        backbone vistr.backbone.0.body
        project vistr.input_proj
        encoder.layers.#.attention vistr.transformer.encoder.layers.#.self_attn
        encoder.layers.#.norm vistr.transformer.encoder.layers.#.norm1
        encoder.layers.#.feedforward.norm vistr.transformer.encoder.layers.#.norm2
        encoder.layers.#.feedforward vistr.transformer.encoder.layers.#
        encoder.norm vistr.transformer.encoder.norm
        decoder.queries vistr.query_embed
        decoder.reference_points vistr.transformer.reference_points
        decoder.norm vistr.transformer.decoder.norm
        decoder.layers.#.self_attention vistr.transformer.decoder.layers.#.self_attn
        decoder.layers.#.self_norm vistr.transformer.decoder.layers.#.norm1
        decoder.layers.#.cross_attention vistr.transformer.decoder.layers.#.multihead_attn
        decoder.layers.#.cross_norm vistr.transformer.decoder.layers.#.norm2
        decoder.layers.#.feedforward.norm vistr.transformer.decoder.layers.#.norm3
        decoder.layers.#.feedforward vistr.transformer.decoder.layers.#
        classify.sines.0 vistr.class_embed.net.0
        classify.sines.1 vistr.class_embed.net.2
        classify.linear vistr.class_embed.net.linear
        classify vistr.class_embed
        boxes.sines.0 vistr.bbox_embed.net.0
        boxes.sines.1 vistr.bbox_embed.net.2
        boxes.linear vistr.bbox_embed.net.4
        boxes.out vistr.bbox_embed.net.6
        boxes vistr.bbox_embed
        mask_head.attend.query bbox_attention.q_linear
        mask_head.attend.key bbox_attention.k_linear
        mask_head.fuse.mix mask_head.lay1
        mask_head.fuse.mix_norm mask_head.gn1
        mask_head.fuse.reduce.0 mask_head.lay2
        mask_head.fuse.reduce.1 mask_head.lay3
        mask_head.fuse.reduce.2 mask_head.lay4
        mask_head.fuse.reduce_norms.0 mask_head.gn2
        mask_head.fuse.reduce_norms.1 mask_head.gn3
        mask_head.fuse.reduce_norms.2 mask_head.gn4
        mask_head.fuse.adapters.0 mask_head.adapter1
        mask_head.fuse.adapters.1 mask_head.adapter2
        mask_head.fuse.adapters.2 mask_head.adapter3
        mask_head.fuse.offsets mask_head.conv_offset
        mask_head.fuse.deform mask_head.dcn
        mask_head.fuse.deform_norm mask_head.gn5
        mask_head.volume insmask_head
    """),
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
        norm="pre" if f"{prefix}encoder.norm.weight" in state else "post",
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


VISTR = Dialect(
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
