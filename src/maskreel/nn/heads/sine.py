"""Class and box of a query by sine representation networks (TT-SPN, figure 3)."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from maskreel.nn.layers.sine_network import SineNetwork


class SineClassHead(SineNetwork):
    """Softmax logits per class and frame; the last one means "no object"."""

    def __init__(
        self,
        width: int,
        num_classes: int,
        *,
        sine_layers: int = 2,
        w0: float = 1.0,
        dropout: float = 0.2,
        is_siren: bool = False,
    ) -> None:
        super().__init__(width, num_classes + 1, sine_layers=sine_layers, w0=w0, dropout=dropout, is_siren=is_siren)

    def forward(self, x: Float[Tensor, "b t q c"]) -> Float[Tensor, "b q t k"]:
        return rearrange(super().forward(x), "b t q k -> b q t k")


class SineBoxHead(SineNetwork):
    """Boxes (centre x, centre y, width, height) in fractions of the frame."""

    def __init__(self, width: int, *, w0: float = 1.0, dropout: float = 0.2, is_siren: bool = False) -> None:
        super().__init__(width, 4, w0=w0, dropout=dropout, is_siren=is_siren)

    def forward(self, x: Float[Tensor, "b t q c"]) -> Float[Tensor, "b q t 4"]:
        return rearrange(super().forward(x).sigmoid(), "b t q r -> b q t r")
