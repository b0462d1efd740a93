"""Assignment of instances to objects where every instance has a query, a box and a class vote per frame (VisTR)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from maskreel.criteria.matching import assign, queries_of_all_layers
from maskreel.geometry.boxes import cxcywh_to_xyxy, giou, iou
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction, Match

EPSILON = 1e-6
"""What VisTR adds above and below in overlaps of boxes: its absent objects have boxes without area."""

BoxDistance = Literal["l1_mean", "l1_sum"]
Overlap = Literal["iou", "giou"]


@dataclass(frozen=True, kw_only=True)
class SequenceCosts:
    """Weights of the three parts of the assignment cost of a sequence (VisTR, equation 2), all means over frames."""

    label: float = 1.0
    box: float = 5.0
    overlap: float = 2.0
    box_distance: BoxDistance = "l1_mean"
    """L1 distance of two boxes: mean over their four numbers (VisTR), or sum (DETR)."""
    overlap_measure: Overlap = "iou"
    """`iou` with an epsilon (VisTR), or `giou` without (DETR); the loss is a GIoU with or without the epsilon."""

    @property
    def epsilon(self) -> float:
        """Added above and below in overlaps of boxes."""
        return EPSILON if self.overlap_measure == "iou" else 0.0


def sequence_cost(
    layer: LayerPrediction,
    clip: int,
    target: ClipTarget,
    costs: SequenceCosts,
    *,
    is_real: Bool[Tensor, " t"],
    absent_label: int | None = None,
) -> Float[Tensor, "q n"]:
    """Cost of every pair of instance and object of one clip, mean over its real frames.

    Where an object is absent its box is zero and takes part. Its label does not, unless `absent_label` names the class
    whose probability then counts.
    """
    weight = is_real.to(layer.boxes.dtype) / is_real.sum()
    probability = layer.class_logits[clip].softmax(-1)
    own = rearrange(probability[..., target.labels], "q t n -> q n t")
    other = torch.zeros_like(own) if absent_label is None else probability[:, None, :, absent_label].expand_as(own)
    label = torch.where(target.is_visible, own, other) @ weight
    boxes, wanted = layer.boxes[clip][:, None], target.boxes[None]
    difference = (boxes - wanted).abs()
    distance = difference.mean(-1) if costs.box_distance == "l1_mean" else difference.sum(-1)
    corners, wanted_corners = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(wanted)
    measure = iou if costs.overlap_measure == "iou" else giou
    overlap = measure(corners, wanted_corners, epsilon=costs.epsilon) @ weight
    return -costs.label * label + costs.box * (distance @ weight) - costs.overlap * overlap


@torch.no_grad()
def match_sequences(
    prediction: ClipPrediction,
    targets: Sequence[ClipTarget],
    costs: SequenceCosts,
    *,
    is_real: Bool[Tensor, "b t"],
    absent_label: int | None = None,
) -> list[list[Match]]:
    """Matches [layer][clip]. All costs cross to the CPU in one tensor."""
    queries = queries_of_all_layers(prediction)
    table = [
        sequence_cost(queries, clip, target, costs, is_real=is_real[clip], absent_label=absent_label)
        for clip, target in enumerate(targets)
    ]
    return assign(table, len(prediction.layers))


def supervised_frames(match: Match, target: ClipTarget, *, legacy_valid_index: bool) -> Bool[Tensor, "n t"]:
    """Frames of every match in which its query answers for its object: those in which the object is seen.

    The published matcher takes, for its j-th match, the frames in which object j is seen, and not the object assigned
    there: `legacy_valid_index` reproduces that.
    """
    return target.is_visible[: len(match.target)] if legacy_valid_index else target.is_visible[match.target]
