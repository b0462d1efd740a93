"""Deformable encoder with split attention over frames and scales (MS-STS VIS, section 3.1; supplement, table S1)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.encoders.framewise import FramewiseEncoderLayer, encoder_inputs
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import DeformableAttention, xavier_matrices
from maskreel.nn.layers.feedforward import FeedForward, add
from maskreel.nn.layers.position import FrameCode, frame_code
from maskreel.nn.layers.scale_pairs import ScalePairs
from maskreel.nn.layers.split_attention import SplitScaleAttention
from maskreel.structures import ClipMemory, FeatureMap

Variant = Literal["attention_after", "attention_before", "encoder_after", "encoder_before", "split"]
"""Rows (b) to (f) of table S1; row (a) is the frame-wise encoder."""

Split = Callable[[Tensor], Tensor]
"""From the tokens of a clip, positions added, to what split attention adds to them."""


class SplitScaleEncoderLayer(nn.Module):
    """Deformable and split attention in one layer, side by side ("split") or one after the other; post-norm."""

    def __init__(
        self,
        width: int,
        *,
        variant: Literal["attention_after", "attention_before", "split"],
        hidden: int,
        num_levels: int,
        num_heads: int,
        num_points: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.variant = variant
        self.attention = DeformableAttention(width, num_levels=num_levels, num_heads=num_heads, num_points=num_points)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.split_norm = nn.Identity() if variant == "split" else nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout)

    def forward(
        self,
        memory: ClipMemory,
        position: Float[Tensor, "b t s c"],
        reference_points: Float[Tensor, "b t s l 2"],
        split: Split,
    ) -> ClipMemory:
        x = memory.tokens
        if self.variant == "attention_before":
            x = self.split_norm(x + self.dropout(split(x + position)))
        query = x + position
        added = self.attention(query, reference_points, replace(memory, tokens=x))
        if self.variant == "split":
            added = add(added, split(query))
        x = self.norm(x + self.dropout(added))
        if self.variant == "attention_after":
            x = self.split_norm(x + self.dropout(split(x + position)))
        return replace(memory, tokens=self.feedforward(x))


class SplitOnlyLayer(nn.Module):
    """A layer of an encoder of its own: split attention, norm, feed-forward."""

    def __init__(self, width: int, *, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout)

    def forward(self, memory: ClipMemory, position: Float[Tensor, "b t s c"], split: Split) -> ClipMemory:
        x = self.norm(memory.tokens + self.dropout(split(memory.tokens + position)))
        return replace(memory, tokens=self.feedforward(x))


class SplitScaleEncoder(Checkpointed):
    """Encoder of MS-STS VIS. `split` holds split attentions: one for all layers, or one for each.

    With the variants "encoder_after" and "encoder_before" the deformable layers keep to themselves, and as many layers
    of split attention follow or precede them. `code` adds the time of a frame to what split attention reads.
    """

    def __init__(
        self,
        width: int,
        *,
        variant: Variant,
        split: Sequence[SplitScaleAttention],
        num_layers: int = 6,
        num_levels: int = 4,
        hidden: int = 1024,
        num_heads: int = 8,
        num_points: int = 4,
        dropout: float = 0.1,
        code: FrameCode = "none",
    ) -> None:
        super().__init__()
        if len(split) not in (1, num_layers):
            raise OptionError(f"{len(split)} split attentions for {num_layers} layers; give one, or one each")
        shape = {
            "hidden": hidden,
            "num_levels": num_levels,
            "num_heads": num_heads,
            "num_points": num_points,
            "dropout": dropout,
        }
        self.variant: Variant = variant
        self.code: FrameCode = code
        self.level_embedding = nn.Parameter(torch.empty(num_levels, width))
        self.split = nn.ModuleList(split)
        if variant in ("encoder_after", "encoder_before"):
            self.layers = nn.ModuleList(FramewiseEncoderLayer(width, **shape) for _ in range(num_layers))
            self.split_layers = nn.ModuleList(
                SplitOnlyLayer(width, hidden=hidden, dropout=dropout) for _ in range(num_layers)
            )
        else:
            self.layers = nn.ModuleList(
                SplitScaleEncoderLayer(width, variant=variant, **shape) for _ in range(num_layers)
            )
        xavier_matrices(self)
        for attention in split:
            attention.start_at_zero()
        nn.init.normal_(self.level_embedding)

    def forward(self, pyramid: Sequence[FeatureMap]) -> ClipMemory:
        memory, position, reference_points = encoder_inputs(pyramid, self.level_embedding)
        pairs, code = ScalePairs.of(memory), None
        if self.code != "none":
            _, t, _, c = position.shape
            code = frame_code(t, c, self.code, position.device)[:, None]

        def split(layer: int) -> Split:
            attention = self.split[layer % len(self.split)]
            return lambda tokens: attention(tokens if code is None else tokens + code, pairs)

        if self.variant == "encoder_before":
            memory = self._split_only(memory, position, split)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, SplitScaleEncoderLayer):
                memory = self.run(layer, memory, position, reference_points, split(index))
            else:
                memory = self.run(layer, memory, position, reference_points)
        if self.variant == "encoder_after":
            memory = self._split_only(memory, position, split)
        return memory

    def _split_only(
        self, memory: ClipMemory, position: Float[Tensor, "b t s c"], split: Callable[[int], Split]
    ) -> ClipMemory:
        for index, layer in enumerate(self.split_layers):
            memory = self.run(layer, memory, position, split(index))
        return memory
