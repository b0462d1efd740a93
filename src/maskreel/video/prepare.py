"""Frames as a network reads them: resized, normalised, padded and stacked."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from maskreel.structures import Clip, ClipBatch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB values in [0, 1]; the backbones' weights expect frames normalised with them."""

MAX_ASPECT = 4
"""The longest side shown to the network, in shortest sides; longer frames are shrunk until it fits."""


def fit_size(height: int, width: int, *, shortest: int, longest: int | None = None) -> tuple[int, int]:
    """(height, width) with the given shortest side, or less where the longest side would exceed `longest` (DETR).

    The longer side is cut to whole pixels, not rounded, and may exceed `longest` by what rounding the shorter one adds.
    """
    if longest is not None and max(height, width) / min(height, width) * shortest > longest:
        shortest = max(1, round(longest * min(height, width) / max(height, width)))
    if min(height, width) == shortest:
        return height, width
    if width < height:
        return int(shortest * height / width), shortest
    return shortest, int(shortest * width / height)


def resize_frames(frames: UInt8[Tensor, "t 3 h w"], size: tuple[int, int]) -> UInt8[Tensor, "t 3 new_h new_w"]:
    """Bilinear, low-pass filtered where frames shrink."""
    if frames.shape[-2:] == size:
        return frames
    # Channels last is the layout of decoded frames, and about five times as fast here.
    channels_last = frames.contiguous(memory_format=torch.channels_last)
    return F.interpolate(channels_last, size=size, mode="bilinear", align_corners=False, antialias=True)


def show_frame(
    pixels: UInt8[np.ndarray, "h w 3"],
    short_side: int,
    long_side: int | None = None,
    largest: tuple[int, int] | None = None,
) -> UInt8[Tensor, "3 new_h new_w"]:
    """A copy of a frame at the size that a network is to see: its shortest side, or less to keep within the longest.

    Without a longest side that is `MAX_ASPECT` times the shortest. What does not fit into `largest`, (height, width),
    is shrunk until it does.
    """
    size = fit_size(*pixels.shape[:2], shortest=short_side, longest=long_side or MAX_ASPECT * short_side)
    if largest is not None and (size[0] > largest[0] or size[1] > largest[1]):
        share = min(largest[0] / size[0], largest[1] / size[1])
        size = (max(1, int(size[0] * share)), max(1, int(size[1] * share)))
    return resize_frames(torch.tensor(pixels).permute(2, 0, 1)[None], size)[0].contiguous()


def normalise(frames: UInt8[Tensor, "*any 3 h w"]) -> Float[Tensor, "*any 3 h w"]:
    """Frames of 0 to 255 with the ImageNet mean taken off, in units of its std."""
    mean = 255 * torch.tensor(IMAGENET_MEAN, device=frames.device).view(3, 1, 1)
    std = 255 * torch.tensor(IMAGENET_STD, device=frames.device).view(3, 1, 1)
    return (frames.float() - mean) / std


def pad_clips(clips: Sequence[Clip], multiple: int = 32) -> ClipBatch:
    """Normalise clips of equal length and pad them with zeros to one size, each side a multiple of `multiple`."""
    return pad_frames([normalise(clip.frames) for clip in clips], multiple)


def pad_frames(frames: Sequence[Float[Tensor, "t 3 _ _"]], multiple: int = 32) -> ClipBatch:
    """Stack normalised frames of clips of equal length, with zeros on the right and at the bottom."""
    lengths = sorted({len(clip) for clip in frames})
    if len(lengths) != 1:
        raise ValueError(f"a batch needs clips of equal length, at least one clip; these have {lengths} frames")
    height, width = (-(-max(clip.shape[axis] for clip in frames) // multiple) * multiple for axis in (-2, -1))
    padded = frames[0].new_zeros(len(frames), lengths[0], 3, height, width)
    is_padding = torch.ones(len(frames), lengths[0], height, width, dtype=torch.bool, device=padded.device)
    for b, clip in enumerate(frames):
        rows, columns = clip.shape[-2:]
        padded[b, ..., :rows, :columns] = clip
        is_padding[b, :, :rows, :columns] = False
    return ClipBatch(frames=padded, is_padding=is_padding)
