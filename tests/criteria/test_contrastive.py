"""The contrastive loss against its formula."""

import math

import pytest
import torch
from torch import nn

from maskreel.criteria.contrastive import ContrastiveSetLoss, Reduction, contrastive_loss
from maskreel.structures import ClipPrediction, LayerPrediction
from tests.builders import clip_batch


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_the_formula(reduction: Reduction) -> None:
    """Equations 7 and 8 in float64: for every ordered pair of frames, each query against all queries."""
    torch.manual_seed(0)
    b, q, t, tau = 2, 4, 3, 0.07
    embedding = torch.randn(b, q, t, 5, dtype=torch.float64)
    terms = []
    for clip in range(b):
        for first in range(t):
            for second in range(t):
                if first == second:
                    continue
                term = 0.0
                for query in range(q):
                    own = embedding[clip, query, first]
                    cosines = [
                        torch.dot(own, other) / (own.norm() * other.norm()) for other in embedding[clip, :, second]
                    ]
                    exponents = [math.exp(cosine / tau) for cosine in cosines]
                    term -= math.log(exponents[query] / sum(exponents)) / q
                terms.append(term)
    expected = sum(terms) / b / (t * (t - 1) if reduction == "mean" else 1)
    ours = contrastive_loss(embedding, temperature=tau, reduction=reduction)
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_queries_that_stay_themselves_cost_nothing_and_confused_ones_the_logarithm_of_their_number() -> None:
    distinct = torch.eye(6)[None, :, None].expand(1, 6, 3, 6)
    assert contrastive_loss(distinct) < 1e-4
    alike = torch.ones(1, 6, 3, 6)
    assert contrastive_loss(alike).item() == pytest.approx(math.log(6), rel=1e-5)


def test_a_single_frame_costs_nothing_and_has_a_gradient() -> None:
    embedding = torch.randn(2, 4, 1, 5, requires_grad=True)
    loss = contrastive_loss(embedding)
    loss.backward()
    assert loss == 0
    assert embedding.grad is not None


def test_gradients_of_the_loss() -> None:
    torch.manual_seed(0)
    embedding = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: contrastive_loss(x, temperature=0.5, reduction="sum"), (embedding,))


class NoLoss(nn.Module):
    def forward(self, prediction: object, targets: object, clip: object) -> dict[str, torch.Tensor]:
        return {"label": torch.tensor(3.0)}


def test_layers_with_embeddings_are_summed_and_others_left_out() -> None:
    torch.manual_seed(0)
    embeddings = [None, torch.randn(1, 4, 3, 5), torch.randn(1, 4, 3, 5)]
    layers = tuple(
        LayerPrediction(class_logits=torch.zeros(1, 4, 1, 2), boxes=torch.zeros(1, 4, 3, 4), embedding=embedding)
        for embedding in embeddings
    )
    criterion = ContrastiveSetLoss(NoLoss(), weight=2.0, temperature=0.07, reduction="mean")
    clip = clip_batch([(32, 32)])
    losses = criterion(ClipPrediction(layers=layers), [], clip)
    expected = 2.0 * (contrastive_loss(embeddings[1]) + contrastive_loss(embeddings[2]))
    torch.testing.assert_close(losses["contrast"], expected)
    assert losses["label"] == 3
    assert set(criterion(ClipPrediction(layers=layers[:1]), [], clip)) == {"label"}


def test_cosines_are_taken_in_float32_where_the_rest_runs_in_less() -> None:
    torch.manual_seed(0)
    embedding = torch.randn(2, 6, 3, 8)
    plain = contrastive_loss(embedding)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = contrastive_loss(embedding)
    assert mixed.dtype == torch.float32
    assert mixed == plain


def test_clips_of_a_batch_are_contrasted_within_themselves() -> None:
    torch.manual_seed(0)
    embedding = torch.randn(3, 4, 3, 5)
    alone = [contrastive_loss(clip[None]) for clip in embedding]
    torch.testing.assert_close(contrastive_loss(embedding), torch.stack(alone).mean())
