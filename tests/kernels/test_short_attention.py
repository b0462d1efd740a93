"""Attention within groups of a few tokens, against the formula in float64."""

import pytest
import torch
from einops import rearrange
from torch import Tensor

from maskreel.kernels.short_attention import attend_short

pytestmark = pytest.mark.usefixtures("each_backend")


def by_formula(query: Tensor, key: Tensor, value: Tensor, num_heads: int) -> Tensor:
    q, k, v = (rearrange(x.double(), "b t s (m d) -> b s m t d", m=num_heads) for x in (query, key, value))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return rearrange(weights @ v, "b s m t d -> b t s (m d)")


@pytest.mark.parametrize(
    ("clips", "tokens", "keys", "groups", "channels", "heads"),
    [(1, 5, 5, 100, 64, 8), (2, 5, 10, 33, 64, 8), (1, 1, 1, 1, 3, 1), (3, 2, 7, 16, 12, 4), (1, 60, 120, 5, 24, 6)],
)
@pytest.mark.parametrize("has_gradient", [False, True])
def test_it_is_softmax_attention_of_every_group_on_its_own(
    clips: int, tokens: int, keys: int, groups: int, channels: int, heads: int, has_gradient: bool
) -> None:
    torch.manual_seed(0)
    query = 3 * torch.randn(clips, tokens, groups, channels)
    key, value = torch.randn(2, clips, keys, groups, channels)
    expected = by_formula(query, key, value, heads)
    output = attend_short(query.requires_grad_(has_gradient), key, value, heads)
    assert output.requires_grad == has_gradient
    torch.testing.assert_close(output.detach().double(), expected, rtol=0, atol=4e-6)


def test_parts_of_a_projection_are_read_where_they_lie() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 21, 72).chunk(3, -1)
    whole = attend_short(query.contiguous(), key.contiguous(), value.contiguous(), 4)
    assert torch.equal(attend_short(query, key, value, 4), whole)


def test_large_scores_neither_overflow_nor_lose_the_winner() -> None:
    query = torch.full((1, 1, 3, 8), 1e4)
    key = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, 3, 8)
    value = torch.tensor([5.0, 7.0]).view(1, 2, 1, 1).expand(1, 2, 3, 8)
    assert torch.equal(attend_short(query, key, value, 2), torch.full((1, 1, 3, 8), 5.0))


def test_no_groups_give_no_output() -> None:
    empty = torch.empty(1, 2, 0, 8)
    assert attend_short(empty, empty, empty, 2).shape == (1, 2, 0, 8)


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 5, 1000, 16)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = attend_short(query, key, value, 4)
        torch.set_num_threads(3)
        assert torch.equal(attend_short(query, key, value, 4), alone)
    finally:
        torch.set_num_threads(threads)
