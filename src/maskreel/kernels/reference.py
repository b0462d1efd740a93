"""Weighted bilinear sampling in plain PyTorch, map by map through grid_sample.

The yardstick of the other backends, and the one for every device and float type, for second derivatives and for export.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from maskreel.kernels.maps import ABSENT, Maps


def sample(
    value: Float[Tensor, "b r m d"],
    locations: Float[Tensor, "b q m p xy"],
    weights: Float[Tensor, "b q m p"],
    maps: Maps,
) -> Float[Tensor, "b q m d"]:
    """See `maskreel.kernels.sampling.sample`; computes in the widest of the three dtypes."""
    dtype = torch.promote_types(torch.promote_types(value.dtype, locations.dtype), weights.dtype)
    if 0 in (*value.shape, *weights.shape):
        # Nothing to sample, yet the inputs stay part of the graph.
        return (
            value.sum() * 0
            + weights.sum() * 0
            + locations.sum() * 0
            + value.new_zeros(*weights.shape[:3], value.shape[-1])
        )
    # Beyond one map's width outside there is only zero; grid_sample makes NaN of infinite coordinates.
    locations = locations.to(dtype).clamp(-1, 2)
    combine = _volumes if locations.shape[-1] == 3 else _maps
    return combine(value.to(dtype), locations, weights.to(dtype), maps).to(value.dtype)


def _maps(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    groups, slots, heads = maps.num_groups, maps.num_slots, value.shape[2]
    grids = rearrange(2 * locations - 1, "b (t q) m (s p) xy -> s (b t m) q p xy", t=groups, s=slots)
    weights = rearrange(weights, "b (t q) m (s p) -> s (b t m) 1 q p", t=groups, s=slots)
    frames = value.unflatten(1, (-1, maps.rows_per_frame))
    total = None
    for slot in range(slots):
        read = [group[slot // len(maps.sampled)] for group in maps.frames]
        start, height, width = maps.sampled[slot % len(maps.sampled)]
        images = _select(frames, read)[:, :, start : start + height * width]
        images = rearrange(images, "b t (h w) m d -> (b t m) d h w", h=height)
        samples = F.grid_sample(images, grids[slot], mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = weights[slot]
        if ABSENT in read:
            present = torch.tensor([frame != ABSENT for frame in read], device=weight.device)
            present = present.view(1, groups, 1).expand(value.shape[0], groups, heads).reshape(-1, 1, 1, 1)
            weight = weight * present
        part = (samples * weight).sum(-1)
        total = part if total is None else total + part
    assert total is not None, "a Maps record has at least one slot"
    return rearrange(total, "(b t m) d q -> b (t q) m d", t=groups, m=heads)


def _volumes(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    groups, heads = maps.num_groups, value.shape[2]
    start, height, width = maps.sampled[0]
    frames = value.unflatten(1, (-1, maps.rows_per_frame))[:, :, start : start + height * width]
    grids = rearrange(2 * locations - 1, "b (t q) m p xyz -> t (b m) q p 1 xyz", t=groups)
    weights = rearrange(weights, "b (t q) m p -> t (b m) 1 q p", t=groups)
    outputs = []
    for group, read in enumerate(maps.frames):
        volume = rearrange(_select(frames, read), "b f (h w) m d -> (b m) d f h w", h=height)
        samples = F.grid_sample(volume, grids[group], mode="bilinear", padding_mode="zeros", align_corners=False)
        outputs.append((samples.squeeze(-1) * weights[group]).sum(-1))
    return rearrange(torch.stack(outputs), "t (b m) d q -> b (t q) m d", m=heads)


def _select(frames: Tensor, read: list[int] | tuple[int, ...]) -> Tensor:
    """Frames of the table in the order in which they are read; no copy where that is their own order."""
    if list(read) == list(range(frames.shape[1])):
        return frames
    return frames[:, [max(frame, 0) for frame in read]]
