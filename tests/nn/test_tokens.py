"""Tokens of a pyramid and back."""

import torch

from maskreel.nn.layers.tokens import with_levels
from maskreel.structures import ClipMemory

SIZES = ((2, 3), (1, 2), (1, 1))


def memory(sizes: tuple[tuple[int, int], ...], value: float) -> ClipMemory:
    count = sum(h * w for h, w in sizes)
    return ClipMemory(
        tokens=torch.full((1, 2, count, 4), value),
        is_padding=torch.zeros(1, 2, count, dtype=torch.bool),
        level_sizes=sizes,
        valid_ratios=torch.ones(1, len(sizes), 2),
    )


def test_encoded_tokens_take_the_places_of_their_levels_and_the_others_stay() -> None:
    encoded = memory((SIZES[0], SIZES[2]), 0.0)
    encoded.tokens[:, :, :6], encoded.tokens[:, :, 6:] = 1.0, 3.0
    joined = with_levels(memory(SIZES, 7.0), encoded, (0, 2))
    assert joined.tokens[0, 0, :, 0].tolist() == [1.0] * 6 + [7.0] * 2 + [3.0]
    assert torch.equal(joined.tokens, joined.tokens[:, :1, :, :1].expand_as(joined.tokens))
    assert joined.level_sizes == SIZES
