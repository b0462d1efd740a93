"""Masks from attention maps, fused with the backbone's maps and smoothed over the clip (VisTR, section 3.3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable_convolution import TAPS, DeformableConvolution
from maskreel.nn.layers.feedforward import Activation, activate
from maskreel.structures import ClipMemory, FeatureMap

Area = Literal["valid", "padded"]
"""Cells that the mask head reads: those of the clip alone, so that padding changes nothing, or the whole padded map."""

VOLUME_CHANNELS = 12
"""Channels between the 3-D convolutions."""
CHUNK_BYTES = 256 * 2**20
"""Samples of the deformable convolution that exist at a time; over all 360 maps of a clip they would be 6.8 GB."""


class AttentionMaps(nn.Module):
    """Where in its frame each query looks: one map per head, softmax over heads and cells together (DETR)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        for linear in (self.query, self.key):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        queries: Float[Tensor, "t q c"],
        frame: Float[Tensor, "t c h w"],
        is_padding: Bool[Tensor, "t h w"],
    ) -> Float[Tensor, "t q m h w"]:
        """Padded cells get nothing; every frame has at least one other."""
        q = rearrange(self.query(queries), "t q (m d) -> t q m d", m=self.num_heads)
        k = rearrange(self.key(rearrange(frame, "t c h w -> t h w c")), "t h w (m d) -> t m d h w", m=self.num_heads)
        logits = torch.einsum("tqmd,tmdhw->tqmhw", q * q.shape[-1] ** -0.5, k)
        logits = logits.masked_fill(is_padding[:, None, None], float("-inf"))
        return logits.flatten(2).softmax(-1).view_as(logits)


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameContext:
    """What all masks of a frame share, computed once for the clip."""

    mixed: Float[Tensor, "t d h w"]
    """The first convolution's part that reads the memory."""
    adapted: tuple[Float[Tensor, "t _ _ _"], ...]
    """The backbone's maps at strides 16, 8 and 4."""


