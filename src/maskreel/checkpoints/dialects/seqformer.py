"""SeqFormer's official checkpoints (github.com/wjf5203/SeqFormer), and what MS-STS VIS and TAFormer add to them."""

import re
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from maskreel.checkpoints.dialects.resnet import resnet_config
from maskreel.checkpoints.dialects.swin import swin_config
from maskreel.checkpoints.dialects.table import Alias, Dialect, Drop, Part, State, layers
from maskreel.checkpoints.layout import Layout, PublishedTensor, Rules, own_tensors, parse_rules, rename
from maskreel.errors import DataError
from maskreel.models.parts.backbones import BackboneConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer, DynamicMaskHead
from maskreel.models.seqformer import SeqFormerConfig

RULES = (
    (r"^encoder\.level_embedding$", "detr.transformer.level_embed"),
    *parse_rules("""
        backbone detr.backbone.0.body
        pyramid.levels detr.input_proj
        encoder.layers.#.attention detr.transformer.encoder.layers.#.self_attn
        encoder.layers.#.norm detr.transformer.encoder.layers.#.norm1
        encoder.layers.#.feedforward.norm detr.transformer.encoder.layers.#.norm2
        encoder.layers.#.feedforward.linear1 detr.transformer.encoder.layers.#.linear1
        encoder.layers.#.feedforward.linear2 detr.transformer.encoder.layers.#.linear2
        decoder.query_position detr.query_embed
        decoder.query_content detr.query_embed
        decoder.reference_points detr.transformer.reference_points
        decoder.box_heads detr.bbox_embed
        decoder.layers.#.instance_attention.attention detr.transformer.decoder.layers.#.self_attn
        decoder.layers.#.instance_attention.norm detr.transformer.decoder.layers.#.norm2
        decoder.layers.#.box_attention.attention detr.transformer.decoder.layers.#.self_attn_box
        decoder.layers.#.box_attention.norm detr.transformer.decoder.layers.#.norm2_box
        decoder.layers.#.cross_attention.output_proj detr.transformer.decoder.layers.#.cross_attn.output_proj_box
        decoder.layers.#.cross_attention detr.transformer.decoder.layers.#.cross_attn
        decoder.layers.#.instance_proj detr.transformer.decoder.layers.#.cross_attn.output_proj
        decoder.layers.#.frame_weight detr.transformer.decoder.layers.#.time_attention_weights
        decoder.layers.#.box_norm detr.transformer.decoder.layers.#.norm1_box
        decoder.layers.#.box_feedforward.norm detr.transformer.decoder.layers.#.norm3_box
        decoder.layers.#.box_feedforward.linear1 detr.transformer.decoder.layers.#.linear1_box
        decoder.layers.#.box_feedforward.linear2 detr.transformer.decoder.layers.#.linear2_box
        decoder.layers.#.instance_norm detr.transformer.decoder.layers.#.norm1
        decoder.layers.#.instance_feedforward.norm detr.transformer.decoder.layers.#.norm3
        decoder.layers.#.instance_feedforward.linear1 detr.transformer.decoder.layers.#.linear1
        decoder.layers.#.instance_feedforward.linear2 detr.transformer.decoder.layers.#.linear2
        classify detr.class_embed
        mask_head.controller controller
        mask_head.branch.reduce mask_head.lay1
        mask_head.branch.out mask_head.lay2
        mask_head.branch.coarse mask_head.lay3
        mask_head.branch.middle mask_head.lay4
        mask_head.branch.fine mask_head.dcn
    """),
)
"""Ours to the official names."""

TEMPORAL = (
    (r"^encoder\.layers\.(\d+)\.(neighbours|fusion|split_norm)\.", r"detr.transformer.encoder.layers.\1.\2."),
    (r"^encoder\.(split|split_layers)\.(\d+)\.", r"detr.transformer.encoder.\1.\2."),
    (r"^decoder\.temporal\.(\d+)\.", r"detr.transformer.decoder.temporal.\1."),
    (r"^embed\.", "detr.embed."),
)
"""What MS-STS VIS and TAFormer add to SeqFormer; no checkpoint of either exists, so the names are ours."""

QUERIES = "detr.query_embed.weight"
"""Query positions and contents side by side."""
COORDINATES = 2 * 8
"""Dynamic parameters that read the relative coordinates: two numbers for each of the first layer's eight channels."""


def class_rows(values: Tensor, config: SeqFormerConfig) -> Tensor:
    """The rows of our classes. Official heads have a logit per category id from 0 on, and ids start at 1: 42 logits for
    the 40 classes of YouTube-VIS, 91 for the 90 ids of COCO. Neither end is ever a target."""
    return values[1 : config.num_classes + 1] if len(values) > config.num_classes else values


