"""Attention of the box queries of one instance across frames (MS-STS VIS, supplement S1.3; TAFormer)."""

from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.nn.layers.attention import QueryAttention
from maskreel.nn.layers.position import FrameCode, frame_code

Place = Literal["before_self", "after_self"]
"""On which side of the self-attention among the box queries of a frame."""


class TemporalAttention(nn.Module):
    """The box queries of an instance look at each other, the instances do not.

    `code` adds a frame's place in the clip to queries and keys; without it the order of frames does not matter.
    """

    def __init__(
        self, width: int, *, place: Place, code: FrameCode = "none", num_heads: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.place: Place = place
        self.code: FrameCode = code
        self.frames = QueryAttention(width, num_heads, dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, box_queries: Float[Tensor, "b t q c"], position: Float[Tensor, "b q c"]
    ) -> Float[Tensor, "b t q c"]:
        b, t, q, c = box_queries.shape
        position = position[:, :, None].expand(b, q, t, c)
        if self.code != "none":
            position = position + frame_code(t, c, self.code, position.device)
        x = self.frames(rearrange(box_queries, "b t q c -> (b q) t c"), rearrange(position, "b q t c -> (b q) t c"))
        return rearrange(x, "(b q) t c -> b t q c", b=b)
