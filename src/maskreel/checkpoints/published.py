"""Sizes of published models: what was published, and what ours have when written out in the published layout."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from maskreel.checkpoints.conversion import build_converted
from maskreel.checkpoints.dialects.deformable_detr import DEFORMABLE_DETR
from maskreel.checkpoints.dialects.detr import DETR
from maskreel.checkpoints.dialects.mssts import DISCRIMINATOR, DiscriminatorConfig
from maskreel.checkpoints.dialects.seqformer import to_seqformer, to_temporal
from maskreel.checkpoints.dialects.vistr import to_vistr
from maskreel.checkpoints.layout import Layout, Role, Rules, own_tensors
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.models.ms_sts import MSSTSConfig
from maskreel.models.parts.backbones import SWIN_L, ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer, TemporalSelfAttention
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.parts.split_scale import Colocated, SplitScale
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.taformer import TAFormerConfig
from maskreel.models.tt_spn import SineHeads, TTSPNConfig
from maskreel.models.vistr import VisTRConfig

Convention = Literal["trainable", "parameters", "state_dict", "frozen", "buffers", "second_names", "unused", "tensors"]
ROLES: dict[Convention, tuple[Role, ...]] = {
    "trainable": ("trained", "unused"),
    "parameters": ("trained", "unused", "frozen"),
    "state_dict": ("trained", "unused", "frozen", "buffer", "alias"),
    "frozen": ("frozen",),
    "buffers": ("buffer",),
    "second_names": ("alias",),
    "unused": ("unused",),
}
"""What each way of counting elements counts; "tensors" counts the entries of the file."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Numbers of elements of a model, in the three conventions found in publications."""

    trainable: int
    parameters: int
    state_dict: int


def count(layout: Layout, convention: Convention, part: str = "") -> int:
    """Elements (or tensors) of a model in its published layout, of names that begin as the regular expression `part`
    says."""
    entries = [entry for name, entry in layout.items() if re.match(part, name)]
    if convention == "tensors":
        return len(entries)
    return sum(entry.values.numel() for entry in entries if entry.role in ROLES[convention])


def published_counts(layout: Layout) -> Counts:
    """Counts of a model in its published layout."""
    return Counts(
        trainable=count(layout, "trainable"),
        parameters=count(layout, "parameters"),
        state_dict=count(layout, "state_dict"),
    )


def own_counts(model: nn.Module) -> Counts:
    """Counts of a model in our own layout: no dead weights, no alias."""
    return Counts(
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        parameters=sum(p.numel() for p in model.parameters()),
        state_dict=sum(tensor.numel() for tensor in model.state_dict().values()),
    )


def to_detector(rules: Rules) -> Callable[[nn.Module], Layout]:
    """Writes the part of a model that a detector has, which `rules` name; without second names."""

    def layout(model: nn.Module) -> Layout:
        written: Layout = {}
        for name, entry in own_tensors(model):
            theirs = next((re.sub(ours, to, name) for ours, to in rules if re.search(ours, name)), None)
            if theirs == "query_embed.weight" and theirs in written:
                # Positions and contents of the queries share a table.
                theirs = "query_embed.content"
            if theirs is not None and theirs not in written:
                written[theirs] = entry
        return written

    return layout


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """Our config of a published model, and how it is written out as its checkpoint."""

    config: Any
    write: Callable[[nn.Module], Layout]

    def layout(self) -> Layout:
        """Our model in the published layout; nothing is allocated."""
        with torch.device("meta"):
            return self.write(build_converted(self.config))

    def count(self) -> Counts:
        return published_counts(self.layout())


_R101 = ResNetConfig(depth=101)
_THREE_LAYERS = DeformableTransformer(encoder_layers=3, decoder_layers=3)
_WIDE = ClipTransformer(width=384)
_BESIDE = {
    "ms-sts-r50-three-wide-layers": MSSTSConfig(
        transformer=_THREE_LAYERS,
        split=SplitScale(width=256, hidden=1024, inter=Colocated(concat="channel")),
        temporal_decoder=TemporalSelfAttention(place="after_self", sharing="per_layer"),
    ),
    "taformer-r50-temporal-per-layer": TAFormerConfig(
        temporal_decoder=TemporalSelfAttention(place="before_self", sharing="per_layer")
    ),
    "taformer-r50-concat": TAFormerConfig(neighbours=Neighbours(fusion="concat")),
}
"""Other readings of papers whose sizes were derived."""