QUERY_PARTS = (
    Part(pattern=r"decoder\.query_position\.weight", take=lambda values, _: values.chunk(2, 1)[0], words="first half"),
    Part(pattern=r"decoder\.query_content\.weight", take=lambda values, _: values.chunk(2, 1)[1], words="second half"),
)
CLASS_PART = Part(
    pattern=r"classify\.\d+\.(weight|bias)", take=class_rows, words="rows of the classes, without unused logits"
)


def count_classes(logits: int, num_classes: int | None) -> int:
    """Classes of a head: 40 of 42 logits (YouTube-VIS), 90 of 91 (COCO), else one for each; or those named."""
    if num_classes is None:
        return {42: 40, 91: 90}.get(logits, logits)
    if not 0 <= logits - num_classes <= 2:
        raise DataError(f"its class head has {logits} logits, which {num_classes} classes do not fit")
    return num_classes


def backbone_config(state: State, prefix: str) -> BackboneConfig:
    """The ResNet or Swin under `prefix`."""
    if f"{prefix}patch_embed.proj.weight" in state:
        return swin_config(state, prefix)
    if f"{prefix}conv1.weight" in state:
        return resnet_config(state, prefix)
    raise DataError(f"it has no backbone that Maskreel knows ({prefix}conv1.weight or {prefix}patch_embed.proj.weight)")


