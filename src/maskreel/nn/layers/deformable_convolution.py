"""Deformable convolution (arXiv 1703.06211, equation 2) on the sampling primitive of deformable attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

TAPS = 9
"""Cells that a 3x3 kernel reads."""


class DeformableConvolution(nn.Module):
    """3x3 convolution whose nine taps are moved by given offsets; no bias, zeros outside.

    Every cell asks nine one-point queries; a linear layer adds the samples up.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=1)

    def forward(self, x: Float[Tensor, "n c h w"], offsets: Float[Tensor, "n 18 h w"]) -> Float[Tensor, "n d h w"]:
        """`offsets` in cells: (down, right) of each tap, taps row by row."""
        # Positions in low precision would be wrong by a third of a cell: they stay float32 under autocast.
        offsets = offsets.to(torch.promote_types(x.dtype, torch.float32))
        samples = self.read(x, tap_locations(offsets))
        weight = rearrange(self.weight, "d c i j -> (i j c) d").to(samples.dtype)
        out = rearrange(samples, "n (s k) 1 c -> n s (k c)", k=TAPS) @ weight
        return rearrange(out, "n (h w) d -> n d h w", h=x.shape[-2])

    def read(self, x: Float[Tensor, "n c h w"], locations: Float[Tensor, "n h w k 2"]) -> Float[Tensor, "n s 1 c"]:
        """A sample of `x` for each cell and tap."""
        height, width = x.shape[-2:]
        places = rearrange(locations, "n h w k xy -> n (h w k) 1 1 xy")
        return sample(
            rearrange(x, "n c h w -> n (h w) 1 c").contiguous(),
            places,
            torch.ones_like(places[..., 0]),
            maps=Maps.own_frame(((height, width),), num_frames=1),
        )


def tap_locations(offsets: Float[Tensor, "n 18 h w"]) -> Float[Tensor, "n h w 9 2"]:
    """(x, y) of the nine moved taps of every cell, as fractions of the map."""
    height, width = offsets.shape[-2:]
    moved = rearrange(offsets, "n (k yx) h w -> n h w k yx", yx=2)
    down, right = moved.unbind(-1)
    tap = torch.arange(TAPS, device=offsets.device)
    y = torch.arange(height, device=offsets.device)[:, None, None] + tap // 3 - 0.5 + down
    column = torch.arange(width, device=offsets.device)[:, None] + tap % 3 - 0.5 + right
    return torch.stack((column / width, y / height), -1)
