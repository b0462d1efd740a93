"""Twins-SVT at any frame size."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from maskreel.nn.backbones.twins import GlobalAttention, TwinsSVT, pad_to_multiple
from maskreel.structures import ClipBatch
from tests.builders import clip_batch


@pytest.fixture(scope="module")
def model() -> TwinsSVT:
    torch.manual_seed(0)
    model = TwinsSVT((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 3, 2)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


def maps(model: TwinsSVT, clip: ClipBatch) -> list[Tensor]:
    with torch.no_grad():
        return [level.values for level in model(clip)]


@pytest.mark.parametrize("size", [(32, 32), (50, 70), (61, 97), (7, 5)])
def test_no_row_or_column_is_lost(model: TwinsSVT, size: tuple[int, int]) -> None:
    """A map at stride s has ceil(side / s) cells, and its last one sees the last pixel."""
    clip = clip_batch([size], num_frames=1, padded=size)
    before = maps(model, clip)
    for values, stride in zip(before, model.strides, strict=True):
        assert values.shape[-2:] == tuple(-(-side // stride) for side in size)
    clip.frames[..., -1, -1] += 3.0
    for values, changed in zip(before, maps(model, clip), strict=True):
        assert (values[..., -1, -1] - changed[..., -1, -1]).abs().max() > 1e-4


def test_the_last_stage_can_stay_at_stride_16() -> None:
    model = TwinsSVT((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 3, 2), last_stride=16)
    levels = model(clip_batch([(50, 70)], padded=(50, 70)))
    assert [level.stride for level in levels] == [4, 8, 16, 16]
    assert [tuple(level.values.shape[-2:]) for level in levels] == [(13, 18), (7, 9), (4, 5), (4, 5)]
    assert levels[3].is_padding.shape[-2:] == (4, 5)


@pytest.mark.parametrize("size", [(50, 70), (64, 96)])
def test_padding_changes_nothing(model: TwinsSVT, size: tuple[int, int]) -> None:
    own = maps(model, clip_batch([size], num_frames=2, padded=size))
    for padded in ((64, 96), (96, 128)):
        clip = clip_batch([size], num_frames=2, padded=padded)
        clip.frames[clip.is_padding[:, :, None].expand_as(clip.frames)] = 7.0
        with torch.no_grad():
            levels = model(clip)
        for values, level in zip(own, levels, strict=True):
            h, w = values.shape[-2:]
            torch.testing.assert_close(level.values[..., :h, :w], values, rtol=1e-4, atol=1e-5)
            assert not level.is_padding[..., :h, :w].any()
            assert level.is_padding.sum() == level.is_padding.numel() - 2 * h * w


def test_a_frame_of_padding_leaves_the_others_alone(model: TwinsSVT) -> None:
    clip = clip_batch([(32, 64)], num_frames=3)
    clip.is_padding[:, 2] = True
    short = ClipBatch(frames=clip.frames[:, :2], is_padding=clip.is_padding[:, :2])
    for long, own in zip(maps(model, clip), maps(model, short), strict=True):
        assert long.isfinite().all()
        torch.testing.assert_close(long[:, :2], own, rtol=1e-4, atol=1e-5)


def test_the_published_variant_reads_padding(model: TwinsSVT) -> None:
    torch.manual_seed(0)
    seen = TwinsSVT((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 3, 2), padding="seen").eval()
    seen.load_state_dict(model.state_dict())
    divisible = clip_batch([(224, 224)], num_frames=1)
    for a, b in zip(maps(model, divisible), maps(seen, divisible), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    other = clip_batch([(50, 70)], num_frames=1)
    assert (maps(model, other)[0] - maps(seen, other)[0])[..., :13, :18].abs().max() > 1e-3


def test_blocks_are_left_out_in_training_only() -> None:
    torch.manual_seed(0)
    model = TwinsSVT((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 2, 2), drop_path=0.9)
    clip = clip_batch([(32, 32)], num_frames=4)
    assert not torch.equal(maps(model, clip)[-1], maps(model, clip)[-1])
    model.eval()
    assert torch.equal(maps(model, clip)[-1], maps(model, clip)[-1])


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 8 of stage 1 does not divide into 3"):
        TwinsSVT((8, 16, 24, 32), (3, 2, 2, 4))


def test_padding_to_a_multiple_adds_zeros_at_the_end() -> None:
    padded = pad_to_multiple(torch.ones(1, 5, 7), 4)
    assert padded.shape == (1, 8, 8)
    assert padded.sum() == 35
    assert padded[0, :5, :7].all()


def published(model: TwinsSVT, image: Tensor, windows: tuple[int, ...]) -> list[Tensor]:
    """Maps as the published detector computes them: strided convolutions lose rows, windows are filled with zeros that
    are read."""
    x, out = image, []
    for stage in range(4):
        x = model.patch_embeds[stage].proj(x)
        size = x.shape[-2:]
        x = model.patch_embeds[stage].norm(x.flatten(2).transpose(1, 2))
        for index, block in enumerate(model.blocks[stage]):
            x = x + naive_attention(block.attn, block.norm1(x), size, windows[stage])
            x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
            if index == 0:
                grid = x.transpose(1, 2).unflatten(2, size)
                x = (grid + model.pos_block[stage].proj(grid)).flatten(2).transpose(1, 2)
        x = x.transpose(1, 2).unflatten(2, size)
        out.append(x)
    return out


def naive_attention(attention: nn.Module, x: Tensor, size: tuple[int, int], window: int) -> Tensor:
    """One window, one head after the other."""
    (height, width), heads = size, attention.num_heads
    if isinstance(attention, GlobalAttention):
        summary = x
        if attention.reduction > 1:
            summary = attention.sr(x.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2)
            summary = attention.norm(summary)
        return attention.proj(heads_apart(attention.q(x), *attention.kv(summary).chunk(2, -1), heads))
    grid = F.pad(x.unflatten(1, size), (0, 0, 0, -width % window, 0, -height % window))
    out = torch.zeros_like(grid)
    for top in range(0, grid.shape[1], window):
        for left in range(0, grid.shape[2], window):
            cells = grid[:, top : top + window, left : left + window].flatten(1, 2)
            read = attention.proj(heads_apart(*attention.qkv(cells).chunk(3, -1), heads))
            out[:, top : top + window, left : left + window] = read.unflatten(1, (window, window))
    return out[:, :height, :width].flatten(1, 2)


def heads_apart(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    out = []
    for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        out.append((a @ b.transpose(1, 2) * a.shape[-1] ** -0.5).softmax(-1) @ c)
    return torch.cat(out, -1)


SHAPES = {
    "windows": [(7, 7, 7, 7), (5, 3, 7, 2), (4, 1, 1, 3)],
    "reductions": [(8, 4, 2, 1), (4, 2, 1, 1), (5, 3, 2, 2)],
}


@pytest.mark.parametrize(("windows", "reductions"), list(zip(*SHAPES.values(), strict=True)))
@pytest.mark.parametrize("size", [(100, 151), (64, 96), (33, 71)])
def test_cut_edges_are_the_published_maps(
    size: tuple[int, int], windows: tuple[int, int, int, int], reductions: tuple[int, int, int, int]
) -> None:
    """At any size and however far a frame is padded, for any windows and reductions."""
    torch.manual_seed(0)
    model = TwinsSVT(
        *((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 3, 2)), windows=windows, reductions=reductions, edges="cut"
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    size = (max(size[0], model.least), max(size[1], model.least))
    clip = clip_batch([size], num_frames=1, padded=size)
    with torch.no_grad():
        wanted = published(model, rearrange(clip.frames, "b t c h w -> (b t) c h w"), windows)
    assert [tuple(x.shape[-2:]) for x in wanted] == [(size[0] // s, size[1] // s) for s in model.strides]
    for padded in (size, (128, 160), (size[0] + 3, size[1] + 40)):
        clip = clip_batch([size], num_frames=1, padded=padded)
        clip.frames[clip.is_padding[:, :, None].expand_as(clip.frames)] = 7.0
        with torch.no_grad():
            levels = model(clip)
        for theirs, level in zip(wanted, levels, strict=True):
            h, w = theirs.shape[-2:]
            torch.testing.assert_close(level.values[0, :, :, :h, :w], theirs, rtol=1e-4, atol=1e-4)
            assert not level.is_padding[..., :h, :w].any()
            assert level.is_padding.sum() == level.is_padding.numel() - h * w


def test_a_frame_smaller_than_a_cell_has_one_with_cut_edges() -> None:
    model = TwinsSVT((8, 16, 24, 32), (1, 2, 2, 4), (2, 2, 2, 2), edges="cut").eval()
    clip = clip_batch([(7, 40)], num_frames=2, padded=(7, 40))
    clip.is_padding[:, 1] = True
    levels = model(clip)
    assert [tuple(level.values.shape[-2:]) for level in levels] == [(8, 10), (4, 5), (2, 2), (1, 1)]
    assert all(level.values.isfinite().all() for level in levels)
    assert [(~level.is_padding).sum().item() for level in levels] == [80, 20, 4, 1]
