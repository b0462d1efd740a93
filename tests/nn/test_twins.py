"""Twins-SVT at any frame size."""

import pytest
import torch
from torch import Tensor

from maskreel.nn.backbones.twins import TwinsSVT, pad_to_multiple
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
