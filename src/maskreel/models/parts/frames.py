"""What all models ask of a batch of frames."""

import torch
from jaxtyping import Float
from torch import Tensor

from maskreel.structures import ClipBatch


def frame_sizes(frames: ClipBatch) -> Float[Tensor, "b t 2"]:
    """(width, height) of the un-padded frames in pixels."""
    valid = ~frames.is_padding
    return torch.stack((valid[:, :, 0].sum(-1), valid[..., 0].sum(-1)), -1).to(frames.frames.dtype)
