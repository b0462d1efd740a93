"""Box of a query in a frame, as a correction of its reference."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.geometry.grids import inverse_sigmoid
from maskreel.nn.layers.feedforward import Perceptron


class BoxRefiner(Perceptron):
    """Adds to the logit of the reference: all four numbers of a box, or the centre of a point (Deformable DETR, A.4).

    Starts as the identity; `first` heads start with a width and height of sigmoid(-2).
    """

    def __init__(self, width: int, *, first: bool = False) -> None:
        super().__init__(width, width, 4)
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        if first:
            nn.init.constant_(last.bias[2:], -2.0)

    def refine(self, query: Float[Tensor, "b t q c"], reference: Float[Tensor, "b t q r"]) -> Float[Tensor, "b t q 4"]:
        delta = self(query)
        known = inverse_sigmoid(reference)
        if known.shape[-1] == 2:
            known = torch.cat((known, torch.zeros_like(known)), -1)
        return (delta + known).sigmoid()
