"""Deformable attention over space and time: every query reads a few learned points of the whole clip.

The poster of Deformable VisTR leaves its form open. Two readings stand here: three-dimensional offsets with trilinear
sampling of the clip as one volume, and the public code's, in which the frames are the levels of Deformable DETR.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.errors import OptionError, UsageError
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.layers.deformable import around_points, ring_offsets, sampling_locations, value_table
from maskreel.nn.layers.parameter_groups import LocationLinear
from maskreel.nn.layers.recording import record_points
from maskreel.structures import ClipMemory

RING_POINTS = 4
"""Points of a head that share a shift in time: one each at distances of 1, 2, 3 and 4 cells."""


def space_time_offsets(num_heads: int, num_points: int) -> Float[Tensor, "m p 3"]:
    """First sampling offsets (x, y, t) in cells and frames: Deformable DETR's star, repeated over nearby frames."""
    point = torch.arange(num_points)
    ring = ring_offsets(num_heads, RING_POINTS)[:, point % RING_POINTS]
    shift = point // RING_POINTS - num_points // (2 * RING_POINTS)
    return torch.cat((ring, shift[:, None].expand(num_heads, -1, 1)), -1)


def volume_reference_points(
    num_frames: int, size: tuple[int, int], device: torch.device | None = None
) -> Float[Tensor, "s 3"]:
    """Centre (x, y, t) of every cell of a clip, in fractions of the padded volume."""
    sides = (num_frames, *size)
    t, y, x = ((torch.arange(n, dtype=torch.float32, device=device) + 0.5) / n for n in sides)
    grid = torch.meshgrid(t, y, x, indexing="ij")
    return torch.stack(grid[::-1], -1).flatten(0, 2)


