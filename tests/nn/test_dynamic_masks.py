"""Dynamic masks against a loop written from their description."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.nn.heads.dynamic_masks import DynamicMaskDecoder, DynamicMasks, aligned_upsample
from maskreel.structures import ClipMemory

pytestmark = pytest.mark.usefixtures("each_backend")


def source(*, channels: int, is_relative: bool, seed: int = 0) -> DynamicMaskDecoder:
    """Two clips of three frames, five queries; float64."""
    generator = torch.Generator().manual_seed(seed)
    inputs = channels + 2 * is_relative
    numbers = 8 * inputs + 64 + 8 + 8 + 8 + 1
    return DynamicMaskDecoder(
        features=torch.randn(2, 3, channels, 4, 6, generator=generator, dtype=torch.float64).requires_grad_(),
        parameters=(0.3 * torch.randn(2, 5, numbers, generator=generator, dtype=torch.float64)).requires_grad_(),
        centres=(50 * torch.rand(2, 3, 5, 2, generator=generator, dtype=torch.float64)).requires_grad_(),
        is_relative=is_relative,
    )


def slow_masks(source: DynamicMaskDecoder, clip: int, queries: list[int]) -> Tensor:
    """One query, one frame, one layer at a time: three 1x1 convolutions, then twice the size."""
    masks = []
    for query in queries:
        numbers, inputs = source.parameters[clip, query], source.features.shape[2] + 2 * source.is_relative
        sizes = [(8, inputs), (8, 8), (1, 8)]
        weights, start = [], 0
        for out, size in sizes:
            weights.append(numbers[start : start + out * size].view(out, size, 1, 1))
            start += out * size
        biases = numbers[start : start + 8], numbers[start + 8 : start + 16], numbers[start + 16 :]
        frames = []
        for t in range(source.features.shape[1]):
            x = source.features[clip, t]
            if source.is_relative:
                h, w = x.shape[-2:]
                column, row = (torch.arange(n, dtype=x.dtype) * 8 + 4 for n in (w, h))
                centre = source.centres[clip, t, query]
                relative = torch.stack(((centre[0] - column).expand(h, w), (centre[1] - row)[:, None].expand(h, w)))
                x = torch.cat((relative, x))
            for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                x = F.conv2d(x[None], weight, bias)[0]
                x = F.relu(x) if layer < 2 else x
            frames.append(slow_upsample(x[0], 2))
        masks.append(torch.stack(frames))
    return torch.stack(masks)


def slow_upsample(x: Tensor, factor: int) -> Tensor:
    """Pixel i shows position (i - factor // 2) / factor of the map, linearly between cells, the nearest one outside."""

    def weights(size: int) -> Tensor:
        table = torch.zeros(factor * size, size, dtype=x.dtype)
        for i in range(factor * size):
            position = min(max((i - factor // 2) / factor, 0), size - 1)
            low = min(int(position), size - 2) if size > 1 else 0
            table[i, low] += 1 - (position - low)
            table[i, min(low + 1, size - 1)] += position - low
        return table

    return weights(x.shape[0]) @ x @ weights(x.shape[1]).T


@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("channels", [1, 8])
def test_selected_masks_are_those_of_the_loop(channels: int, is_relative: bool) -> None:
    ours = source(channels=channels, is_relative=is_relative)
    for clip, queries in ((0, [4, 1, 1]), (1, [0, 2])):
        masks = ours.select(clip, torch.tensor(queries))
        torch.testing.assert_close(masks, slow_masks(ours, clip, queries), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("is_relative", [True, False])
def test_gradients_are_those_of_the_loop(is_relative: bool) -> None:
    ours = source(channels=3, is_relative=is_relative)
    inputs = [ours.features, ours.parameters] + [ours.centres] * is_relative
    fast = torch.autograd.grad(ours.select(1, torch.tensor([3, 0])).square().sum(), inputs)
    slow = torch.autograd.grad(slow_masks(ours, 1, [3, 0]).square().sum(), inputs)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_how_many_instances_are_decoded_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, queries = source(channels=3, is_relative=True), torch.tensor([3, 0, 4, 1, 2])
    expected = ours.select(1, queries)
    monkeypatch.setattr("maskreel.kernels.dynamic_layers.CHUNK", (2 * 8 * 24, 0))
    torch.testing.assert_close(ours.select(1, queries), expected)


def test_masks_are_decoded_in_float32_under_autocast() -> None:
    ours = source(channels=8, is_relative=True)
    low = DynamicMaskDecoder(
        features=ours.features.detach().bfloat16(),
        parameters=ours.parameters.detach().bfloat16(),
        centres=ours.centres.detach().float(),
        is_relative=True,
    )
    single = DynamicMaskDecoder(
        features=low.features.float(), parameters=low.parameters.float(), centres=low.centres, is_relative=True
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        masks = low.decode(0, torch.arange(5))
    assert masks.dtype == torch.float32
    assert torch.equal(masks, single.decode(0, torch.arange(5)))


def test_no_queries_give_no_masks() -> None:
    masks = source(channels=2, is_relative=True).select(0, torch.tensor([], dtype=torch.long))
    assert masks.shape == (0, 3, 8, 12)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 2)])
def test_upsampling_keeps_the_first_cell_at_half_the_factor(factor: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 1, *size, dtype=torch.float64)
    ours = aligned_upsample(x, factor)
    for index in range(2):
        torch.testing.assert_close(ours[index, 0], slow_upsample(x[index, 0], factor))


@pytest.mark.parametrize(("coordinates", "numbers"), [("relative", 169), ("none", 153)])
def test_the_controller_predicts_all_numbers_of_three_layers(coordinates: str, numbers: int) -> None:
    masks = DynamicMasks(32, 8, coordinates=coordinates)
    memory = ClipMemory(
        tokens=torch.randn(2, 3, 24 + 6 + 2, 32),
        is_padding=torch.zeros(2, 3, 32, dtype=torch.bool),
        level_sizes=((4, 6), (2, 3), (1, 2)),
        valid_ratios=torch.ones(2, 3, 2),
    )
    features = masks.branch(memory)
    assert features.shape == (2, 3, 8, 4, 6)
    assert (features >= 0).all()
    reference = torch.full((2, 3, 5, 4), 0.25)
    found = masks(features, torch.randn(2, 5, 32), reference, torch.tensor([[48.0, 32.0], [40.0, 20.0]]))
    assert found.parameters.shape == (2, 5, numbers)
    assert found.centres[1, 2, 3].tolist() == [10.0, 5.0]


def test_mask_features_fuse_three_levels_from_coarse_to_fine() -> None:
    branch = DynamicMasks(32, 8).branch
    tokens, sizes = torch.randn(1, 1, 24 + 6 + 2, 32), ((4, 6), (2, 3), (1, 2))
    fine, middle, coarse = (
        part.T.reshape(1, 32, *size) for part, size in zip(tokens[0, 0].split([24, 6, 2]), sizes, strict=True)
    )

    def grow(x: Tensor, size: tuple[int, int]) -> Tensor:
        rows = [i * x.shape[-2] // size[0] for i in range(size[0])]
        columns = [i * x.shape[-1] // size[1] for i in range(size[1])]
        return x[..., rows, :][..., columns]

    x = middle + grow(branch.coarse(coarse).clamp(min=0), sizes[1])
    x = fine + grow(branch.middle(x).clamp(min=0), sizes[0])
    for conv in (branch.fine, branch.reduce, branch.out):
        x = conv(x).clamp(min=0)
    memory = ClipMemory(
        tokens=tokens,
        is_padding=torch.zeros(1, 1, 32, dtype=torch.bool),
        level_sizes=sizes,
        valid_ratios=torch.ones(1, 3, 2),
    )
    torch.testing.assert_close(branch(memory)[:, 0], x)
