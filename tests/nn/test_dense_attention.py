"""Dense attention, and the encoder and decoder that are made of it."""

import math

import pytest
import torch
from torch import Tensor, nn

from maskreel.errors import UsageError
from maskreel.nn.decoders.frame_queries import FrameQueryDecoder
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.nn.layers.dense_attention import Attention
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import FeatureMap


def test_it_equals_the_attention_of_pytorch() -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(24, 4), nn.MultiheadAttention(24, 4, batch_first=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    query, key, value = torch.randn(2, 5, 24), torch.randn(2, 7, 24), torch.randn(2, 7, 24)
    is_padding = torch.rand(2, 7) < 0.4
    is_padding[:, 0] = False
    expected = theirs(query, key, value, key_padding_mask=is_padding, need_weights=False)[0]
    torch.testing.assert_close(ours(query, key, value, is_padding), expected, rtol=1e-5, atol=1e-6)


def test_it_equals_the_formula() -> None:
    torch.manual_seed(0)
    attention = Attention(6, 2).double()
    x, is_padding = torch.randn(1, 4, 6, dtype=torch.float64), torch.tensor([[False, False, True, False]])
    q, k, v = (
        x @ w.T + b for w, b in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    heads = []
    for m in range(2):
        part = slice(3 * m, 3 * m + 3)
        scores = q[0, :, part] @ k[0, :, part].T / math.sqrt(3)
        heads.append(scores.masked_fill(is_padding, -math.inf).softmax(-1) @ v[0, :, part])
    expected = attention.out_proj(torch.cat(heads, -1))[None]
    torch.testing.assert_close(attention(x, x, x, is_padding), expected)


def test_nobody_reads_padding() -> None:
    torch.manual_seed(0)
    attention, x = Attention(8, 2), torch.randn(1, 6, 8)
    is_padding = torch.tensor([[False] * 4 + [True] * 2])
    changed = torch.cat((x[:, :4], 100 + x[:, 4:]), 1)
    out = attention(x[:, :4], x, x, is_padding)
    torch.testing.assert_close(attention(x[:, :4], changed, changed, is_padding), out)
    short = x[:, :4]
    torch.testing.assert_close(attention(short, short, short, is_padding[:, :4]), out)


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="width 10 does not divide into 4"):
        Attention(10, 4)


@pytest.fixture
def stages() -> tuple[FullEncoder, FrameQueryDecoder]:
    torch.manual_seed(0)
    sizes = {"num_layers": 2, "hidden": 16, "num_heads": 2, "dropout": 0.0, "attention_dropout": 0.0}
    return FullEncoder(12, **sizes), FrameQueryDecoder(12, num_frames=4, num_queries=3, **sizes)


def level(frames: int = 3) -> FeatureMap:
    values = torch.randn(2, frames, 12, 2, 3, generator=torch.Generator().manual_seed(0))
    return FeatureMap(values=values, is_padding=torch.zeros(2, frames, 2, 3, dtype=torch.bool), stride=32)


def run(stages: tuple[FullEncoder, FrameQueryDecoder], coarse: FeatureMap) -> tuple[Tensor, ...]:
    position = space_time_position(coarse.is_padding, 12)
    return stages[1](stages[0](coarse, position), position)


def test_a_shorter_clip_uses_the_queries_of_its_first_frames(stages: tuple[FullEncoder, FrameQueryDecoder]) -> None:
    before = run(stages, level())
    assert before[-1].shape == (2, 3, 3, 12)
    with torch.no_grad():
        stages[1].queries.weight[9:] += 5.0
    torch.testing.assert_close(run(stages, level())[-1], before[-1], rtol=0, atol=0)
    with torch.no_grad():
        stages[1].queries.weight[8] += 5.0
    assert (run(stages, level())[-1] - before[-1]).abs().max() > 1e-3


def test_a_clip_longer_than_the_query_table_is_refused(stages: tuple[FullEncoder, FrameQueryDecoder]) -> None:
    with pytest.raises(UsageError, match=r"clip of 5 frames.* knows 4; .*--clip-frames 4"):
        run(stages, level(frames=5))


def test_recomputed_activations_give_the_same_gradients(stages: tuple[FullEncoder, FrameQueryDecoder]) -> None:
    gradients = []
    for is_checkpointed in (False, True):
        if is_checkpointed:
            assert [checkpoint_activations(stage) for stage in stages] == [1, 1]
        for stage in stages:
            stage.zero_grad()
        torch.stack([state.square().sum() for state in run(stages, level())]).sum().backward()
        gradients.append([p.grad.clone() for stage in stages for p in stage.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, kept, rtol=1e-5, atol=1e-6)
