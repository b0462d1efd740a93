"""Deformable attention over space and time."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from maskreel.errors import UsageError
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.encoders.space_time import SpaceTimeEncoder, frames_as_levels
from maskreel.nn.layers.space_time import (
    FrameLevelAttention,
    SpaceTimeAttention,
    clip_extent,
    space_time_offsets,
    volume_reference_points,
)
from maskreel.structures import ClipMemory

pytestmark = pytest.mark.usefixtures("each_backend")

T, SIZE = 3, (4, 5)


def memory(width: int = 16, *, frames: int = T, clips: int = 2, dtype: torch.dtype = torch.float32) -> ClipMemory:
    """Clips of one level without padding."""
    generator = torch.Generator().manual_seed(0)
    cells = SIZE[0] * SIZE[1]
    return ClipMemory(
        tokens=torch.randn(clips, frames, cells, width, generator=generator, dtype=dtype),
        is_padding=torch.zeros(clips, frames, cells, dtype=torch.bool),
        level_sizes=(SIZE,),
        valid_ratios=torch.ones(clips, 1, 2),
    )


def drawn(module: nn.Module, deviation: float = 0.3) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
    return module


def by_grid_sample(attention: SpaceTimeAttention, query: Tensor, reference: Tensor, clip: ClipMemory) -> Tensor:
    """The layer as 5-D grid_sample of the whole volume, without the sampling primitive."""
    m = attention.num_heads
    t, (height, width) = clip.tokens.shape[1], clip.level_sizes[0]
    value = rearrange(attention.value_proj(clip.tokens), "b t (h w) (m d) -> (b m) d t h w", h=height, m=m)
    offsets = rearrange(attention.sampling_offsets(query), "b q (m p r) -> b q m p r", m=m, r=3)
    weights = rearrange(attention.attention_weights(query), "b q (m p) -> (b m) q p", m=m).softmax(-1)
    places = reference[:, :, None, None] + offsets / torch.tensor((width, height, t))
    grid = rearrange(2 * places - 1, "b q m p r -> (b m) q p 1 r")
    samples = F.grid_sample(value, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[..., 0]
    out = torch.einsum("ndqp,nqp->nqd", samples, weights)
    return attention.output_proj(rearrange(out, "(b m) q d -> b q (m d)", m=m))


def test_the_layer_equals_five_dimensional_grid_sample() -> None:
    attention, clip = drawn(SpaceTimeAttention(16, num_heads=4, num_points=8)), memory()
    query = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(2))
    reference = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(
            attention(query, reference, clip), by_grid_sample(attention, query, reference, clip), rtol=1e-5, atol=1e-5
        )


def test_samples_equal_the_trilinear_formula() -> None:
    """Every sample is the sum over eight neighbours of (1 - |dx|) (1 - |dy|) (1 - |dt|); zero outside."""
    generator = torch.Generator().manual_seed(0)
    t, h, w = 3, 4, 5
    volume = torch.randn(t, h, w, 2, generator=generator, dtype=torch.float64)
    places = 1.4 * torch.rand(20, 3, generator=generator, dtype=torch.float64) - 0.2
    ours = sample(
        rearrange(volume, "t h w d -> 1 (t h w) 1 d"),
        rearrange(places, "q r -> 1 q 1 1 r"),
        torch.ones(1, 20, 1, 1, dtype=torch.float64),
        maps=Maps.every_frame(((h, w),), num_frames=t),
    )[0, :, 0]
    for place, got in zip(places.tolist(), ours, strict=True):
        x, y, time = place[0] * w - 0.5, place[1] * h - 0.5, place[2] * t - 0.5
        expected = torch.zeros(2, dtype=torch.float64)
        for k, i, j in product(range(t), range(h), range(w)):
            near = max(0.0, 1 - abs(x - j)) * max(0.0, 1 - abs(y - i)) * max(0.0, 1 - abs(time - k))
            expected += near * volume[k, i, j]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_gradients_of_the_layer_are_right() -> None:
    attention = drawn(SpaceTimeAttention(4, num_heads=2, num_points=2)).double()
    clip = memory(4, clips=1, dtype=torch.float64)
    query = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    reference = (0.2 + 0.6 * torch.rand(1, 3, 3, dtype=torch.float64)).requires_grad_()
    tokens = clip.tokens.requires_grad_()
    inputs = (query, reference, tokens, *attention.parameters())

    def run(query: Tensor, reference: Tensor, tokens: Tensor, *parameters: Tensor) -> Tensor:
        names = [name for name, _ in attention.named_parameters()]
        changed = ClipMemory(
            tokens=tokens, is_padding=clip.is_padding, level_sizes=clip.level_sizes, valid_ratios=clip.valid_ratios
        )
        return torch.func.functional_call(
            attention, dict(zip(names, parameters, strict=True)), (query, reference, changed)
        )

    assert torch.autograd.gradcheck(run, inputs)


def test_gradients_of_frames_as_levels_are_right() -> None:
    attention = drawn(FrameLevelAttention(4, num_frames=T, num_heads=2, num_points=2)).double()
    levels = frames_as_levels(memory(4, clips=1, dtype=torch.float64))
    query = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    reference = (0.2 + 0.6 * torch.rand(1, 3, T, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda q, r: attention(q, r, levels), (query, reference))


@pytest.mark.parametrize(("points", "shifts"), [(32, range(-4, 4)), (16, range(-2, 2)), (4, range(1))])
def test_offsets_start_as_stars_in_nearby_frames(points: int, shifts: range) -> None:
    offsets = space_time_offsets(8, points)
    assert offsets.shape == (8, points, 3)
    assert offsets[0, :, 2].tolist() == [float(shift) for shift in shifts for _ in range(4)]
    reach = offsets[..., :2].abs().amax(-1)
    torch.testing.assert_close(reach, (torch.arange(points) % 4 + 1.0).expand(8, -1))
    layer = SpaceTimeAttention(16, num_points=points)
    assert torch.equal(layer.sampling_offsets.bias, offsets.flatten())
    assert not layer.sampling_offsets.weight.any()


def test_reference_points_are_cell_centres_in_the_order_of_tokens() -> None:
    points = volume_reference_points(2, (3, 4))
    assert points.shape == (24, 3)
    torch.testing.assert_close(points[0], torch.tensor([0.125, 1 / 6, 0.25]))
    torch.testing.assert_close(points[1], torch.tensor([0.375, 1 / 6, 0.25]))
    torch.testing.assert_close(points[12], torch.tensor([0.125, 1 / 6, 0.75]))


def test_a_shorter_clip_takes_the_tables_of_the_first_frames() -> None:
    long, short = (drawn(FrameLevelAttention(16, num_frames=n, num_heads=4, num_points=2)) for n in (5, T))
    with torch.no_grad():
        for name in ("sampling_offsets", "attention_weights"):
            for kind in ("weight", "bias"):
                table = getattr(getattr(long, name), kind).unflatten(0, (4, 5, -1))[:, :T]
                getattr(getattr(short, name), kind).copy_(table.flatten(0, 2))
        for name in ("value_proj", "output_proj"):
            getattr(short, name).load_state_dict(getattr(long, name).state_dict())
    levels = frames_as_levels(memory())
    query, reference = torch.randn(2, 6, 16), torch.rand(2, 6, T, 2)
    with torch.no_grad():
        torch.testing.assert_close(long(query, reference, levels), short(query, reference, levels))


def test_a_clip_longer_than_the_tables_is_refused() -> None:
    attention = FrameLevelAttention(16, num_frames=2, num_heads=4, num_points=2)
    with pytest.raises(UsageError, match=r"clip of 3 frames.* know 2"):
        attention(torch.randn(2, 6, 16), torch.rand(2, 6, T, 2), frames_as_levels(memory()))


def test_the_extent_of_a_clip_counts_frames_that_are_all_padding() -> None:
    clip = memory(frames=4)
    clip.is_padding[1, 3:] = True
    torch.testing.assert_close(clip_extent(clip), torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.75]]))


@pytest.mark.parametrize("reading", ["offsets_3d", "frames_as_levels"])
def test_a_token_reaches_other_frames(reading: str) -> None:
    torch.manual_seed(0)
    encoder = drawn(
        SpaceTimeEncoder(
            16, reading=reading, num_frames=T, num_layers=1, hidden=8, num_heads=4, num_points=8, dropout=0.0
        )
    ).eval()
    clip = memory(clips=1)
    tokens = clip.tokens.requires_grad_()
    changed = frames_as_levels(clip) if reading == "frames_as_levels" else clip
    reference = torch.rand(1, 60, T, 2) if reading == "frames_as_levels" else volume_reference_points(T, SIZE)[None]
    out = encoder.layers[0](changed, torch.zeros(1, 60, 16), reference).tokens.flatten(1, 2)
    (gradient,) = torch.autograd.grad(out[0, :20].square().sum(), tokens)
    assert gradient[0, 1:].abs().sum() > 0