def transformer_sizes(state: State, prefix: str, heads: int) -> DeformableTransformer:
    """Sizes of the transformer under `prefix`, which ends in a dot: SeqFormer's and Deformable DETR's alike."""
    first = f"{prefix}encoder.layers.0."
    num_levels, width = state[f"{prefix}level_embed"].shape
    points = []
    for part in ("encoder.layers.0.self_attn", "decoder.layers.0.cross_attn"):
        rows = state[f"{prefix}{part}.attention_weights.weight"].shape[0]
        if rows % (heads * num_levels) or width % heads:
            raise DataError(
                f"{heads} attention heads do not fit its {width} channels and {rows} samples in {num_levels} levels; "
                "the number of heads is not visible in a checkpoint: name it with --heads"
            )
        points.append(rows // (heads * num_levels))
    encoder_points, decoder_points = points
    return DeformableTransformer(
        width=width,
        num_levels=num_levels,
        hidden=state[f"{first}linear1.weight"].shape[0],
        num_heads=heads,
        num_points=encoder_points,
        decoder_points=None if decoder_points == encoder_points else decoder_points,
        encoder_layers=layers(state, f"{prefix}encoder.layers."),
        decoder_layers=layers(state, f"{prefix}decoder.layers."),
    )


def box_queries(state: State, prefix: str) -> BoxQueries:
    """How many queries there are, and whether every decoder layer has a box head of its own, which refines boxes.

    Only where it refines does the published decoder hold the heads under a second name. A file that stores shared
    tensors once may have dropped that: there all tensors of the heads are compared, which begin as copies that differ
    in one bias.
    """
    first, others = f"{prefix}bbox_embed.0.", re.compile(rf"{re.escape(prefix)}bbox_embed\.[1-9]\d*\.(.*)")
    twins = [(match[1], values) for name, values in state.items() if (match := others.fullmatch(name))]
    decoder = f"{prefix}transformer.decoder."
    has_own_heads = layers(state, f"{decoder}bbox_embed.") == layers(state, f"{decoder}layers.")
    is_refining = has_own_heads or any(not torch.equal(state[f"{first}{rest}"], values) for rest, values in twins)
    return BoxQueries(
        count=state[f"{prefix}query_embed.weight"].shape[0], refinement="iterative" if is_refining else "none"
    )


def seqformer_config(
    state: State,
    heads: int,
    num_classes: int | None,
    *,
    prefix: str = "detr.",
    backbone: BackboneConfig | None = None,
) -> SeqFormerConfig:
    """Config of the SeqFormer whose detector stands under `prefix`, and whose mask parts one level above it."""
    outer = prefix.removesuffix("detr.")
    channels = state[f"{outer}mask_head.lay2.weight"].shape[0]
    dynamic = state[f"{outer}controller.layers.2.weight"].shape[0]
    logits = state[f"{prefix}class_embed.0.weight"].shape[0]
    has_coordinates = dynamic - 8 * channels - COORDINATES == 8 * 8 + 8 + 8 + 8 + 1
    return SeqFormerConfig(
        backbone=backbone or backbone_config(state, f"{prefix}backbone.0.body."),
        num_classes=count_classes(logits, num_classes),
        transformer=transformer_sizes(state, f"{prefix}transformer.", heads),
        queries=box_queries(state, prefix),
        mask_head=DynamicMaskHead(channels=channels, coordinates="relative" if has_coordinates else "none"),
    )


_HEADS = tuple(f"bbox_embed.#.layers.#.{kind}" for kind in ("weight", "bias"))


def detector_aliases(prefix: str) -> tuple[Alias, ...]:
    """Second names in a detector under `prefix`: box heads in the decoder, and heads that serve all layers."""
    return (
        *(
            Alias(second=f"{prefix}transformer.decoder.{head}", first=f"{prefix}{head}", may_stand_alone=True)
            for head in _HEADS
        ),
        *(Alias(second=f"{prefix}{head}", first=f"{prefix}{head.replace('#', '0', 1)}") for head in _HEADS),
        *(
            Alias(second=f"{prefix}class_embed.#.{kind}", first=f"{prefix}class_embed.0.{kind}")
            for kind in ("weight", "bias")
        ),
    )


def detector_drops(prefix: str, body: str) -> tuple[Drop, ...]:
    """What a SeqFormer under `prefix` with its backbone under `body` owns without use."""
    dead = f"{prefix}transformer.encoder.layers.#.self_attn.output_proj_box."
    return (
        Drop(keys=(f"{dead}weight", f"{dead}bias"), reason="second output projection, which the encoder never calls"),
        Drop(
            keys=(f"{body}norm0.weight", f"{body}norm0.bias"),
            reason="norm of the map of Swin's first stage, which nobody reads",
        ),
    )


SEQFORMER = Dialect(
    name="seqformer",
    title="SeqFormer, official",
    keys=(QUERIES, "controller.layers.2.weight", "mask_head.lay2.weight", "detr.transformer.level_embed"),
    absent=("detr.transformer.decoder.layers.0.temp_attn_box.qkv.weight",),
    config=seqformer_config,
    rules=RULES,
    parts=(*QUERY_PARTS, CLASS_PART),
    aliases=detector_aliases("detr."),
    drops=detector_drops("detr.", "detr.backbone.0.body."),
    keeps_unused=True,
)


def published_name(name: str, rules: Rules = RULES) -> str:
    """SeqFormer's official name of one of our tensors."""
    return rename(name, rules, "SeqFormer")


def to_temporal(model: nn.Module) -> Layout:
    """An MS-STS VIS or a TAFormer written out as the authors' code would, which grew from SeqFormer's."""
    return to_seqformer(model, rules=(*TEMPORAL, *RULES))


def to_seqformer(model: nn.Module, unused: Mapping[str, Tensor] | None = None, *, rules: Rules = RULES) -> Layout:
    """A SeqFormer written out as its official checkpoint: every tensor of the file with its role there.

    Works on the meta device. `unused` are tensors of the checkpoint that the model was converted from, under their
    names there; without them, unused logits get weight 0 and the bias of the start of training, and unused layers are
    zero. The official Swin has a norm for the map of its first stage, which nobody reads.
    """
    state, unused = model.state_dict(), dict(unused or {})
    num_layers = layers(state, "decoder.layers.")
    is_refining = layers(state, "decoder.box_heads.") == num_layers
    layout: Layout = {}
    for name, entry in own_tensors(model):
        published = published_name(name, rules)
        if published == QUERIES:
            continue
        if published.startswith("detr.class_embed."):
            entry = replace(entry, values=_with_unused_logits(entry.values, unused.get(published)))
        layout[published] = entry
        if not is_refining and published.startswith(("detr.class_embed.0.", "detr.bbox_embed.0.")):
            # One head serves all layers and stands there under as many names.
            for layer in range(1, num_layers):
                layout[published.replace(".0.", f".{layer}.", 1)] = replace(entry, role="alias")
        elif published.startswith("detr.bbox_embed."):
            alias = published.replace("detr.bbox_embed.", "detr.transformer.decoder.bbox_embed.")
            layout[alias] = replace(entry, role="alias")
        dead = None
        if re.match(r"encoder\.layers\.\d+\.attention\.output_proj\.", name):
            dead = published.replace("output_proj", "output_proj_box")
        if name.startswith("backbone.patch_embed.norm."):
            dead = published.replace("patch_embed.norm", "norm0")
        if dead is not None:
            layout[dead] = PublishedTensor(values=torch.zeros_like(entry.values), role="unused")
    queries = (state["decoder.query_position.weight"], state["decoder.query_content.weight"])
    layout[QUERIES] = PublishedTensor(values=torch.cat(queries, 1), role="trained")
    for name, values in unused.items():
        if name not in layout or layout[name].role == "unused":
            layout[name] = PublishedTensor(values=values, role="unused")
    return layout


def _with_unused_logits(values: Tensor, original: Tensor | None) -> Tensor:
    """The rows of our classes between those that are never a target, which `original` may still hold."""
    if original is not None:
        below = 1 if len(original) > len(values) else 0
        return torch.cat((original[:below], values, original[below + len(values) :]))
    row = torch.zeros_like(values[:1]) if values.dim() == 2 else torch.full_like(values[:1], -4.59512)
    return torch.cat((row, values, row))
