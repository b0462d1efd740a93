"""The mask head of VisTR: what it decodes, for whom, and in which portions."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskreel.nn.heads import attention_masks
from maskreel.nn.heads.attention_masks import AttentionMaskDecoder, AttentionMasks
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.runtimes.pytorch import inference_form
from maskreel.structures import ClipMemory, FeatureMap

WIDTH, CHANNELS, T, Q = 32, (4, 6, 8), 3, 5
PADDED = (64, 96)


@pytest.fixture
def head() -> AttentionMasks:
    torch.manual_seed(0)
    head = AttentionMasks(WIDTH, CHANNELS, num_heads=4)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return head.eval()


def level(stride: int, channels: int, valid: list[tuple[int, int, int]], seed: int) -> FeatureMap:
    """A map of random values for clips of (frames, rows, columns) in pixels."""
    height, width = PADDED[0] // stride, PADDED[1] // stride
    values = torch.randn(len(valid), T, channels, height, width, generator=torch.Generator().manual_seed(seed))
    is_padding = torch.ones(len(valid), T, height, width, dtype=torch.bool)
    for clip, (frames, rows, columns) in enumerate(valid):
        is_padding[clip, :frames, : -(-rows // stride), : -(-columns // stride)] = False
    return FeatureMap(values=values, is_padding=is_padding, stride=stride)


def source(head: AttentionMasks, valid: list[tuple[int, int, int]] | None = None) -> AttentionMaskDecoder:
    valid = valid or [(T, *PADDED), (T, 50, 70)]
    coarse = level(32, WIDTH, valid, 9)
    memory = ClipMemory(
        tokens=coarse.values.flatten(3).transpose(2, 3),
        is_padding=coarse.is_padding.flatten(2),
        level_sizes=((PADDED[0] // 32, PADDED[1] // 32),),
        valid_ratios=torch.ones(len(valid), 1, 2),
    )
    states = torch.randn(len(valid), T, Q, WIDTH, generator=torch.Generator().manual_seed(8))
    maps = [level(4 << index, channels, valid, index) for index, channels in enumerate(CHANNELS)]
    return head(states, memory, maps)


def masks(source: AttentionMaskDecoder, clip: int, *queries: int) -> Tensor:
    with torch.no_grad():
        return source.select(clip, torch.tensor(queries, dtype=torch.long))


def test_masks_of_a_long_clip_in_the_form_of_prediction_are_exact() -> None:
    """Its convolutions put channels last, where PyTorch's norm over such a volume is off by 2e-5 and more."""
    torch.manual_seed(0)
    head = inference_form(AttentionMasks(384, CHANNELS, num_heads=4))
    sides = ((72, 120), (36, 60), (18, 30), (9, 15))
    maps = [torch.randn(24, c, h, w) for c, (h, w) in zip((*CHANNELS, 384), sides, strict=True)]
    states, is_padding = torch.randn(24, 1, 384), torch.zeros(24, 9, 15, dtype=torch.bool)
    with torch.no_grad():
        found = head.decode(states, maps, is_padding)
        exact = head.double().decode(states.double(), [each.double() for each in maps], is_padding)
    assert (found - exact).abs().max() < 5e-6 * exact.abs().max()


def test_a_mask_does_not_depend_on_what_else_is_asked_for(head: AttentionMasks) -> None:
    both = source(head)
    every = masks(both, 1, *range(Q))
    assert every.shape == (Q, T, 16, 24)
    torch.testing.assert_close(masks(both, 1, 3, 0), every[[3, 0]], rtol=1e-4, atol=1e-5)
    assert masks(both, 0).shape == (0, T, 16, 24)


def test_chunks_of_any_size_give_the_same_masks(head: AttentionMasks, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = masks(source(head), 0, 0, 1, 2)
    for chunk_bytes in (1, 5 * 4 * 9 * 4 * 16 * 24):
        monkeypatch.setattr(attention_masks, "CHUNK_BYTES", chunk_bytes)
        torch.testing.assert_close(masks(source(head), 0, 0, 1, 2), whole, rtol=1e-4, atol=1e-5)


def test_clips_of_a_batch_are_decoded_apart(head: AttentionMasks) -> None:
    valid = [(T, *PADDED), (T, 50, 70)]
    both = source(head, valid)
    for clip in (0, 1):
        own = AttentionMaskDecoder(
            head=head,
            states=both.states[clip : clip + 1],
            maps=tuple(
                replace(m, values=m.values[clip : clip + 1], is_padding=m.is_padding[clip : clip + 1])
                for m in both.maps
            ),
        )
        torch.testing.assert_close(masks(own, 0, 1, 4), masks(both, clip, 1, 4), rtol=1e-4, atol=1e-5)


def test_padded_cells_and_frames_are_not_read(head: AttentionMasks) -> None:
    before = source(head, [(2, 50, 70)])
    own = masks(before, 0, 0, 3)
    for m in before.maps:
        m.values[m.is_padding[:, :, None].expand_as(m.values)] = 50.0
    torch.testing.assert_close(masks(before, 0, 0, 3), own, rtol=0, atol=0)
    assert not own[:, 2].any(), "a frame of padding has no mask"
    assert torch.equal(own[:, :2, 13:], own[:, :2, 12:13].expand(-1, -1, 3, -1)), "padded cells repeat the edge"
    assert own[:, :2, :13, :18].std() > 0


def test_the_published_area_reads_padded_cells(head: AttentionMasks) -> None:
    head.area = "padded"
    before = source(head, [(T, 50, 70)])
    own = masks(before, 0, 0)
    for m in before.maps[:3]:
        m.values[m.is_padding[:, :, None].expand_as(m.values)] = 50.0
    assert (masks(before, 0, 0) - own)[:, :, :13, :18].abs().max() > 1e-3


def test_recomputed_activations_give_the_same_gradients(head: AttentionMasks) -> None:
    head.train()
    gradients = []
    for is_checkpointed in (False, True):
        if is_checkpointed:
            checkpoint_activations(head)
        head.zero_grad()
        source(head).select(1, torch.tensor([2, 0])).square().sum().backward()
        gradients.append([p.grad.clone() for p in head.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, kept, rtol=1e-4, atol=1e-4)


def test_nothing_asked_for_leaves_every_parameter_a_gradient(head: AttentionMasks) -> None:
    head.train()
    source(head).select(0, torch.tensor([], dtype=torch.long)).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_a_width_that_cannot_be_halved_four_times_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width 40: .* multiple of 16"):
        AttentionMasks(40, CHANNELS)
