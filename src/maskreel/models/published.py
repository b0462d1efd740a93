"""Names and layout of released checkpoints: how our tensors are called there, and what else such files hold.

One table per source. A table renames; what is more than a rename (joined query tables, unused class logits, aliases,
dead layers) stands in the two functions below it, so that both directions are read side by side.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from maskreel.errors import DataError
from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.parts import ResNetConfig
from maskreel.models.seqformer import SeqFormerConfig

Role = Literal["trained", "frozen", "buffer", "alias", "unused"]
"""In the published set-up: trained or frozen parameter, buffer, second name of a parameter, parameter never used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedTensor:
    """One entry of a checkpoint in the published layout."""

    values: Tensor
    role: Role


Layout = dict[str, PublishedTensor]

_FEEDFORWARD = r"\.(linear1|linear2)\."
SEQFORMER = (
    (r"^backbone\.", "detr.backbone.0.body."),
    (r"^pyramid\.levels\.", "detr.input_proj."),
    (r"^encoder\.level_embedding$", "detr.transformer.level_embed"),
    (r"^encoder\.layers\.(\d+)\.attention\.", r"detr.transformer.encoder.layers.\1.self_attn."),
    (r"^encoder\.layers\.(\d+)\.norm\.", r"detr.transformer.encoder.layers.\1.norm1."),
    (r"^encoder\.layers\.(\d+)\.feedforward\.norm\.", r"detr.transformer.encoder.layers.\1.norm2."),
    (rf"^encoder\.layers\.(\d+)\.feedforward{_FEEDFORWARD}", r"detr.transformer.encoder.layers.\1.\2."),
    (r"^decoder\.reference_points\.", "detr.transformer.reference_points."),
    (r"^decoder\.box_heads\.", "detr.bbox_embed."),
    (r"^decoder\.layers\.(\d+)\.instance_attention\.attention\.", r"detr.transformer.decoder.layers.\1.self_attn."),
    (r"^decoder\.layers\.(\d+)\.instance_attention\.norm\.", r"detr.transformer.decoder.layers.\1.norm2."),
    (r"^decoder\.layers\.(\d+)\.box_attention\.attention\.", r"detr.transformer.decoder.layers.\1.self_attn_box."),
    (r"^decoder\.layers\.(\d+)\.box_attention\.norm\.", r"detr.transformer.decoder.layers.\1.norm2_box."),
    (
        r"^decoder\.layers\.(\d+)\.cross_attention\.output_proj\.",
        r"detr.transformer.decoder.layers.\1.cross_attn.output_proj_box.",
    ),
    (r"^decoder\.layers\.(\d+)\.cross_attention\.", r"detr.transformer.decoder.layers.\1.cross_attn."),
    (r"^decoder\.layers\.(\d+)\.instance_proj\.", r"detr.transformer.decoder.layers.\1.cross_attn.output_proj."),
    (r"^decoder\.layers\.(\d+)\.frame_weight\.", r"detr.transformer.decoder.layers.\1.time_attention_weights."),
    (r"^decoder\.layers\.(\d+)\.box_norm\.", r"detr.transformer.decoder.layers.\1.norm1_box."),
    (r"^decoder\.layers\.(\d+)\.box_feedforward\.norm\.", r"detr.transformer.decoder.layers.\1.norm3_box."),
    (rf"^decoder\.layers\.(\d+)\.box_feedforward{_FEEDFORWARD}", r"detr.transformer.decoder.layers.\1.\2_box."),
    (r"^decoder\.layers\.(\d+)\.instance_norm\.", r"detr.transformer.decoder.layers.\1.norm1."),
    (r"^decoder\.layers\.(\d+)\.instance_feedforward\.norm\.", r"detr.transformer.decoder.layers.\1.norm3."),
    (rf"^decoder\.layers\.(\d+)\.instance_feedforward{_FEEDFORWARD}", r"detr.transformer.decoder.layers.\1.\2."),
    (r"^classify\.", "detr.class_embed."),
    (r"^masks\.controller\.", "controller."),
    (r"^masks\.branch\.reduce\.", "mask_head.lay1."),
    (r"^masks\.branch\.out\.", "mask_head.lay2."),
    (r"^masks\.branch\.coarse\.", "mask_head.lay3."),
    (r"^masks\.branch\.middle\.", "mask_head.lay4."),
    (r"^masks\.branch\.fine\.", "mask_head.dcn."),
)
"""Ours to SeqFormer's official checkpoints (github.com/wjf5203/SeqFormer)."""

QUERIES = "detr.query_embed.weight"
"""Query positions and contents side by side."""
UNUSED_LOGITS = 2
"""Official heads have a logit below and one above the 1-based category ids; neither is ever a target."""


def published_name(name: str) -> str:
    """SeqFormer's official name of one of our tensors."""
    for pattern, replacement in SEQFORMER:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    raise KeyError(f"{name} has no counterpart in SeqFormer's official layout")


