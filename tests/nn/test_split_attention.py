"""Split attention over frames and scales, against loops over positions."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from maskreel.kernels.short_attention import attend_short
from maskreel.nn.layers.scale_pairs import ScalePairs
from maskreel.nn.layers.split_attention import InterScaleBlock, IntraScaleBlock, SplitScaleAttention
from maskreel.structures import ClipMemory

pytestmark = pytest.mark.usefixtures("each_backend")

SIZES = ((5, 6), (3, 3), (2, 2))
STARTS = (0, 30, 39)
TOKENS = 43
VALID = (5, 3)
"""Un-padded (rows, columns) of the finest level of the second clip."""


def is_valid(clip: int, level: int, y: int, x: int) -> bool:
    return clip == 0 or (y << level < VALID[0] and x << level < VALID[1])


def token(level: int, y: int, x: int) -> int:
    return STARTS[level] + y * SIZES[level][1] + x


def cells() -> list[tuple[int, int, int]]:
    return [(level, y, x) for level, (h, w) in enumerate(SIZES) for y, x in product(range(h), range(w))]


def pairs() -> ScalePairs:
    is_padding = torch.tensor([[not is_valid(clip, *cell) for cell in cells()] for clip in range(2)])
    memory = ClipMemory(
        tokens=torch.zeros(2, 3, TOKENS, 8),
        is_padding=is_padding[:, None].expand(-1, 3, -1),
        level_sizes=SIZES,
        valid_ratios=torch.ones(2, 3, 2),
    )
    return ScalePairs.of(memory)


def redraw(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module.double()


def tokens(width: int = 8) -> Tensor:
    return torch.randn(2, 3, TOKENS, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attended(query: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Softmax attention of one query, head by head."""
    parts = []
    for q, k, v in zip(query.chunk(heads), keys.chunk(heads, -1), values.chunk(heads, -1), strict=True):
        parts.append((k @ q / math.sqrt(len(q))).softmax(0) @ v)
    return torch.cat(parts)


def test_attention_among_frames_is_attention_at_every_position_alone() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 4, 6), torch.randn(2, 5, 4, 6)
    ours = attend_short(query, key, value, 2)
    for b, t, s in product(range(2), range(3), range(4)):
        torch.testing.assert_close(ours[b, t, s], attended(query[b, t, s], key[b, :, s], value[b, :, s], 2))


@pytest.mark.parametrize("residual", ["inside", "none"])
def test_the_intra_scale_block_equals_a_loop_over_positions(residual: str) -> None:
    block = redraw(IntraScaleBlock(8, inner=4, hidden=6, num_heads=2, dropout=0.0, residual=residual, is_last=False))
    x = tokens()
    ours = block(x, pairs())
    for b, t, s in product(range(2), range(3), range(TOKENS)):
        query, keys, values = block.qkv(x[b, :, s]).chunk(3, -1)
        y = block.attention_out(attended(query[t], keys, values, 2))
        y = block.norm(x[b, t, s] + y if residual == "inside" else y)
        added = block.out(block.linear1(y).relu())
        torch.testing.assert_close(ours[b, t, s], y + added if residual == "inside" else added)


def test_an_intra_scale_window_equals_a_loop_over_the_cells_around_a_position() -> None:
    shape = {"inner": 4, "hidden": 6, "num_heads": 2, "dropout": 0.0, "residual": "inside", "is_last": False}
    block = redraw(IntraScaleBlock(8, window=3, **shape))
    x = tokens()
    ours = block(x, pairs())
    for b, level in product(range(2), range(len(SIZES))):
        height, width = SIZES[level]
        for t, y, i in product(range(3), range(height), range(width)):
            if not is_valid(b, level, y, i):
                continue
            near = [
                token(level, v, u)
                for v, u in product(range(y - 1, y + 2), range(i - 1, i + 2))
                if 0 <= v < height and 0 <= u < width and is_valid(b, level, v, u)
            ]
            _, keys, values = block.qkv(x[b, :, near].flatten(0, 1)).chunk(3, -1)
            own = x[b, t, token(level, y, i)]
            query = block.qkv(own).chunk(3, -1)[0]
            z = block.norm(own + block.attention_out(attended(query, keys, values, 2)))
            expected = z + block.out(block.linear1(z).relu())
            torch.testing.assert_close(ours[b, t, token(level, y, i)], expected)


