"""Sizes of published models: what was published, and what ours have when written out in the published layout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.models.layout import Layout, Role
from maskreel.models.ms_sts import MsStsConfig
from maskreel.models.parts import SWIN_L, ResNetConfig
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.sources.seqformer import to_seqformer, to_temporal
from maskreel.models.sources.vistr import to_vistr
from maskreel.models.taformer import Neighbours, TaFormerConfig
from maskreel.models.tt_spn import TTSPNConfig
from maskreel.models.vistr import VisTRConfig


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
