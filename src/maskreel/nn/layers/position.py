"""Where a token is: padding, valid ratios, sine codes."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from maskreel.errors import OptionError

FrameCode = Literal["none", "normalised", "raw"]
"""How the time of a frame enters a code: not at all, as a fraction of the clip, or as its index."""


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
    angle = position[..., None] / temperature ** (2 * (index // 2) / channels)
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), -1).flatten(-2)


def sine_position(is_padding: Bool[Tensor, "b t h w"], width: int) -> Float[Tensor, "b t c h w"]:
    """2-D sine code of every cell: half the channels for y, half for x (Deformable DETR).

    Positions count un-padded cells, are taken at cell centres and run from 0 to 2 pi over the un-padded map.
    """
    valid = (~is_padding).float()
    y, x = valid.cumsum(-2), valid.cumsum(-1)
    code = torch.cat((_axis_code(y, y[..., -1:, :], width // 2), _axis_code(x, x[..., -1:], width // 2)), -1)
    return rearrange(code, "b t h w c -> b t c h w")


def _axis_code(
    count: Float[Tensor, "b t h w"], last: Float[Tensor, "b t #h #w"], channels: int
) -> Float[Tensor, "b t h w c"]:
    code = sine_code((count - 0.5) / (last + 1e-6) * (2 * math.pi), channels)
    if torch.compiler.is_exporting():
        # Rows of padding lie half a million turns away, where runtimes have other sines: their code is a constant.
        with _disable_current_modes():
            nothing = torch.zeros(1, device=count.device)
            far = sine_code((nothing - 0.5) / (nothing + 1e-6) * (2 * math.pi), channels)[0]
        code = torch.where(last[..., None] > 0, code, far)
    return code


def frame_code(
    num_frames: int, width: int, code: FrameCode, device: torch.device | None = None
) -> Float[Tensor, "t c"]:
    """Sine code of the frames of a clip over all channels (TAFormer, equation 6); zero for "none".

    Normalised times are the middles of the frames, from 0 to 2 pi over the clip, so that a clip of a few sparse frames
    and a whole video are coded alike.
    """
    time = torch.arange(num_frames, dtype=torch.float32, device=device)
    match code:
        case "none":
            return torch.zeros(num_frames, width, device=device)
        case "normalised":
            return sine_code((time + 0.5) / num_frames * (2 * math.pi), width)
        case "raw":
            return sine_code(time, width)


def axis_channels(width: int) -> tuple[int, int, int]:
    """How many channels of a 3-D code belong to (t, y, x): an even number each, a third where that is even."""
    if width < 6 or width % 2:
        raise OptionError(f"width {width}: a 3-D sine code needs an even number of channels, at least 6")
    third = 2 * (width // 6)
    rest = width - 3 * third
    return third, third + 2 * (rest >= 2), third + 2 * (rest >= 4)


def space_time_position(is_padding: Bool[Tensor, "b t h w"], width: int) -> Float[Tensor, "b t c h w"]:
    """3-D sine code of every cell: channels for t, then y, then x (VisTR, section 3.2).

    Positions count un-padded cells from 1 and run to 2 pi over the un-padded clip; no half cell is taken off, unlike in
    the 2-D code.
    """
    valid = (~is_padding).float()
    axes = []
    for axis, channels in zip((1, 2, 3), axis_channels(width), strict=True):
        count = valid.cumsum(axis)
        last = count.narrow(axis, -1, 1)
        axes.append(sine_code(count / (last + 1e-6) * (2 * math.pi), channels))
    return rearrange(torch.cat(axes, -1), "b t h w c -> b t c h w")
