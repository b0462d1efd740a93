"""Layers as they stand in a graph: the same numbers, with the number of frames left open.

In PyTorch the frames that a query samples are a table in Python, one row per frame, which would fix the length of a
clip. In a graph frames are part of the batch, and a neighbour is found by arithmetic on frame numbers.
"""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.heads.attention_masks import AttentionMasks
from maskreel.nn.layers.deformable import DeformableAttention, sampling_locations, value_table
from maskreel.nn.layers.deformable_convolution import DeformableConvolution
from maskreel.nn.layers.neighbours import Border, NeighbourSampling
from maskreel.nn.layers.space_time import SpaceTimeAttention
from maskreel.runtimes.pytorch import inference_form
from maskreel.structures import ClipMemory


class GraphAttention(DeformableAttention):
    """Every frame is a clip of its own."""

    def read(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l r"],
        value: Float[Tensor, "b _ m d"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t q c"]:
        b, t = query.shape[:2]
        rows = sum(h * w for h, w in level_sizes)
        # An absent frame on its own has no un-padded part to refer to; in a clip it refers to that of the first frame.
        reference_points = torch.where(reference_points.isnan(), 0.5, reference_points)
        read = super().read(
            query.flatten(0, 1)[:, None],
            reference_points.flatten(0, 1)[:, None],
            value.unflatten(1, (t, rows)).flatten(0, 1),
            level_sizes,
        )
        return read[:, 0].unflatten(0, (b, t))


class GraphNeighbours(NeighbourSampling):
    """Every frame is a clip of its own, whose value table holds its neighbours."""

    def read(
        self,
        query: Float[Tensor, "b t q c"],
        reference_points: Float[Tensor, "b t q l 2"],
        value: Float[Tensor, "b _ m d"],
        level_sizes: tuple[tuple[int, int], ...],
    ) -> Float[Tensor, "b t q c"]:
        (b, t), m, f = query.shape[:2], self.num_heads, 2 * self.radius
        rows = sum(h * w for h, w in level_sizes)
        frames, is_absent = neighbour_numbers(t, self.radius, self.border, query.device)
        levels = list(self.levels or range(len(level_sizes)))
        offsets = rearrange(
            self.sampling_offsets(query), "b t q (mf l p r) -> b t q mf l p r", mf=m * f, p=self.num_points, r=2
        )
        locations = sampling_locations(
            reference_points[:, :, :, levels], offsets, tuple(level_sizes[level] for level in levels)
        )
        logits = rearrange(self.attention_weights(query), "b t q (m f lp) -> b t q m f lp", m=m, f=f)
        logits = logits.masked_fill(rearrange(is_absent, "t f -> t 1 1 f 1"), -torch.inf)
        tables = value.unflatten(1, (t, rows))[:, frames.flatten()].flatten(1, 2).unflatten(1, (t, f * rows))
        sampled = sample(
            tables.flatten(0, 1),
            rearrange(locations, "b t q (m f) l p r -> (b t) q m (f l p) r", m=m),
            rearrange(logits, "b t q m f lp -> (b t) q m (f lp)").softmax(-1),
            maps=Maps(level_sizes=level_sizes, frames=(tuple(range(f)),), levels=self.levels),
        )
        return sampled.flatten(2).unflatten(0, (b, t))


def neighbour_numbers(
    num_frames: int, radius: int, border: Border, device: torch.device | None = None
) -> tuple[Int[Tensor, "t f"], Bool[Tensor, "t f"]]:
    """`neighbour_frames` of a clip of two frames or more as arithmetic; missing neighbours are marked."""
    step = torch.tensor([step for step in range(-radius, radius + 1) if step], device=device)
    frame = torch.arange(num_frames, device=device)[:, None]
    last = frame[-1]
    near, far = frame + step, frame - step
    is_inside = (near >= 0) & (near <= last)
    if border == "reflect":
        near = torch.where(is_inside, near, far)
    if border == "shift":
        first = torch.minimum(frame - radius, last - 2 * radius).clamp(min=0)
        window = first + torch.arange(2 * radius, device=device)
        near = window + (window >= frame)
    is_absent = ~is_inside if border == "mask" else torch.zeros_like(is_inside)
    return torch.minimum(near.clamp(min=0), last), is_absent


class GraphSpaceTimeAttention(SpaceTimeAttention):
    """A point between two frames is two points of one tall map on which the frames lie below each other."""

    def forward(
        self, query: Float[Tensor, "b q c"], reference_points: Float[Tensor, "#b q 3"], memory: ClipMemory
    ) -> Float[Tensor, "b q c"]:
        t, (height, width) = memory.tokens.shape[1], memory.level_sizes[0]
        offsets = rearrange(self.sampling_offsets(query), "b q (m p r) -> b q m 1 p r", m=self.num_heads, r=3)
        weights = rearrange(self.attention_weights(query), "b q (m p) -> b q m p", m=self.num_heads).softmax(-1)
        locations = [
            reference_points[..., axis, None, None] + offsets[..., 0, :, axis] / side
            for axis, side in enumerate((width, height, t))
        ]
        value = value_table(self.value_proj(memory.tokens), memory.is_padding, self.num_heads)
        sampled = sample_volume(value, torch.stack(locations, -1), weights, (t, height, width))
        return self.output_proj(sampled.flatten(2))


def sample_volume(
    value: Float[Tensor, "b r m d"],
    locations: Float[Tensor, "b q m p 3"],
    weights: Float[Tensor, "b q m p"],
    sides: tuple[int, int, int],
) -> Float[Tensor, "b q m d"]:
    """`sample` in the volume of a clip, as two samples on one map for which a runtime needs no third dimension."""
    frames, height, _ = sides
    m = value.shape[2]
    # An empty row above and below each frame keeps neighbours in the map from mixing.
    volume = rearrange(value, "b (t h w) m d -> (b m) d t h w", t=frames, h=height)
    tall = F.pad(volume, (0, 0, 1, 1)).flatten(2, 3)
    x, y, time = rearrange(locations, "b q m p xyz -> xyz (b m) q p").unbind(0)
    time = time * frames - 0.5
    first = time.floor()
    row = (y * height + 0.5).clamp(0, height + 1)
    total = None
    for frame, share in ((first, 1 - (time - first)), (first + 1, time - first)):
        is_inside = (frame >= 0) & (frame <= frames - 1)
        down = (frame.clamp(0, frames - 1) * (height + 2) + row + 0.5) / (frames * (height + 2))
        grid = torch.stack((2 * x - 1, 2 * down - 1), -1).clamp(-4, 4)
        samples = F.grid_sample(tall, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = rearrange(weights, "b q m p -> (b m) 1 q p") * (share * is_inside)[:, None]
        part = (samples * weight).sum(-1)
        total = part if total is None else total + part
    assert total is not None, "two frames"
    return rearrange(total, "(b m) d q -> b q m d", m=m)


class GraphAttentionMasks(AttentionMasks):
    """All maps at once: a runtime is asked for few queries at a time."""

    def decode(
        self,
        states: Float[Tensor, "t n c"],
        maps: Sequence[Float[Tensor, "t _ _ _"]],
        is_padding: Bool[Tensor, "t h w"],
    ) -> Float[Tensor, "n t i j"]:
        t, n = states.shape[:2]
        *finer, memory = maps
        attention = rearrange(self.attend(states, memory, is_padding), "t n m h w -> (n t) m h w")
        frame = torch.arange(t, device=states.device).repeat(n)
        features = self.fuse(attention, frame, self.fuse.context(memory, finer))
        return self.volume(rearrange(features, "(n t) d h w -> n d t h w", n=n))[:, 0]


class GraphDeformableConvolution(DeformableConvolution):
    """Samples maps as they lie in memory: other layouts would fix the sides of maps, which are open."""

    def read(self, x: Float[Tensor, "n c h w"], locations: Float[Tensor, "n h w k 2"]) -> Float[Tensor, "n s 1 c"]:
        grid = rearrange(2 * locations - 1, "n h w k xy -> n h (w k) xy")
        samples = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return rearrange(samples, "n c h w -> n (h w) 1 c")


class GraphGroupNorm(nn.GroupNorm):
    """Sums over a clip by rows first: ONNX Runtime adds up one after another, and half a million cells are too many.

    Its error grows with them: 1.6e-5 of the largest value at 1.1 million, where PyTorch's is 1.7e-7.
    """

    def forward(self, input: Float[Tensor, "n c *sides"]) -> Float[Tensor, "n c *sides"]:
        if input.ndim < 5:
            return super().forward(input)
        groups = input.unflatten(1, (self.num_groups, -1))
        centred = groups - _mean(groups)
        normed = (centred * torch.rsqrt(_mean(centred.square()) + self.eps)).flatten(1, 2)
        return normed * self.weight[:, None, None, None] + self.bias[:, None, None, None]


def _mean(groups: Float[Tensor, "n g c t h w"]) -> Float[Tensor, "n g 1 1 1 1"]:
    return groups.mean(-1, keepdim=True).mean((2, 3, 4), keepdim=True)


FORMS: dict[type[nn.Module], type[nn.Module]] = {
    DeformableAttention: GraphAttention,
    NeighbourSampling: GraphNeighbours,
    SpaceTimeAttention: GraphSpaceTimeAttention,
    AttentionMasks: GraphAttentionMasks,
    DeformableConvolution: GraphDeformableConvolution,
    nn.GroupNorm: GraphGroupNorm,
}
"""What stands in a graph for a layer of a model."""


def graph_form(model: nn.Module) -> nn.Module:
    """A copy of a model in its inference form with the layers of `FORMS`; the model itself stays as it is."""
    form = copy.deepcopy(inference_form(model))
    for module in form.modules():
        if type(module) in FORMS:
            module.__class__ = FORMS[type(module)]
    return form.requires_grad_(False)
