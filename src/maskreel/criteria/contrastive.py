"""Contrast between the instances of a clip (TAFormer, equations 7 and 8)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.structures import ClipBatch, ClipPrediction, ClipTarget

Reduction = Literal["mean", "sum"]


def contrastive_loss(
    embedding: Float[Tensor, "b q t c"], *, temperature: float = 0.07, reduction: Reduction = "mean"
) -> Float[Tensor, ""]:
    """InfoNCE between the queries of every ordered pair of different frames; mean over clips and queries.

    In frame t each query is to find itself among all queries of frame t', by the cosine of their embeddings over
    `temperature`; no labels are needed. `reduction` is over the t (t - 1) pairs: the paper's formula is a sum, whose
    size grows with the pairs. Zero for a single frame.
    """
    b, q, t, _ = embedding.shape
    if t == 1:
        return embedding.sum() * 0
    # Cosines over a small temperature need float32, also where the rest of the step runs in less.
    with torch.autocast(embedding.device.type, enabled=False):
        unit = F.normalize(embedding.to(torch.promote_types(embedding.dtype, torch.float32)), dim=-1)
        cosine = einsum(unit, unit, "b q t c, b r u c -> b t u q r")
    is_pair = ~torch.eye(t, dtype=torch.bool, device=embedding.device)
    logits = rearrange(cosine[:, is_pair] / temperature, "b pair q r -> (b pair q) r")
    own = repeat(torch.arange(q, device=embedding.device), "q -> (n q)", n=b * t * (t - 1))
    mean = F.cross_entropy(logits, own)
    return mean if reduction == "mean" else mean * (t * (t - 1))


class ContrastiveSetLoss(nn.Module):
    """Another loss, and `contrast`: the contrastive loss of every layer that has embeddings, summed."""

    def __init__(self, loss: nn.Module, *, weight: float, temperature: float, reduction: Reduction) -> None:
        super().__init__()
        self.loss, self.weight, self.temperature = loss, weight, temperature
        self.reduction: Reduction = reduction

    def forward(
        self, prediction: ClipPrediction, targets: Sequence[ClipTarget], clip: ClipBatch
    ) -> dict[str, Float[Tensor, ""]]:
        terms = [
            contrastive_loss(layer.embedding, temperature=self.temperature, reduction=self.reduction)
            for layer in prediction.layers
            if layer.embedding is not None
        ]
        losses = self.loss(prediction, targets, clip)
        return losses | ({"contrast": self.weight * torch.stack(terms).sum()} if terms else {})
