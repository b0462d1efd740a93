"""Deformable attention over the neighbouring frames of a query's frame (TAFormer, equation 2)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.kernels.maps import ABSENT, Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.layers.deformable import ring_offsets, sampling_locations
from maskreel.nn.layers.parameter_groups import LocationLinear
from maskreel.nn.layers.recording import record_points

Border = Literal["clamp", "reflect", "shift", "mask"]
"""What stands for a neighbour before the first or after the last frame of a clip: the nearest frame there is, the
neighbour on the other side, a frame further inside (the window keeps its size), or nothing."""


@lru_cache(maxsize=256)
def neighbour_frames(num_frames: int, radius: int, border: Border) -> tuple[tuple[int, ...], ...]:
    """For every frame of a clip its 2 x `radius` neighbours in time order, the frame itself left out.

    Whatever the border rule, clips shorter than the window repeat their first or last frame, except with "mask", where
    missing neighbours are `ABSENT`.
    """
    steps = [step for step in range(-radius, radius + 1) if step]
    last = num_frames - 1

    def clamp(frame: int) -> int:
        return min(max(frame, 0), last)

    def is_inside(frame: int) -> bool:
        return 0 <= frame <= last

    table = []
    for t in range(num_frames):
        match border:
            case "clamp":
                row = [clamp(t + step) for step in steps]
            case "reflect":
                row = [t + step if is_inside(t + step) else clamp(t - step) for step in steps]
            case "shift":
                first = max(0, min(t - radius, last - 2 * radius))
                row = [clamp(frame) for frame in range(first, first + 2 * radius + 1) if frame != t]
            case "mask":
                row = [t + step if is_inside(t + step) else ABSENT for step in steps]
        table.append(tuple(row))
    return tuple(table)


class NeighbourSampling(nn.Module):
    """Learned points on every level of the neighbouring frames; values and output projection are another's.

    Each head has offsets and weights of its own per frame, level and point. `levels` names the levels that are read;
    empty means all `num_levels`.
    """

    def __init__(
        self,
        width: int,
        *,
        num_levels: int,
        num_heads: int = 8,
        num_points: int = 4,
        radius: int = 2,
        border: Border = "clamp",
        levels: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.num_levels = len(self.levels) or num_levels
        self.num_heads, self.num_points, self.radius = num_heads, num_points, radius
        self.border: Border = border
        self.slots = 2 * radius * self.num_levels
        self.sampling_offsets = LocationLinear(width, num_heads * self.slots * num_points * 2)
        self.attention_weights = nn.Linear(width, num_heads * self.slots * num_points)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Points start as in deformable attention, the same in every frame and level."""
        nn.init.zeros_(self.sampling_offsets.weight)
        ring = ring_offsets(self.num_heads, self.num_points)[:, None].expand(-1, self.slots, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(ring.flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)

    def read(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l 2"],
        value: Float[Tensor, "b _ m d"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t q c"]:
        """What the query reads from a value table of all frames; the reference is its own place in every frame."""
        t, m, p, f = query.shape[1], self.num_heads, self.num_points, 2 * self.radius
        table = neighbour_frames(t, self.radius, self.border)
        levels = list(self.levels or range(len(level_sizes)))
        offsets = rearrange(self.sampling_offsets(query), "b t q (mf l p r) -> b t q mf l p r", mf=m * f, p=p, r=2)
        locations = sampling_locations(
            reference_points[:, :, :, levels],
            offsets.to(reference_points.dtype),
            tuple(level_sizes[level] for level in levels),
        )
        logits = rearrange(self.attention_weights(query), "b t q (m f lp) -> b t q m f lp", m=m, f=f)
        logits = logits.to(reference_points.dtype)
        if any(ABSENT in row for row in table) and t > 1:
            is_absent = torch.tensor([[frame == ABSENT for frame in row] for row in table], device=query.device)
            logits = logits.masked_fill(rearrange(is_absent, "t f -> t 1 1 f 1"), -torch.inf)
        locations = rearrange(locations, "b t q (m f) l p r -> b (t q) m (f l p) r", m=m)
        weights = rearrange(logits, "b t q m f lp -> b (t q) m (f lp)").softmax(-1)
        maps = Maps(level_sizes=level_sizes, frames=table, levels=self.levels)
        record_points(self, locations, weights, maps)
        sampled = sample(value, locations, weights, maps=maps)
        return rearrange(sampled, "b (t q) m d -> b t q (m d)", t=t)
