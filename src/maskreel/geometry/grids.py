"""Reference points and cell positions of feature maps."""

import torch
from jaxtyping import Float
from torch import Tensor


def encoder_reference_points(
    level_sizes: tuple[tuple[int, int], ...], valid_ratios: Float[Tensor, "b l 2"]
) -> Float[Tensor, "b s l 2"]:
    """Centre (x, y) of every cell of every level, in fractions of the padded map of every level to be sampled."""
    centres = []
    for level, (height, width) in enumerate(level_sizes):
        y = (torch.arange(height, dtype=torch.float32, device=valid_ratios.device) + 0.5)[:, None]
        x = (torch.arange(width, dtype=torch.float32, device=valid_ratios.device) + 0.5)[None]
        ratio_x, ratio_y = valid_ratios[:, level, 0, None, None], valid_ratios[:, level, 1, None, None]
        grid = torch.stack(torch.broadcast_tensors(x / (ratio_x * width), y / (ratio_y * height)), -1)
        centres.append(grid.flatten(1, 2))
    return torch.cat(centres, 1)[:, :, None] * valid_ratios[:, None]


def cell_positions(height: int, width: int, stride: int, device: torch.device) -> Float[Tensor, "h w 2"]:
    """Pixel position (x, y) of every cell: stride * index + stride // 2."""
    y = torch.arange(height, dtype=torch.float32, device=device) * stride + stride // 2
    x = torch.arange(width, dtype=torch.float32, device=device) * stride + stride // 2
    return torch.stack(torch.broadcast_tensors(x[None], y[:, None]), -1)


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Logit of a probability; the probability and its complement are kept above `eps`."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
