"""Attention among the queries of one set."""

from jaxtyping import Float
from torch import Tensor, nn


class QueryAttention(nn.Module):
    """Self-attention among the queries of one set; position is added to queries and keys."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, num_heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "n q c"], position: Float[Tensor, "n q c"]) -> Float[Tensor, "n q c"]:
        keys = x + position
        return self.norm(x + self.dropout(self.attention(keys, keys, x, need_weights=False)[0]))
