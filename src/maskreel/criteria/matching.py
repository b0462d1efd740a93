"""Which query answers for which object: optimal assignment over a whole clip (DETR, equation 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from maskreel.assignment import linear_sum_assignment
from maskreel.criteria.losses import ALPHA, GAMMA
from maskreel.geometry.boxes import cxcywh_to_xyxy, pairwise_giou
from maskreel.structures import ClipPrediction, ClipTarget, LayerPrediction, Match

BoxDistance = Literal["l2_flat", "l1_mean"]


@dataclass(frozen=True, kw_only=True)
class MatchCosts:
    """Weights of the three parts of the assignment cost."""

    label: float = 2.0
    box: float = 5.0
    giou: float = 2.0
    box_distance: BoxDistance = "l2_flat"
    """`l2_flat` is the Euclidean norm over all frames and coordinates, as published; `l1_mean` the L1 norm of a box,
    mean over frames."""


def focal_cost(logits: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """What choosing a class costs: focal loss if it is right minus focal loss if it is not (Deformable DETR)."""
    probability = logits.sigmoid()
    wrong = (1 - ALPHA) * probability**GAMMA * -(1 - probability + 1e-8).log()
    right = ALPHA * (1 - probability) ** GAMMA * -(probability + 1e-8).log()
    return right - wrong


def assignment_cost(
    layer: LayerPrediction, clip: int, target: ClipTarget, costs: MatchCosts, counts: Float[Tensor, "n t"]
) -> Float[Tensor, "q n"]:
    """Cost of every pair of query and object of one clip; `counts` is 1 in frames that take part."""
    label = focal_cost(layer.class_logits[clip, :, 0])[:, target.labels]
    boxes = layer.boxes[clip]
    frames = counts.sum(1).clamp(min=1)
    difference = (boxes[:, None] - target.boxes[None]) * counts[None, :, :, None]
    if costs.box_distance == "l2_flat":
        distance = difference.square().sum((-2, -1)).sqrt()
    else:
        distance = difference.abs().sum((-2, -1)) / frames
    overlap = rearrange(
        pairwise_giou(
            cxcywh_to_xyxy(rearrange(boxes, "q t r -> t q r")),
            cxcywh_to_xyxy(rearrange(target.boxes, "n t r -> t n r")),
        ),
        "t q n -> q n t",
    )
    overlap = reduce(overlap * counts, "q n t -> q n", "sum") / frames
    return costs.label * label + costs.box * distance - costs.giou * overlap


@torch.no_grad()
def match(
    prediction: ClipPrediction, targets: Sequence[ClipTarget], costs: MatchCosts, counts: Sequence[Float[Tensor, "_ t"]]
) -> list[list[Match]]:
    """Matches [layer][clip]. All costs cross to the CPU in one tensor."""
    queries = queries_of_all_layers(prediction)
    table = [
        assignment_cost(queries, clip, target, costs, count)
        for clip, (target, count) in enumerate(zip(targets, counts, strict=True))
    ]
    return assign(table, len(prediction.layers))


def queries_of_all_layers(prediction: ClipPrediction) -> LayerPrediction:
    """As if one layer had the queries of all, one layer after the other: what a query costs depends on no other."""
    return LayerPrediction(
        class_logits=torch.cat([layer.class_logits for layer in prediction.layers], 1),
        boxes=torch.cat([layer.boxes for layer in prediction.layers], 1),
    )


def assign(table: Sequence[Float[Tensor, "_ _"]], num_layers: int) -> list[list[Match]]:
    """Cheapest matches [layer][clip] for the costs of every clip: queries of all layers, one layer after the other,
    by objects. One transfer to the CPU, one back."""
    flat = torch.cat([cost.flatten() for cost in table]).cpu().numpy()
    if not np.isfinite(flat).all():
        raise FloatingPointError("the assignment cost is not finite: the model's boxes or class scores have diverged")
    per_clip, start = [], 0
    for cost in table:
        queries, objects = cost.shape
        part = flat[start : start + cost.numel()].reshape(num_layers, queries // num_layers, objects)
        start += cost.numel()
        per_clip.append([linear_sum_assignment(one) for one in part])
    pairs = [np.stack(per_clip[clip][layer]) for layer in range(num_layers) for clip in range(len(table))]
    together = torch.from_numpy(np.concatenate(pairs, 1)).to(table[0].device)
    matches = iter(
        Match(query=query, target=target) for query, target in together.split([p.shape[1] for p in pairs], 1)
    )
    return [[next(matches) for _ in table] for _ in range(num_layers)]