def upsampled(coarse: Tensor, clip: int, level: int, y: int, x: int) -> Tensor:
    """Bilinear at the cell's own place, over the un-padded cells of the coarser level; "t e"."""
    if level == len(SIZES) - 1:
        return coarse[:, token(level, y, x)] * is_valid(clip, level, y, x)
    height, width = SIZES[level + 1]
    total, share = torch.zeros_like(coarse[:, 0]), 0.0
    for j, i in product(range(height), range(width)):
        # Beyond the outermost cell centres the outermost cells count in full.
        at = [min(max((place + 0.5) / 2 - 0.5, 0.0), size - 1.0) for place, size in ((y, height), (x, width))]
        weight = max(0.0, 1 - abs(at[0] - j)) * max(0.0, 1 - abs(at[1] - i)) * is_valid(clip, level + 1, j, i)
        total, share = total + weight * coarse[:, token(level + 1, j, i)], share + weight
    return total / max(share, 1e-6)


def coarse_tokens(block: InterScaleBlock, level: int, x: Tensor, raw: Tensor) -> Tensor:
    """Projected tokens among which a level finds its partners: the coarsest level's are its own raw ones."""
    return block.coarse(raw if level == len(SIZES) - 1 else x)


def finished(block: InterScaleBlock, fine: Tensor, y: Tensor) -> Tensor:
    y = fine + block.attention_out(y)
    y = y + block.linear2(block.linear1(block.norm2(y)).relu())
    return block.out(y)


@pytest.mark.parametrize("concat", ["token", "channel"])
def test_the_inter_scale_block_equals_a_loop_over_positions(concat: str) -> None:
    block = redraw(
        InterScaleBlock(
            8, inner=4, hidden=6, num_heads=2, dropout=0.0, residual="inside", reach="colocated", concat=concat
        )
    )
    x, raw = tokens(), tokens().flip(0)
    ours = block(x, pairs().partners(x, raw), pairs())
    for b in range(2):
        for cell in cells():
            s = token(*cell)
            fine = block.fine(x[b, :, s])
            other = upsampled(coarse_tokens(block, cell[0], x[b], raw[b]), b, *cell)
            both = torch.cat((fine, other), 0 if concat == "token" else 1)
            query, keys, values = block.qkv(block.norm1(both)).chunk(3, -1)
            for t in range(3):
                expected = finished(block, both[t], attended(query[t], keys, values, 2))
                torch.testing.assert_close(ours[b, t, s], expected)


def seen(clip: int, cell: tuple[int, int, int], reach: str) -> list[tuple[int, int, int, bool]]:
    """(level, row, column, is partner) of all cells that a cell looks at."""
    level, y, x = cell
    partner = min(level + 1, len(SIZES) - 1)
    step = 1 if partner > level else 0
    found = []
    for is_partner, at, (j, i) in ((False, level, (y, x)), (True, partner, (y >> step, x >> step))):
        height, width = SIZES[at]
        for row, column in product(range(height), range(width)):
            is_near = abs(row - j) <= 1 and abs(column - i) <= 1
            wanted = {"window": is_near, "cross": is_partner, "full": True}[reach]
            if wanted and is_valid(clip, at, row, column):
                found.append((at, row, column, is_partner))
    return found


@pytest.mark.parametrize("reach", ["window", "cross", "full"])
def test_wider_reaches_equal_a_loop_over_positions(reach: str) -> None:
    block = redraw(
        InterScaleBlock(8, inner=4, hidden=6, num_heads=2, dropout=0.0, residual="inside", reach=reach, window=3)
    )
    x, raw = tokens(), tokens().flip(0)
    ours = block(x, pairs().partners(x, raw), pairs())
    for b in range(2):
        fine = block.fine(x[b])
        for cell in cells():
            if not is_valid(b, *cell):
                continue
            coarse = coarse_tokens(block, cell[0], x[b], raw[b])
            keys = [(coarse if is_partner else fine)[:, token(*at)] for *at, is_partner in seen(b, cell, reach)]
            _, key, value = block.qkv(block.norm1(torch.cat(keys))).chunk(3, -1)
            query = block.qkv(block.norm1(fine[:, token(*cell)])).chunk(3, -1)[0]
            for t in range(3):
                y = attended(query[t], key, value, 2)
                expected = finished(block, fine[t, token(*cell)], y)
                torch.testing.assert_close(ours[b, t, token(*cell)], expected)


