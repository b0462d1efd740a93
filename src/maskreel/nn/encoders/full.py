"""Dense encoder: every token of the clip attends to every other, over space and time (VisTR, section 3.2)."""

from dataclasses import replace

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maskreel.nn.layers.checkpointing import Checkpointed
from maskreel.nn.layers.deformable import xavier_matrices
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.feedforward import Activation, FeedForward, NormPlace
from maskreel.nn.layers.tokens import flatten_pyramid
from maskreel.structures import ClipMemory, FeatureMap


class FullEncoderLayer(nn.Module):
    """Self-attention of all tokens, then feed-forward. Position is added to queries and keys."""

    def __init__(
        self,
        width: int,
        *,
        hidden: int,
        num_heads: int,
        dropout: float,
        attention_dropout: float,
        activation: Activation,
        norm: NormPlace,
    ) -> None:
        super().__init__()
        self.is_pre_norm = norm == "pre"
        self.attention = Attention(width, num_heads, dropout=attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.feedforward = FeedForward(width, hidden, dropout, activation=activation, norm=norm)

    def forward(
        self, x: Float[Tensor, "b s c"], position: Float[Tensor, "b s c"], is_padding: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b s c"]:
        content = self.norm(x) if self.is_pre_norm else x
        placed = content + position
        x = x + self.dropout(self.attention(placed, placed, content, is_padding))
        return self.feedforward(x if self.is_pre_norm else self.norm(x))


class FullEncoder(Checkpointed):
    """Turns one map of a clip into tokens that know of the whole clip; padding is never read.

    With pre-norm a last norm follows all layers.
    """

    def __init__(
        self,
        width: int,
        *,
        num_layers: int = 6,
        hidden: int = 2048,
        num_heads: int = 8,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: Activation = "relu",
        norm: NormPlace = "post",
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            FullEncoderLayer(
                width,
                hidden=hidden,
                num_heads=num_heads,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation=activation,
                norm=norm,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        xavier_matrices(self)

    def forward(self, level: FeatureMap, position: Float[Tensor, "b t c h w"]) -> ClipMemory:
        memory = flatten_pyramid((level,))
        x = rearrange(memory.tokens, "b t s c -> b (t s) c")
        place = rearrange(position, "b t c h w -> b (t h w) c")
        is_padding = rearrange(memory.is_padding, "b t s -> b (t s)")
        for layer in self.layers:
            x = self.run(layer, x, place, is_padding)
        return replace(memory, tokens=rearrange(self.norm(x), "b (t s) c -> b t s c", t=memory.tokens.shape[1]))