class MapFusion(nn.Module):
    """Fuses attention maps with memory and backbone maps, coarse to fine; the last layer is a deformable convolution.

    `channels` are those of the backbone's maps at strides 4, 8 and 16. Features come out at stride 4, width / 16 wide.
    """

    def __init__(self, width: int, num_heads: int, channels: Sequence[int], activation: Activation) -> None:
        super().__init__()
        if width < 16 or width % 16:
            raise OptionError(f"width {width}: the mask head halves it four times, so it must be a multiple of 16")
        self.activation: Activation = activation
        mixed = width + num_heads
        self.mix = nn.Conv2d(mixed, mixed, 3, padding=1)
        self.mix_norm = _norm(mixed)
        outs = [width // 2, width // 4, width // 8]
        self.reduce = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip([mixed, *outs[:-1]], outs, strict=True)
        )
        self.reduce_norms = nn.ModuleList(_norm(out) for out in outs)
        self.adapters = nn.ModuleList(nn.Conv2d(c, out, 1) for c, out in zip(reversed(channels), outs, strict=True))
        for conv in self.modules():
            if isinstance(conv, nn.Conv2d):
                nn.init.kaiming_uniform_(conv.weight, a=1)
                assert conv.bias is not None
                nn.init.zeros_(conv.bias)
        self.offsets = nn.Conv2d(outs[-1], 2 * TAPS, 1)
        nn.init.zeros_(self.offsets.weight)
        assert self.offsets.bias is not None
        nn.init.zeros_(self.offsets.bias)
        self.deform = DeformableConvolution(outs[-1], width // 16)
        self.deform_norm = _norm(width // 16)

    def context(self, memory: Float[Tensor, "t c h w"], maps: Sequence[Float[Tensor, "t _ _ _"]]) -> FrameContext:
        """`maps` fine to coarse."""
        weight = self.mix.weight[:, : memory.shape[1]]
        return FrameContext(
            mixed=F.conv2d(memory, weight, self.mix.bias, padding=1),
            adapted=tuple(adapter(values) for adapter, values in zip(self.adapters, reversed(maps), strict=True)),
        )

    def forward(
        self, attention: Float[Tensor, "n m h w"], frame: Int[Tensor, " n"], context: FrameContext
    ) -> Float[Tensor, "n d i j"]:
        """Mask features of n pairs of query and frame; `frame` says which frame of the context each belongs to."""
        weight = self.mix.weight[:, -attention.shape[1] :]
        x = context.mixed[frame] + F.conv2d(attention, weight, padding=1)
        x = activate(self.mix_norm(x), self.activation)
        for reduce, norm, adapted in zip(self.reduce, self.reduce_norms, context.adapted, strict=True):
            x = activate(norm(reduce(x)), self.activation)
            x = adapted[frame] + F.interpolate(x, size=adapted.shape[-2:], mode="nearest")
        x = self.deform(x, self.offsets(x))
        return activate(self.deform_norm(x), self.activation)


def _norm(channels: int, groups: int = 8) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(groups, channels), channels)


class MaskVolume(nn.Sequential):
    """3-D convolutions over the mask features of one instance in all frames; mask logits come out."""

    def __init__(self, channels: int, activation: Activation) -> None:
        hidden = VOLUME_CHANNELS
        layers: list[nn.Module] = []
        for inputs in (channels, hidden, hidden):
            nonlinearity = nn.ReLU(inplace=True) if activation == "relu" else nn.GELU()
            layers += [nn.Conv3d(inputs, hidden, 3, padding=2, dilation=2), _norm(hidden, 4), nonlinearity]
        super().__init__(*layers, nn.Conv3d(hidden, 1, 1))


@runtime_checkable
class MapHead(Protocol):
    """What turns queries and maps to masks: the layers below, or their graph in another runtime."""

    @property
    def area(self) -> Area: ...

    def decode(
        self,
        states: Float[Tensor, "t n c"],
        maps: Sequence[Float[Tensor, "t _ _ _"]],
        is_padding: Bool[Tensor, "t h w"],
    ) -> Float[Tensor, "n t i j"]:
        """Mask logits of n > 0 queries of one clip; `maps` are those of an `AttentionMaskDecoder`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMaskDecoder:
    """Masks of the last decoder layer, decoded when somebody asks for them."""

    head: MapHead
    states: Float[Tensor, "b t q c"]
    maps: tuple[FeatureMap, ...]
    """Strides 4, 8 and 16 of the backbone, and the encoder's memory at stride 32."""

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        """Mask logits at stride 4 of the padded frame. Padded cells repeat the clip's edge, padded frames are zero."""
        t, (height, width) = self.states.shape[1], self.maps[0].values.shape[-2:]
        frames, sizes = self._extent(clip)
        states = self.states[clip, :frames, queries]
        maps = [level.values[clip, :frames, :, :h, :w] for level, (h, w) in zip(self.maps, sizes, strict=True)]
        h, w = sizes[-1]
        is_padding = self.maps[-1].is_padding[clip, :frames, :h, :w]
        if not len(queries):
            # Nothing to decode, yet every parameter stays part of the graph: data parallelism waits for all gradients.
            first = self.head.decode(self.states[clip, :1, :1], [level[:1] for level in maps], is_padding[:1])
            masks = first[:0].expand(0, frames, -1, -1)
        else:
            masks = self.head.decode(states, maps, is_padding)
        masks = F.pad(masks, (0, width - masks.shape[-1], 0, height - masks.shape[-2]), mode="replicate")
        return F.pad(masks, (0, 0, 0, 0, 0, t - frames))

    def _extent(self, clip: int) -> tuple[int, list[tuple[int, int]]]:
        """Real frames of a clip, and the (rows, columns) of every level that are decoded."""
        valid = [~level.is_padding[clip] for level in self.maps]
        counts = [valid[0].flatten(1).any(1).sum()]
        counts += [line.sum() for level in valid for line in (level[0].any(1), level[0].any(0))]
        frames, *sides = torch.stack(counts).tolist()
        if self.head.area == "padded":
            return frames, [(level.values.shape[-2], level.values.shape[-1]) for level in self.maps]
        return frames, list(zip(sides[::2], sides[1::2], strict=True))


class AttentionMasks(Checkpointed):
    """One mask per query and frame from where the query looks, made consistent over time by 3-D convolutions.

    Maps are fused in chunks, and only for the queries that are asked for.
    """

    def __init__(
        self,
        width: int,
        channels: Sequence[int],
        *,
        num_heads: int = 8,
        activation: Activation = "relu",
        area: Area = "valid",
    ) -> None:
        super().__init__()
        self.area: Area = area
        self.attend = AttentionMaps(width, num_heads)
        self.fuse = MapFusion(width, num_heads, channels, activation)
        self.volume = MaskVolume(width // 16, activation)

    def forward(
        self, states: Float[Tensor, "b t q c"], memory: ClipMemory, maps: Sequence[FeatureMap]
    ) -> AttentionMaskDecoder:
        """`maps` are the backbone's at strides 4, 8 and 16."""
        h, _ = memory.level_sizes[0]
        coarse = FeatureMap(
            values=rearrange(memory.tokens, "b t (h w) c -> b t c h w", h=h),
            is_padding=rearrange(memory.is_padding, "b t (h w) -> b t h w", h=h),
            stride=2 * maps[-1].stride,
        )
        return AttentionMaskDecoder(head=self, states=states, maps=(*maps, coarse))

    def decode(
        self,
        states: Float[Tensor, "t n c"],
        maps: Sequence[Float[Tensor, "t _ _ _"]],
        is_padding: Bool[Tensor, "t h w"],
    ) -> Float[Tensor, "n t i j"]:
        t, n = states.shape[:2]
        *finer, memory = maps
        attention = rearrange(self.attend(states, memory, is_padding), "t n m h w -> (n t) m h w")
        context = self.fuse.context(memory, finer)
        frame = torch.arange(t, device=states.device).repeat(n)
        per_map = 4 * TAPS * context.adapted[-1][0].numel()
        chunk = max(1, CHUNK_BYTES // per_map)
        features = [
            self.run(self.fuse, part, own, context)
            for part, own in zip(attention.split(chunk), frame.split(chunk), strict=True)
        ]
        volumes = rearrange(torch.cat(features), "(n t) d h w -> n d t h w", n=n)
        # Where channels come last, PyTorch's norm is off by 1e-4 over 24 frames.
        masks = [self.run(self.volume, volume.contiguous()) for volume in volumes.split(1)]
        return torch.cat(masks)[:, 0]
