"""The feed-forward half of a transformer layer, and small multilayer perceptrons."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Literal["relu", "gelu"]

NormPlace = Literal["post", "pre"]
"""Where a transformer layer normalises: behind the sum of each half's input and output, or in front of each half."""


def activate(x: Tensor, kind: Activation) -> Tensor:
    """The nonlinearity of a block, on a tensor that nobody else holds.

    Without gradients relu works in place. With them that would cost more than it saves: the output of a linear layer is
    a view, and autograd differentiates a change to a view by copies of the whole.
    """
    return F.relu(x, inplace=not x.requires_grad) if kind == "relu" else F.gelu(x)


def add(x: Float[Tensor, "*n c"], y: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
    """x + y on an x that nobody else holds: in place where `activate` is."""
    return x + y if x.requires_grad else x.add_(y)


class FeedForward(nn.Module):
    """LayerNorm(x + W2 relu(W1 x)), or x + W2 relu(W1 LayerNorm(x)) with pre-norm; dropout after each product."""

    def __init__(
        self, width: int, hidden: int, dropout: float, *, activation: Activation = "relu", norm: NormPlace = "post"
    ) -> None:
        super().__init__()
        self.is_pre_norm = norm == "pre"
        self.activation: Activation = activation
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        hidden = self.dropout(activate(self.linear1(self.norm(x) if self.is_pre_norm else x), self.activation))
        x = x + self.dropout(self.linear2(hidden))
        return x if self.is_pre_norm else self.norm(x)


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, width: int, hidden: int, out: int, num_layers: int = 3) -> None:
        super().__init__()
        widths = [width] + [hidden] * (num_layers - 1) + [out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)
