"""Box of a query that stands for one instance in one frame."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from maskreel.nn.layers.feedforward import Perceptron


class FrameBoxHead(Perceptron):
    """Three linear layers; boxes are (centre x, centre y, width, height) in fractions of the frame (DETR)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 4)

    def forward(self, x: Float[Tensor, "b t q c"]) -> Float[Tensor, "b q t 4"]:
        return rearrange(super().forward(x).sigmoid(), "b t q r -> b q t r")
