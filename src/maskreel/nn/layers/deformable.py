"""Multi-scale deformable attention over the levels of a query's own frame (Deformable DETR, equation 2)."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.layers.parameter_groups import LocationLinear
from maskreel.nn.layers.recording import record_points
from maskreel.structures import ClipMemory


def ring_offsets(num_heads: int, num_points: int) -> Float[Tensor, "m p 2"]:
    """First sampling offsets in cells: a star of directions, one per head, point k reaching k + 1 cells far."""
    angle = torch.arange(num_heads) * (2 * math.pi / num_heads)
    direction = torch.stack((angle.cos(), angle.sin()), -1)
    direction = direction / direction.abs().max(-1, keepdim=True).values
    return direction[:, None] * torch.arange(1, num_points + 1)[:, None]


def sampling_locations(
    reference_points: Float[Tensor, "b t q l r"],
    offsets: Float[Tensor, "b t q m l p 2"],
    level_sizes: tuple[tuple[int, int], ...],
) -> Float[Tensor, "b t q m l p 2"]:
    """Locations in fractions of the padded map.

    References of two numbers are points, and offsets count cells; references of four numbers are boxes, and offsets
    count half box sides, divided by the number of points.
    """
    if reference_points.shape[-1] == 2:
        return around_points(reference_points, offsets, [(w, h) for h, w in level_sizes])
    reference = rearrange(reference_points, "b t q l r -> b t q 1 l 1 r")
    points = offsets.shape[-2]
    return reference[..., :2] + offsets * (reference[..., 2:] * (0.5 / points))


def around_points(
    reference_points: Float[Tensor, "*#n l r"],
    offsets: Float[Tensor, "*n m l p r"],
    cells: Sequence[Sequence[int]],
) -> Float[Tensor, "*n m l p r"]:
    """Reference point plus offset, which counts cells; `cells` has one entry per level: (x, y) or (x, y, t)."""
    p = offsets.shape[-2]
    # Levels, points and coordinates in one row: adding pairs to pairs takes eight times as long.
    size = 1 / torch.tensor(cells, dtype=offsets.dtype, device=offsets.device)
    row = repeat(reference_points, "... l r -> ... 1 (l p r)", p=p)
    locations = torch.addcmul(row, offsets.flatten(-3), repeat(size, "l r -> (l p r)", p=p))
    return locations.unflatten(-1, offsets.shape[-3:])


def value_table(
    value: Float[Tensor, "b t s c"], is_padding: Bool[Tensor, "b t s"], num_heads: int
) -> Float[Tensor, "b _ m d"]:
    """Projected tokens of a clip as `sample` reads them fastest, stored head by head; padded tokens are zero."""
    table = rearrange(value, "b t s (m d) -> b m (t s) d", m=num_heads)
    return table.contiguous().masked_fill_(rearrange(is_padding, "b t s -> b 1 (t s) 1"), 0.0).transpose(1, 2)


class DeformableAttention(nn.Module):
    """Every query reads a few learned points of every level around its reference.

    `levels` names the levels of the memory that are read; empty means all of its `num_levels`.
    """

    def __init__(
        self, width: int, *, num_levels: int, num_heads: int = 8, num_points: int = 4, levels: Sequence[int] = ()
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise OptionError(f"width {width} does not divide into {num_heads} attention heads")
        self.levels = tuple(levels)
        num_levels = len(self.levels) or num_levels
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = LocationLinear(width, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(width, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(width, width)
        self.output_proj = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.sampling_offsets.weight)
        ring = ring_offsets(self.num_heads, self.num_points)[:, None].expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(ring.flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def project(self, memory: ClipMemory) -> Float[Tensor, "b _ m d"]:
        """The value table of a clip. Padded tokens count as zero."""
        return value_table(self.value_proj(memory.tokens), memory.is_padding, self.num_heads)

    def read(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l r"],
        value: Float[Tensor, "b _ m d"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t q c"]:
        """What the query reads from a value table, before the output projection."""
        t, m, l, p = query.shape[1], self.num_heads, self.num_levels, self.num_points
        maps = Maps(level_sizes=level_sizes, frames=tuple((frame,) for frame in range(t)), levels=self.levels)
        if self.levels:
            reference_points = reference_points[:, :, :, list(self.levels)]
            level_sizes = tuple(level_sizes[level] for level in self.levels)
        offsets = rearrange(self.sampling_offsets(query), "b t q (m l p r) -> b t q m l p r", m=m, l=l, p=p)
        weights = rearrange(self.attention_weights(query), "b t q (m lp) -> b (t q) m lp", m=m)
        # Positions in low precision would be wrong by a third of a cell: they stay float32 under autocast.
        locations = sampling_locations(reference_points, offsets.to(reference_points.dtype), level_sizes)
        locations = rearrange(locations, "b t q m l p r -> b (t q) m (l p) r")
        weights = weights.to(reference_points.dtype).softmax(-1)
        record_points(self, locations, weights, maps)
        sampled = sample(value, locations, weights, maps=maps)
        return rearrange(sampled, "b (t q) m d -> b t q (m d)", t=t)

    def sample(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l r"],
        memory: ClipMemory,
    ) -> Float[Tensor, "b t q c"]:
        """What the query reads from a memory, before the output projection."""
        return self.read(query, reference_points, self.project(memory), memory.level_sizes)

    def forward(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l r"],
        memory: ClipMemory,
    ) -> Float[Tensor, "b t q c"]:
        return self.output_proj(self.sample(query, reference_points, memory))


def xavier_matrices(module: nn.Module) -> None:
    """Xavier for every matrix, then the deformable layers' own initialisation (Deformable DETR)."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for child in module.modules():
        if isinstance(child, DeformableAttention):
            child.reset_parameters()
