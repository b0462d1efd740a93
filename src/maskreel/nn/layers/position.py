"""Where a token is: padding, valid ratios, sine codes."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor


def shrink_padding(is_padding: Bool[Tensor, "b t h w"], size: tuple[int, int]) -> Bool[Tensor, "b t i j"]:
    """Padding mask of a feature map: the full-size mask, nearest cell."""
    return F.interpolate(is_padding.float(), size=size, mode="nearest").bool()


def valid_ratio(is_padding: Bool[Tensor, "b t h w"]) -> Float[Tensor, "b 2"]:
    """Un-padded fraction (x, y) of a map, read off the first frame: all frames of a clip share their size."""
    valid = ~is_padding[:, 0]
    height, width = valid.shape[-2:]
    return torch.stack((valid[:, 0, :].sum(-1) / width, valid[:, :, 0].sum(-1) / height), -1)


def sine_code(position: Float[Tensor, "*n"], channels: int, temperature: float = 10000.0) -> Float[Tensor, "*n c"]:
    """Sine on even, cosine on odd channels, frequencies falling geometrically ("Attention is all you need", 3.5)."""
    index = torch.arange(channels, dtype=torch.float32, device=position.device)
    frequency = temperature ** (2 * (index // 2) / channels)
    angle = position[..., None] / frequency
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), -1).flatten(-2)


def sine_position(is_padding: Bool[Tensor, "b t h w"], width: int) -> Float[Tensor, "b t c h w"]:
    """2-D sine code of every cell: half the channels for y, half for x (Deformable DETR).

    Positions count un-padded cells, are taken at cell centres and run from 0 to 2 pi over the un-padded map.
    """
    valid = (~is_padding).float()
    y, x = valid.cumsum(-2), valid.cumsum(-1)
    y = (y - 0.5) / (y[..., -1:, :] + 1e-6) * (2 * math.pi)
    x = (x - 0.5) / (x[..., -1:] + 1e-6) * (2 * math.pi)
    code = torch.cat((sine_code(y, width // 2), sine_code(x, width // 2)), -1)
    return rearrange(code, "b t h w c -> b t c h w")
