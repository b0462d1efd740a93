"""Names and layout of released checkpoints: how our tensors are called there, and what else such files hold.

One table per source. A table renames; what is more than a rename (joined query tables, unused class logits, aliases,
dead layers) stands in the two functions below it, so that both directions are read side by side.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from maskreel.errors import DataError
from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.models.layout import Layout, PublishedTensor, Role, Rules, own_tensors, rename
from maskreel.models.ms_sts import MsStsConfig
from maskreel.models.parts import SWIN_L, ResNetConfig
from maskreel.models.published_vistr import to_vistr
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.taformer import Neighbours, TaFormerConfig
from maskreel.models.tt_spn import TTSPNConfig
from maskreel.models.vistr import VisTRConfig

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

TEMPORAL = (
    (r"^encoder\.layers\.(\d+)\.(neighbours|fusion|split_norm)\.", r"detr.transformer.encoder.layers.\1.\2."),
    (r"^encoder\.(split|split_layers)\.(\d+)\.", r"detr.transformer.encoder.\1.\2."),
    (r"^decoder\.temporal\.(\d+)\.", r"detr.transformer.decoder.temporal.\1."),
    (r"^embed\.", "detr.embed."),
)
"""What MS-STS VIS and TAFormer add to SeqFormer; no checkpoint of either exists, so the names are ours."""

QUERIES = "detr.query_embed.weight"
"""Query positions and contents side by side."""
UNUSED_LOGITS = 2
"""Official heads have a logit below and one above the 1-based category ids; neither is ever a target."""


def published_name(name: str, rules: Rules = SEQFORMER) -> str:
    """SeqFormer's official name of one of our tensors."""
    return rename(name, rules, "SeqFormer")


def to_temporal(model: nn.Module) -> Layout:
    """An MS-STS VIS or a TAFormer written out as the authors' code would, which grew from SeqFormer's."""
    return to_seqformer(model, (*TEMPORAL, *SEQFORMER))