class SpaceTimeAttention(nn.Module):
    """Every query reads `num_points` points per head, anywhere in the clip, by trilinear sampling.

    Cost is linear in the number of tokens. Nothing depends on the clip's length.
    """

    def __init__(self, width: int, *, num_heads: int = 8, num_points: int = 32) -> None:
        super().__init__()
        if width % num_heads:
            raise OptionError(f"width {width} does not divide into {num_heads} attention heads")
        self.num_heads, self.num_points = num_heads, num_points
        self.sampling_offsets = LocationLinear(width, num_heads * num_points * 3)
        self.attention_weights = nn.Linear(width, num_heads * num_points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(space_time_offsets(self.num_heads, self.num_points).flatten())
        reset_projections(self)

    def forward(
        self, query: Float[Tensor, "b q c"], reference_points: Float[Tensor, "#b q 3"], memory: ClipMemory
    ) -> Float[Tensor, "b q c"]:
        """References are (x, y, t) in fractions of the padded clip. Padded tokens of the memory count as zero."""
        t, (height, width) = memory.tokens.shape[1], memory.level_sizes[0]
        offsets = rearrange(self.sampling_offsets(query), "b q (m p r) -> b q m 1 p r", m=self.num_heads, r=3)
        weights = rearrange(self.attention_weights(query), "b q (m p) -> b q m p", m=self.num_heads)
        # Positions in low precision would be wrong by a third of a cell: they stay float32 under autocast.
        precise = reference_points.dtype
        locations = around_points(reference_points[:, :, None], offsets.to(precise), [(width, height, t)])[:, :, :, 0]
        weights = weights.to(precise).softmax(-1)
        maps = Maps.every_frame(memory.level_sizes, num_frames=t)
        record_points(self, locations, weights, maps)
        value = value_table(self.value_proj(memory.tokens), memory.is_padding, self.num_heads)
        sampled = sample(value, locations, weights, maps=maps)
        return self.output_proj(rearrange(sampled, "b q m d -> b q (m d)"))


class FrameLevelAttention(nn.Module):
    """Every query reads `num_points` points per head of every frame, around its own position (DefVIS).

    Frames are told apart by their rows of the offset and weight tables, so `num_frames` bounds the clip's length; a
    shorter clip takes the rows of the first frames.
    """

    def __init__(self, width: int, *, num_frames: int, num_heads: int = 8, num_points: int = 6) -> None:
        super().__init__()
        if width % num_heads:
            raise OptionError(f"width {width} does not divide into {num_heads} attention heads")
        self.num_frames, self.num_heads, self.num_points = num_frames, num_heads, num_points
        self.sampling_offsets = LocationLinear(width, num_heads * num_frames * num_points * 2)
        self.attention_weights = nn.Linear(width, num_heads * num_frames * num_points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        ring = ring_offsets(self.num_heads, self.num_points)[:, None].expand(-1, self.num_frames, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(ring.flatten())
        reset_projections(self)

    def forward(
        self, query: Float[Tensor, "b q c"], reference_points: Float[Tensor, "b q l 2"], memory: ClipMemory
    ) -> Float[Tensor, "b q c"]:
        """`memory` holds the frames as levels of a single frame (`frames_as_levels`); padded tokens count as zero."""
        m, l, p = self.num_heads, len(memory.level_sizes), self.num_points
        offsets = rearrange(
            self._first_frames(self.sampling_offsets, query, l), "b q (m l p r) -> b 1 q m l p r", m=m, l=l, p=p
        )
        weights = rearrange(self._first_frames(self.attention_weights, query, l), "b q (m l p) -> b q m l p", m=m, l=l)
        precise = reference_points.dtype
        locations = sampling_locations(reference_points[:, None], offsets.to(precise), memory.level_sizes)
        is_absent = rearrange(absent_levels(memory), "b l -> b 1 1 l 1")
        weights = weights.to(precise).masked_fill(is_absent, float("-inf")).flatten(3).softmax(-1)
        locations = rearrange(locations, "b 1 q m l p r -> b q m (l p) r")
        maps = Maps.own_frame(memory.level_sizes, num_frames=1)
        record_points(self, locations, weights, maps)
        value = value_table(self.value_proj(memory.tokens), memory.is_padding, m)
        sampled = sample(value, locations, weights, maps=maps)
        return self.output_proj(rearrange(sampled, "b q m d -> b q (m d)"))

    def _first_frames(self, table: nn.Linear, query: Float[Tensor, "b q c"], num_frames: int) -> Float[Tensor, "b q k"]:
        """A table's outputs for the first frames, heads outermost."""
        if num_frames > self.num_frames:
            raise UsageError(f"a clip of {num_frames} frames: the tables of this model know {self.num_frames}")
        weight = table.weight.unflatten(0, (self.num_heads, self.num_frames, -1))[:, :num_frames]
        bias = table.bias.unflatten(0, (self.num_heads, self.num_frames, -1))[:, :num_frames]
        return F.linear(query, weight.flatten(0, 2), bias.flatten())


def absent_levels(memory: ClipMemory) -> Bool[Tensor, "b l"]:
    """Levels (frames) that are nothing but padding."""
    levels = memory.is_padding[:, 0].split([h * w for h, w in memory.level_sizes], 1)
    return torch.stack([level.all(1) for level in levels], 1)


def clip_extent(memory: ClipMemory) -> Float[Tensor, "b 3"]:
    """Un-padded fraction (x, y, t) of a clip."""
    frames = (~memory.is_padding.all(-1)).float().mean(-1, keepdim=True)
    return torch.cat((memory.valid_ratios[:, 0], frames), -1)


def reset_projections(attention: SpaceTimeAttention | FrameLevelAttention) -> None:
    """Offsets start at their biases, all points with equal weights."""
    for table in (attention.sampling_offsets, attention.attention_weights):
        nn.init.zeros_(table.weight)
    nn.init.zeros_(attention.attention_weights.bias)
    for projection in (attention.value_proj, attention.output_proj):
        nn.init.xavier_uniform_(projection.weight)
        nn.init.zeros_(projection.bias)
