"""Deformable attention against a loop written from its equation."""

import math

import pytest
import torch
from torch import Tensor, nn

from maskreel.nn.layers.deformable import DeformableAttention, ring_offsets, xavier_matrices
from maskreel.structures import ClipMemory

pytestmark = pytest.mark.usefixtures("each_backend")

SIZES = ((3, 4), (2, 2))


@pytest.fixture
def attention() -> DeformableAttention:
    torch.manual_seed(0)
    attention = DeformableAttention(8, num_levels=2, num_heads=2, num_points=3).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.7)
    return attention


def memory(seed: int = 1) -> ClipMemory:
    generator = torch.Generator().manual_seed(seed)
    return ClipMemory(
        tokens=torch.randn(2, 2, 16, 8, generator=generator, dtype=torch.float64),
        is_padding=torch.rand(2, 2, 16, generator=generator) < 0.2,
        level_sizes=SIZES,
        valid_ratios=torch.ones(2, 2, 2),
    )


def bilinear(rows: Tensor, height: int, width: int, x: float, y: float) -> Tensor:
    """Value at (x, y) in fractions of the map; nothing outside."""
    column, row = x * width - 0.5, y * height - 0.5
    total = torch.zeros_like(rows[0])
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                total = total + rows[i * width + j] * (1 - abs(row - i)) * (1 - abs(column - j))
    return total


def slow(attention: DeformableAttention, query: Tensor, reference: Tensor, memory: ClipMemory) -> Tensor:
    """Clip by clip, frame by frame, query by query, head by head, level by level, point by point."""
    out = torch.zeros_like(query)
    for b, t, q in ((b, t, q) for b in range(2) for t in range(2) for q in range(query.shape[2])):
        value = attention.value_proj(memory.tokens[b, t]) * ~memory.is_padding[b, t][:, None]
        offsets = attention.sampling_offsets(query[b, t, q]).view(2, 2, 3, 2)
        weights = attention.attention_weights(query[b, t, q]).view(2, 6).softmax(-1).view(2, 2, 3)
        heads = []
        for m in range(2):
            total, start = torch.zeros(4, dtype=torch.float64), 0
            for l, (height, width) in enumerate(SIZES):
                rows = value[start : start + height * width, 4 * m : 4 * m + 4]
                start += height * width
                for p in range(3):
                    dx, dy = offsets[m, l, p].tolist()
                    x, y, *box = reference[b, t, q, l].tolist()
                    if box:
                        x, y = x + dx / 3 * box[0] / 2, y + dy / 3 * box[1] / 2
                    else:
                        x, y = x + dx / width, y + dy / height
                    total = total + weights[m, l, p] * bilinear(rows, height, width, x, y)
            heads.append(total)
        out[b, t, q] = attention.output_proj(torch.cat(heads))
    return out


@pytest.mark.parametrize("numbers", [2, 4])
def test_attention_is_that_of_the_loop(attention: DeformableAttention, numbers: int) -> None:
    query = torch.randn(2, 2, 3, 8, dtype=torch.float64)
    reference = torch.rand(2, 2, 3, 2, numbers, dtype=torch.float64)
    with torch.no_grad():
        ours = attention(query, reference, memory())
        torch.testing.assert_close(ours, slow(attention, query, reference, memory()), rtol=1e-9, atol=1e-9)


def test_padded_tokens_are_never_read(attention: DeformableAttention) -> None:
    query = torch.randn(2, 2, 3, 8, dtype=torch.float64)
    reference = torch.rand(2, 2, 3, 2, 2, dtype=torch.float64)
    clean = memory()
    dirty = ClipMemory(
        tokens=clean.tokens + 100 * clean.is_padding[..., None],
        is_padding=clean.is_padding,
        level_sizes=SIZES,
        valid_ratios=clean.valid_ratios,
    )
    assert torch.equal(attention(query, reference, clean), attention(query, reference, dirty))


def test_offsets_start_as_a_star_that_grows_with_the_point() -> None:
    ring = ring_offsets(8, 4)
    expected = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]
    for head, direction in enumerate(expected):
        for point in range(4):
            wanted = torch.tensor(direction) * (point + 1.0)
            torch.testing.assert_close(ring[head, point], wanted, rtol=0, atol=1e-5)


def test_a_fresh_module_reads_evenly_and_ignores_the_query() -> None:
    attention = DeformableAttention(8, num_levels=2, num_heads=2, num_points=3)
    assert not attention.sampling_offsets.weight.any()
    assert not attention.attention_weights.weight.any()
    assert not attention.attention_weights.bias.any()
    offsets = attention.sampling_offsets.bias.view(2, 2, 3, 2)
    assert torch.equal(offsets[:, 0], offsets[:, 1])
    assert torch.equal(offsets[:, 0], ring_offsets(2, 3))


def test_xavier_leaves_the_star_of_offsets_alone() -> None:
    attention = DeformableAttention(8, num_levels=2, num_heads=2, num_points=3)
    before = attention.sampling_offsets.bias.clone()
    xavier_matrices(nn.ModuleList([attention, nn.Linear(8, 8)]))
    assert torch.equal(attention.sampling_offsets.bias, before)
    assert not attention.sampling_offsets.weight.any()


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 does not divide into 3 attention heads"):
        DeformableAttention(10, num_levels=1, num_heads=3)