def to_seqformer(model: nn.Module, rules: Rules = SEQFORMER) -> Layout:
    """A SeqFormer written out as its official checkpoint: every tensor of the file with its role there.

    Works on the meta device. Class heads get their two unused logits (weight 0, bias as at the start of training). The
    official Swin has a norm for the map of its first stage, which nobody reads.
    """
    state = model.state_dict()
    layout: Layout = {}
    for name, entry in own_tensors(model):
        if name.startswith(("decoder.query_position", "decoder.query_content")):
            continue
        published = published_name(name, rules)
        if published.startswith("detr.class_embed."):
            entry = replace(entry, values=_with_unused_logits(entry.values))
        layout[published] = entry
        if published.startswith("detr.bbox_embed."):
            alias = published.replace("detr.bbox_embed.", "detr.transformer.decoder.bbox_embed.")
            layout[alias] = replace(entry, role="alias")
        if re.match(r"encoder\.layers\.\d+\.attention\.output_proj\.", name):
            dead = published.replace("output_proj", "output_proj_box")
            layout[dead] = PublishedTensor(values=torch.zeros_like(entry.values), role="unused")
        if name.startswith("backbone.patch_embed.norm."):
            dead = published.replace("patch_embed.norm", "norm0")
            layout[dead] = PublishedTensor(values=torch.zeros_like(entry.values), role="unused")
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
    "seqformer-swin-l": PublishedModel(config=SeqFormerConfig(backbone=SWIN_L), layout=to_seqformer),
    "ms-sts-r50": PublishedModel(config=MsStsConfig(), layout=to_temporal),
    **{
        f"taformer-r50-points{number}": PublishedModel(
            config=TaFormerConfig(neighbours=Neighbours(num_points=number)), layout=to_temporal
        )
        for number in (1, 2, 3, 4)
    },
    "taformer-r101": PublishedModel(config=TaFormerConfig(backbone=ResNetConfig(depth=101)), layout=to_temporal),
    "taformer-swin-l": PublishedModel(config=TaFormerConfig(backbone=SWIN_L), layout=to_temporal),
    "vistr-r50": PublishedModel(config=VisTRConfig(), layout=to_vistr),
    "vistr-r101": PublishedModel(config=VisTRConfig(backbone=ResNetConfig(depth=101)), layout=to_vistr),
    "deformable-vistr-r50-k16": PublishedModel(config=DeformableVisTRConfig(num_points=16), layout=to_vistr),
    "deformable-vistr-r50-k32": PublishedModel(config=DeformableVisTRConfig(num_points=32), layout=to_vistr),
    "tt-spn": PublishedModel(config=TTSPNConfig(), layout=to_vistr),
    "tt-spn-width384": PublishedModel(config=TTSPNConfig(width=384), layout=to_vistr),
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
_MS_STS = (
    "derived: SeqFormer with bottlenecks of 64 and one temporal attention; 50.6 M reported beside the paper's code"
)
_TAFORMER = (
    "derived: SeqFormer with shared projections, one temporal attention, two-layer head; {} M reported, table {}"
)
_VISTR = "official VisTR code, instantiated and counted"
_VISTR_ROUNDED = "official VisTR code, all entries of its state dict; {} M reported in TAFormer, table 1"
_DEFORMABLE_VISTR = "derived from the poster: encoder with 3-D offsets, VisTR's decoder and heads, 42 logits"
_TT_SPN = "derived from the paper: Twins-SVT-S, two sine layers in both heads, VisTR's mask head, 42 logits"
PUBLISHED_COUNTS = (
    PublishedCount(model="seqformer-r50", convention="trainable", published=48_181_773, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r50", convention="parameters", published=48_404_173, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r50", convention="state_dict", published=49_306_085, source=_ROUNDED.format(49.3)),
    PublishedCount(model="seqformer-r101", convention="trainable", published=67_121_677, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r101", convention="parameters", published=67_344_077, source=_INSTANTIATED),
    PublishedCount(model="seqformer-r101", convention="state_dict", published=68_350_437, source=_ROUNDED.format(68.4)),
    PublishedCount(model="seqformer-swin-l", convention="trainable", published=218_741_441, source=_INSTANTIATED),
    PublishedCount(model="seqformer-swin-l", convention="parameters", published=218_741_441, source=_INSTANTIATED),
    PublishedCount(
        model="seqformer-swin-l", convention="state_dict", published=220_034_777, source=_ROUNDED.format("220.0")
    ),
    PublishedCount(model="ms-sts-r50", convention="state_dict", published=50_615_781, source=_MS_STS),
    *(
        PublishedCount(model=model, convention="state_dict", published=count, source=_TAFORMER.format(rounded, table))
        for model, count, rounded, table in (
            ("taformer-r50-points1", 50_444_197, "50.4", 7),
            ("taformer-r50-points2", 51_036_325, "51.0", 7),
            ("taformer-r50-points3", 51_628_453, "51.6", 7),
            ("taformer-r50-points4", 52_220_581, "52.2", 7),
            ("taformer-r101", 71_264_933, "71.3", 1),
            ("taformer-swin-l", 222_949_273, "222.9", 1),
        )
    ),
    PublishedCount(model="vistr-r50", convention="trainable", published=56_893_729, source=_VISTR),
    PublishedCount(model="vistr-r50", convention="parameters", published=57_116_129, source=_VISTR),
    PublishedCount(
        model="vistr-r50", convention="state_dict", published=57_222_369, source=_VISTR_ROUNDED.format(57.2)
    ),
    PublishedCount(model="vistr-r101", convention="trainable", published=75_833_633, source=_VISTR),
    PublishedCount(model="vistr-r101", convention="parameters", published=76_056_033, source=_VISTR),
    PublishedCount(
        model="vistr-r101", convention="state_dict", published=76_266_721, source=_VISTR_ROUNDED.format(76.3)
    ),
    PublishedCount(
        model="deformable-vistr-r50-k16", convention="parameters", published=56_524_769, source=_DEFORMABLE_VISTR
    ),
    PublishedCount(
        model="deformable-vistr-r50-k32", convention="parameters", published=57_707_489, source=_DEFORMABLE_VISTR
    ),
    PublishedCount(model="tt-spn", convention="parameters", published=42_439_825, source=_TT_SPN),
    PublishedCount(model="tt-spn-width384", convention="parameters", published=56_231_969, source=_TT_SPN),
)