def to_seqformer(model: nn.Module) -> Layout:
    """A SeqFormer written out as its official checkpoint: every tensor of the file with its role there.

    Works on the meta device. Class heads get their two unused logits (weight 0, bias as at the start of training).
    """
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    parameters = {name for name, _ in model.named_parameters()}
    state = model.state_dict()
    layout: Layout = {}
    for name, values in state.items():
        role: Role = "trained" if name in trained else "frozen" if name in parameters else "buffer"
        if name.startswith(("decoder.query_position", "decoder.query_content")):
            continue
        published = published_name(name)
        if published.startswith("detr.class_embed."):
            values = _with_unused_logits(values)
        layout[published] = PublishedTensor(values=values, role=role)
        if published.startswith("detr.bbox_embed."):
            alias = published.replace("detr.bbox_embed.", "detr.transformer.decoder.bbox_embed.")
            layout[alias] = PublishedTensor(values=values, role="alias")
        if re.match(r"encoder\.layers\.\d+\.attention\.output_proj\.", name):
            dead = published.replace("output_proj", "output_proj_box")
            layout[dead] = PublishedTensor(values=torch.zeros_like(values), role="unused")
    queries = (state["decoder.query_position.weight"], state["decoder.query_content.weight"])
    layout[QUERIES] = PublishedTensor(values=torch.cat(queries, 1), role="trained")
    return layout


def from_seqformer(state: Mapping[str, Tensor], config: SeqFormerConfig, names: set[str]) -> dict[str, Tensor]:
    """The tensors `names` of our model out of an official checkpoint; DataError names what is missing."""
    ours: dict[str, Tensor] = {}
    for name in names:
        is_query = name.startswith(("decoder.query_position", "decoder.query_content"))
        source = QUERIES if is_query else published_name(name)
        if source not in state:
            raise DataError(f"the checkpoint has no {source}, which {name} is read from")
        values = state[source]
        if is_query:
            position, content = values.chunk(2, 1)
            values = position if "position" in name else content
        elif source.startswith("detr.class_embed.") and len(values) == config.num_classes + UNUSED_LOGITS:
            values = values[1:-1]
        ours[name] = values
    return ours


def _with_unused_logits(values: Tensor) -> Tensor:
    row = torch.zeros_like(values[:1]) if values.dim() == 2 else torch.full_like(values[:1], -4.59512)
    return torch.cat((row, values, row))


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of elements of a model, in the three conventions found in publications."""

    trainable: int
    parameters: int
    state_dict: int


def published_counts(layout: Layout) -> Counts:
    """Counts of a model in its published layout."""

    def total(*roles: Role) -> int:
        return sum(entry.values.numel() for entry in layout.values() if entry.role in roles)

    return Counts(
        trainable=total("trained", "unused"),
        parameters=total("trained", "unused", "frozen"),
        state_dict=total("trained", "unused", "frozen", "buffer", "alias"),
    )


def own_counts(model: nn.Module) -> Counts:
    """Counts of a model in our own layout: no dead weights, no alias."""
    return Counts(
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters=sum(p.numel() for p in model.parameters()),
        state_dict=sum(tensor.numel() for tensor in model.state_dict().values()),
    )


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """Our config of a published model, and how it is written out as its checkpoint."""

    config: ModelConfig
    layout: Callable[[nn.Module], Layout]

    def count(self) -> Counts:
        """Counts of our model in the published layout; nothing is allocated."""
        with torch.device("meta"):
            return published_counts(self.layout(CATALOG[self.config.kind].model(self.config)))


PUBLISHED_MODELS = {
    "seqformer-r50": PublishedModel(config=SeqFormerConfig(), layout=to_seqformer),
    "seqformer-r101": PublishedModel(config=SeqFormerConfig(backbone=ResNetConfig(depth=101)), layout=to_seqformer),
}


@dataclass(frozen=True, kw_only=True)
class PublishedCount:
    """A count that somebody published or that their code gives."""

    model: str
    """A key of `PUBLISHED_MODELS`."""
    convention: Literal["trainable", "parameters", "state_dict"]
    published: int
    source: str


_INSTANTIATED = "official SeqFormer code, instantiated and counted"
_ROUNDED = "official SeqFormer code, all entries of its state dict; {} M reported in TAFormer, table 1"
PUBLISHED_COUNTS = (
    PublishedCount(model="seqformer-r50", convention="trainable", published=48_181_773, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r50", convention="parameters", published=48_404_173, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r50", convention="state_dict", published=49_306_085, source=_ROUNDED.format(49.3)),
    PublishedCount(model="seqformer-r101", convention="trainable", published=67_121_677, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r101", convention="parameters", published=67_344_077, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r101", convention="state_dict", published=68_350_437, source=_ROUNDED.format(68.4)),
)
