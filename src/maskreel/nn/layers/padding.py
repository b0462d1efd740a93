"""Keeping what stands in padded cells out of convolutions."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Padding = Literal["seen", "masked"]
"""Convolutions and windows of a backbone read what earlier layers made of padded pixels, or nothing in their place."""


def blank_padding(x: Float[Tensor, "n c h w"], valid: Float[Tensor, "n 1 _ _"] | None) -> Float[Tensor, "n c h w"]:
    """The map with zeros in padded cells, as a convolution's own padding; `valid` is 1 or 0 at any finer resolution."""
    if valid is None:
        return x
    return x * F.interpolate(valid, size=x.shape[-2:], mode="nearest").to(x.dtype)
