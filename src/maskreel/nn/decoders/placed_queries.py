"""A start of frame queries at which they differ from the first step on, and their growth from one frame to a clip.

Drawn at random, all queries of a VisTR read the same mean of a clip, and long training passes before they part: the
decoder starts from zeros, so that its first norm multiplies the gradient of one part by hundreds, and clipping by norm
takes it from all others. Placed queries begin as codes of places, and read what is there.
"""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.position import axis_channels, sine_code

STRENGTH = 8.0
"""Of the codes in the query table, whose rows are otherwise drawn from N(0, 1)."""


@torch.no_grad()
def place_queries(decoder: FrameQueryDecoder, *, rows: int, columns: int) -> None:
    """Start every query at its frame and one of rows x columns places of it, taken in turns.

    Rows of the table are 3-D sine codes (those of the tokens) less their mean; dense cross-attention starts with keys
    projected as queries are; the bias behind the first layer's self-attention is drawn from N(0, 1), because its input
    is zero. No parameter is new.
    """
    width = decoder.queries.weight.shape[1]
    query = torch.arange(decoder.num_queries)
    y, x = (query // columns % rows + 0.5) / rows, (query % columns + 0.5) / columns
    time = _times(decoder.num_frames)[:, None].expand(-1, len(query))
    axes = zip((time, y.expand_as(time), x.expand_as(time)), axis_channels(width), strict=True)
    code = torch.cat([sine_code(2 * math.pi * axis, channels) for axis, channels in axes], -1)
    code = rearrange(code, "t q c -> (t q) c")
    decoder.queries.weight.copy_(STRENGTH * (code - code.mean(0)))
    for index, layer in enumerate(decoder.layers):
        if isinstance(layer.cross_attention, Attention):
            weight = layer.cross_attention.in_proj_weight
            weight[width : 2 * width].copy_(weight[:width])
        if index == 0:
            assert isinstance(layer.self_attention, Attention), "queries attend to each other"
            nn.init.normal_(layer.self_attention.out_proj.bias)


def grown_queries(table: Float[Tensor, "q c"], num_frames: int) -> Float[Tensor, "t_q c"]:
    """The queries of a model of single frames for clips: repeated, and moved by the code of each frame's time."""
    channels = axis_channels(table.shape[1])[0]
    code = sine_code(2 * math.pi * _times(num_frames), channels)
    rows = repeat(table, "q c -> t q c", t=num_frames).clone()
    rows[..., :channels] += STRENGTH * (code - code[-1])[:, None].to(table)
    return rearrange(rows, "t q c -> (t q) c")


def _times(num_frames: int) -> Float[Tensor, " t"]:
    """Of the frames, as the tokens' code counts them: 1 is the last frame, and the only one of a single frame."""
    return (torch.arange(num_frames) + 1.0) / num_frames
