"""Sine representation network: layers whose nonlinearity is a sine (SIREN, arXiv 2006.09661)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SineLayer(nn.Linear):
    """sin(w0 (W x + b)), weights and biases drawn so that its outputs keep their distribution from layer to layer.

    Uniform within sqrt(6 / inputs) / w0, or within 1 / inputs for the `first` layer of a network of coordinates.
    """

    def __init__(self, inputs: int, outputs: int, *, w0: float = 1.0, first: bool = False) -> None:
        self.w0, self.first = w0, first
        super().__init__(inputs, outputs)

    def reset_parameters(self) -> None:
        bound = 1 / self.in_features if self.first else math.sqrt(6 / self.in_features) / self.w0
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, input: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:
        return torch.sin(self.w0 * super().forward(input))


class SineNetwork(nn.Module):
    """Sine layers with dropout, then a linear layer with GELU, then a linear output (TT-SPN, figure 3).

    The first layer has `hidden` outputs, each further one half of those before it. The linear output behind the GELU is
    ours: logits and boxes must be able to become negative. With `is_siren` the first layer is drawn as SIREN's.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        hidden: int = 128,
        sine_layers: int = 2,
        w0: float = 1.0,
        dropout: float = 0.2,
        is_siren: bool = False,
    ) -> None:
        super().__init__()
        widths = [width] + [hidden >> index for index in range(sine_layers + 1)]
        self.sines = nn.ModuleList(
            SineLayer(widths[i], widths[i + 1], w0=w0, first=is_siren and i == 0) for i in range(sine_layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(widths[-2], widths[-1])
        self.out = nn.Linear(widths[-1], out)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n d"]:
        for sine in self.sines:
            x = self.dropout(sine(x))
        return self.out(F.gelu(self.linear(x)))
