"""A loss on the maps that a model makes of single frames: every cell says of which class the object in it is."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from maskreel.criteria.processes import share_of
from maskreel.structures import ClipTarget, FeatureMap

NOTHING = 0.2
"""Weight of a cell without an object beside one with an object."""


class CellLoss(nn.Module):
    """Cross-entropy of a linear layer over a map, for backbones that queries alone teach too slowly.

    Ours: in the papers such backbones start from classifiers of ImageNet. The layer is no part of the model.
    """

    def __init__(self, width: int, num_classes: int, *, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.classify = nn.Linear(width, num_classes + 1)

    def forward(self, cells: FeatureMap, targets: Sequence[ClipTarget]) -> Float[Tensor, ""]:
        """Weighted mean over the cells that are no padding; the last class is "no object"."""
        logits = self.classify(cells.values.movedim(2, -1))
        nothing = logits.shape[-1] - 1
        is_read = ~cells.is_padding
        expected = classes_of_cells(cells, targets, nothing)[is_read]
        importance = logits.new_ones(nothing + 1)
        importance[nothing] = NOTHING
        mean = F.cross_entropy(logits[is_read], expected, weight=importance)
        return self.weight * mean * share_of(importance[expected].sum())


def classes_of_cells(cells: FeatureMap, targets: Sequence[ClipTarget], nothing: int) -> Int[Tensor, "b t h w"]:
    """The class of the object at the centre of each cell; `nothing` where there is none."""
    b, t, _, height, width = cells.values.shape
    stride = cells.stride
    expected = cells.values.new_full((b, t, height, width), nothing, dtype=torch.long)
    for clip, target in enumerate(targets):
        centres = target.masks[..., stride // 2 :: stride, stride // 2 :: stride]
        rows, columns = centres.shape[-2:]
        for label, mask in zip(target.labels, centres, strict=True):
            expected[clip, :, :rows, :columns][mask] = label
    return expected
