"""Loss terms against scalar loops in float64."""

import math

import torch
from torch import Tensor

from maskreel.criteria.losses import class_loss, dice_loss, focal_terms, mask_focal_loss


def focal(logit: float, target: float) -> float:
    """alpha 0.25, gamma 2; written from the paper's definition of p_t and alpha_t."""
    probability = 1 / (1 + math.exp(-logit))
    p_t, alpha_t = (probability, 0.25) if target == 1 else (1 - probability, 0.75)
    return -alpha_t * (1 - p_t) ** 2 * math.log(p_t)


def dice(logits: Tensor, target: Tensor) -> float:
    probabilities = [1 / (1 + math.exp(-x)) for x in logits.flatten().tolist()]
    truth = target.flatten().tolist()
    overlap = sum(p * g for p, g in zip(probabilities, truth, strict=True))
    return 1 - (2 * overlap + 1) / (sum(probabilities) + sum(truth) + 1)


def masks(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(3, 2, 4, 5, generator=generator) < 0.4).double()


def test_focal_terms_follow_the_definition() -> None:
    logits, target = masks()
    expected = [focal(x, y) for x, y in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True)]
    torch.testing.assert_close(focal_terms(logits, target).flatten(), torch.tensor(expected, dtype=torch.float64))


def test_mask_losses_are_taken_per_object_over_all_frames_and_added() -> None:
    logits, target = masks()
    pixels = logits[0].numel()
    focal_sum = sum(
        sum(focal(x, y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)) / pixels
        for a, b in zip(logits, target, strict=True)
    )
    dice_sum = sum(dice(a, b) for a, b in zip(logits, target, strict=True))
    torch.testing.assert_close(mask_focal_loss(logits, target).item(), focal_sum)
    torch.testing.assert_close(dice_loss(logits, target).item(), dice_sum)


def test_mask_losses_of_no_objects_are_zero_and_have_a_gradient() -> None:
    logits = torch.zeros(0, 2, 4, 5, requires_grad=True)
    total = mask_focal_loss(logits, torch.zeros(0, 2, 4, 5)) + dice_loss(logits, torch.zeros(0, 2, 4, 5))
    total.backward()
    assert total == 0
    assert logits.grad is not None


def test_a_perfect_mask_costs_next_to_nothing() -> None:
    _, target = masks()
    sure = 40 * target - 20
    assert mask_focal_loss(sure, target) < 1e-12
    assert dice_loss(sure, target) < 1e-6


def test_matched_queries_want_their_class_and_the_others_none() -> None:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = {(0, 1, 2), (0, 3, 0), (1, 0, 0)}
    ours = class_loss(
        logits,
        [torch.tensor([1, 3]), torch.tensor([0])],
        [torch.tensor([2, 0]), torch.tensor([0])],
    )
    expected = sum(
        focal(logits[b, q, k].item(), float((b, q, k) in wanted)) for b in range(2) for q in range(4) for k in range(3)
    )
    torch.testing.assert_close(ours.item(), expected)
