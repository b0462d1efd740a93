"""Multi-head attention through PyTorch's fused kernel."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.errors import OptionError
from maskreel.nn.layers.recording import record_dense


class Attention(nn.Module):
    """Dense attention that never reads padded keys; its tensors are named and laid out as those of MultiheadAttention.

    Memory grows with the number of keys, not with queries x keys, as long as the kernel is fused. On the CPU it is not
    fused where attention weights are dropped, so `dropout` above zero costs queries x keys there in training.
    """

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if width % num_heads:
            raise OptionError(f"width {width} does not divide into {num_heads} attention heads")
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Float[Tensor, "b q c"],
        key: Float[Tensor, "b s c"],
        value: Float[Tensor, "b s c"],
        is_padding: Bool[Tensor, "b s"],
    ) -> Float[Tensor, "b q c"]:
        """`is_padding` marks keys that nobody may read; every clip has at least one other."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            rearrange(F.linear(x, weight, bias), "b s (m d) -> b m s d", m=self.num_heads)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        readable = rearrange(~is_padding, "b s -> b 1 1 s")
        record_dense(self, q, k, readable)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=readable, dropout_p=dropout)
        return self.out_proj(rearrange(attended, "b m q d -> b q (m d)"))