PUBLISHED_MODELS = {
    "seqformer-r50": PublishedModel(config=SeqFormerConfig(), write=to_seqformer),
    "seqformer-r101": PublishedModel(config=SeqFormerConfig(backbone=_R101), write=to_seqformer),
    "seqformer-swin-l": PublishedModel(config=SeqFormerConfig(backbone=SWIN_L), write=to_seqformer),
    "seqformer-r50-three-layers": PublishedModel(config=SeqFormerConfig(transformer=_THREE_LAYERS), write=to_seqformer),
    "ms-sts-r50": PublishedModel(config=MSSTSConfig(), write=to_temporal),
    "ms-sts-discriminator": PublishedModel(config=DiscriminatorConfig(), write=to_detector(DISCRIMINATOR.rules)),
    **{
        f"taformer-r50-points{number}": PublishedModel(
            config=TAFormerConfig(neighbours=Neighbours(num_points=number)), write=to_temporal
        )
        for number in (1, 2, 3, 4)
    },
    "taformer-r101": PublishedModel(config=TAFormerConfig(backbone=_R101), write=to_temporal),
    "taformer-swin-l": PublishedModel(config=TAFormerConfig(backbone=SWIN_L), write=to_temporal),
    **{name: PublishedModel(config=config, write=to_temporal) for name, config in _BESIDE.items()},
    "vistr-r50": PublishedModel(config=VisTRConfig(), write=to_vistr),
    "vistr-r101": PublishedModel(config=VisTRConfig(backbone=_R101), write=to_vistr),
    "deformable-vistr-r50-k16": PublishedModel(config=DeformableVisTRConfig(num_points=16), write=to_vistr),
    "deformable-vistr-r50-k32": PublishedModel(config=DeformableVisTRConfig(num_points=32), write=to_vistr),
    "deformable-vistr-r50-k32-decoder": PublishedModel(
        config=DeformableVisTRConfig(num_points=32, decoder_attention="space_time"), write=to_vistr
    ),
    "deformable-vistr-r50-frames-as-levels": PublishedModel(
        config=DeformableVisTRConfig(num_points=6, encoder_attention="frames_as_levels"), write=to_vistr
    ),
    "tt-spn": PublishedModel(config=TTSPNConfig(), write=to_vistr),
    "tt-spn-width384": PublishedModel(config=TTSPNConfig(transformer=_WIDE), write=to_vistr),
    "tt-spn-one-sine": PublishedModel(config=TTSPNConfig(head=SineHeads(class_layers=1)), write=to_vistr),
    "tt-spn-width384-one-sine": PublishedModel(
        config=TTSPNConfig(transformer=_WIDE, head=SineHeads(class_layers=1)), write=to_vistr
    ),
    "deformable-detr-r50": PublishedModel(
        config=SeqFormerConfig(num_classes=91, queries=BoxQueries(refinement="none")),
        write=to_detector((*DEFORMABLE_DETR.rules, (r"^classify\.", "class_embed."))),
    ),
    "deformable-detr-r50-refine": PublishedModel(
        config=SeqFormerConfig(num_classes=91),
        write=to_detector((*DEFORMABLE_DETR.rules, (r"^classify\.", "class_embed."))),
    ),
    "detr-r50": PublishedModel(
        # Ten queries in each of ten frames are the hundred of an image.
        config=VisTRConfig(num_classes=91, transformer=ClipTransformer(width=256), queries=FrameQueries(frames=10)),
        write=to_detector((*DETR.rules, (r"^classify\.", "class_embed."), (r"^decoder\.queries\.", "query_embed."))),
    ),
}
