"""Loss terms of one decoder layer; each is a sum over objects, still to be divided by their number."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

ALPHA, GAMMA = 0.25, 2.0


def focal_terms(logits: Float[Tensor, "*n"], target: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Sigmoid focal loss of every logit (arXiv 1708.02002, equation 5), alpha 0.25, gamma 2."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    wrong = probability + target - 2 * probability * target
    alpha = ALPHA * target + (1 - ALPHA) * (1 - target)
    return alpha * cross_entropy * wrong**GAMMA


def class_loss(
    logits: Float[Tensor, "b q k"], query: list[Int[Tensor, " _"]], labels: list[Int[Tensor, " _"]]
) -> Float[Tensor, ""]:
    """Focal loss over all queries and classes; a matched query has its object's class as target, others none."""
    target = torch.zeros_like(logits)
    for clip, (rows, columns) in enumerate(zip(query, labels, strict=True)):
        target[clip, rows, columns] = 1.0
    return focal_terms(logits, target).sum()


def mask_focal_loss(logits: Float[Tensor, "n t h w"], target: Float[Tensor, "n t h w"]) -> Float[Tensor, ""]:
    """Focal loss, mean over all pixels of all frames of an object."""
    return focal_terms(logits.flatten(1), target.flatten(1)).mean(1).sum()


def dice_loss(logits: Float[Tensor, "n t h w"], target: Float[Tensor, "n t h w"]) -> Float[Tensor, ""]:
    """1 - (2 |p g| + 1) / (|p| + |g| + 1) over all pixels of all frames of an object (V-Net)."""
    probability, target = logits.flatten(1).sigmoid(), target.flatten(1)
    overlap = 2 * (probability * target).sum(1)
    return (1 - (overlap + 1) / (probability.sum(1) + target.sum(1) + 1)).sum()
