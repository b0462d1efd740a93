"""Class scores of an instance query."""

import math

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class ClassHead(nn.Linear):
    """Sigmoid logits per class; starts at a probability of one in a hundred (focal loss, section 4.1)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(width, num_classes)
        nn.init.constant_(self.bias, -math.log(99))

    def forward(self, input: Float[Tensor, "b q c"]) -> Float[Tensor, "b q 1 k"]:
        return super().forward(input)[:, :, None]


class FrameClassHead(nn.Linear):
    """Softmax logits per class and frame; the last one means "no object" (DETR)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(width, num_classes + 1)

    def forward(self, input: Float[Tensor, "b t q c"]) -> Float[Tensor, "b q t k"]:
        return rearrange(super().forward(input), "b t q k -> b q t k")