def test_nearest_upsampling_repeats_cells() -> None:
    coarse = torch.arange(9.0).view(1, 1, 9, 1)
    memory = ClipMemory(
        tokens=torch.zeros(1, 1, 39, 1),
        is_padding=torch.zeros(1, 1, 39, dtype=torch.bool),
        level_sizes=SIZES[:2],
        valid_ratios=torch.ones(1, 2, 2),
    )
    up = ScalePairs.of(memory).upsample(torch.cat((coarse, coarse + 100), 2), "nearest")[0, 0, :, 0]
    assert up[:30].view(5, 6)[:3].tolist() == [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert up[30:].tolist() == [100, 101, 102, 103, 104, 105, 106, 107, 108]


def test_levels_that_do_not_halve_are_refused() -> None:
    memory = ClipMemory(
        tokens=torch.zeros(1, 1, 34, 1),
        is_padding=torch.zeros(1, 1, 34, dtype=torch.bool),
        level_sizes=((5, 6), (2, 2)),
        valid_ratios=torch.ones(1, 2, 2),
    )
    with pytest.raises(ValueError, match=r"\(5, 6\), \(2, 2\)"):
        ScalePairs.of(memory)


@pytest.mark.parametrize("reach", ["colocated", "window", "cross", "full"])
def test_padded_tokens_change_nothing_elsewhere(reach: str) -> None:
    module = redraw(SplitScaleAttention(8, inner=4, hidden=6, num_heads=2, dropout=0.0, inter=reach, window=3))
    x, grid = tokens(), pairs()
    other = torch.where(grid.is_padding[:, None, :, None], 7 * torch.randn_like(x), x)
    valid = ~grid.is_padding
    ours, theirs = (module(each, grid).transpose(1, 2)[valid] for each in (x, other))
    torch.testing.assert_close(ours, theirs)
    assert module(other, grid).isfinite().all()


@pytest.mark.parametrize(
    ("intra", "inter"), [("temporal", None), ("window", None), (None, "colocated"), ("paired", "colocated")]
)
def test_the_module_adds_nothing_at_first(intra: str | None, inter: str | None) -> None:
    module = SplitScaleAttention(8, inner=4, hidden=6, num_heads=2, intra=intra, inter=inter)
    module.start_at_zero()
    assert not module(tokens().float(), pairs()).any()


def test_the_inter_scale_block_reads_the_levels_that_the_intra_scale_block_leaves() -> None:
    module = redraw(SplitScaleAttention(8, inner=4, hidden=6, num_heads=2, dropout=0.0))
    x = tokens()
    y = module.intra(x, pairs())
    partners = torch.cat((y[:, :, STARTS[1] :], x[:, :, STARTS[2] :]), 2)
    torch.testing.assert_close(module(x, pairs()), module.inter(y, partners, pairs()))


@pytest.mark.slow
@pytest.mark.parametrize("reach", ["colocated", "cross"])
def test_gradients_of_split_attention(reach: str) -> None:
    module = redraw(SplitScaleAttention(2, inner=2, hidden=2, num_heads=1, dropout=0.0, inter=reach))
    memory = ClipMemory(
        tokens=torch.zeros(1, 2, 5, 2),
        is_padding=torch.zeros(1, 2, 5, dtype=torch.bool),
        level_sizes=((2, 2), (1, 1)),
        valid_ratios=torch.ones(1, 2, 2),
    )
    grid = ScalePairs.of(memory)
    x = torch.randn(1, 2, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: module(x, grid), (x, *module.parameters()))


def test_an_even_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window 4"):
        SplitScaleAttention(8, inner=4, hidden=6, num_heads=2, inter="window", window=4)
    with pytest.raises(ValueError, match="window 2"):
        SplitScaleAttention(8, inner=4, hidden=6, num_heads=2, intra="window", intra_window=2)


def test_frames_of_one_position_do_not_mix_with_other_positions() -> None:
    block = redraw(IntraScaleBlock(8, inner=4, hidden=6, num_heads=2, dropout=0.0, residual="inside", is_last=False))
    x = tokens().requires_grad_()
    block(x, pairs())[0, 1, 4].sum().backward()
    assert x.grad is not None
    assert {tuple(place) for place in x.grad.abs().sum(-1).nonzero().tolist()} == {(0, 0, 4), (0, 1, 4), (0, 2, 4)}
