"""Deformable attention over neighbouring frames, against loops."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from maskreel.kernels import reference
from maskreel.kernels.maps import ABSENT, Maps
from maskreel.nn.layers.neighbours import Border, NeighbourSampling, neighbour_frames

pytestmark = pytest.mark.usefixtures("each_backend")

SIZES = ((5, 7), (3, 4))
ROWS = 35 + 12


def test_neighbours_of_every_border_rule() -> None:
    expected: dict[Border, list[tuple[int, ...]]] = {
        "clamp": [(0, 0, 1, 2), (0, 0, 2, 3), (0, 1, 3, 4), (1, 2, 4, 4), (2, 3, 4, 4)],
        "reflect": [(2, 1, 1, 2), (3, 0, 2, 3), (0, 1, 3, 4), (1, 2, 4, 1), (2, 3, 3, 2)],
        "shift": [(1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 3, 4), (0, 1, 2, 4), (0, 1, 2, 3)],
        "mask": [(-1, -1, 1, 2), (-1, 0, 2, 3), (0, 1, 3, 4), (1, 2, 4, -1), (2, 3, -1, -1)],
    }
    for border, table in expected.items():
        assert neighbour_frames(5, 2, border) == tuple(table)


@pytest.mark.parametrize("border", ["clamp", "reflect", "shift", "mask"])
def test_neighbours_of_short_and_long_clips(border: Border) -> None:
    for num_frames, radius in product((1, 2, 3, 4, 8), (1, 2, 3)):
        table = neighbour_frames(num_frames, radius, border)
        assert [len(row) for row in table] == [2 * radius] * num_frames
        for t, row in enumerate(table):
            present = [frame for frame in row if frame != ABSENT]
            assert all(0 <= frame < num_frames for frame in present)
            if border in ("mask", "shift"):
                # Nobody is its own neighbour, unless a clip shorter than the window leaves nothing else.
                assert t not in present or (border == "shift" and num_frames <= 2 * radius)
            if border == "mask":
                assert present == [f for f in range(t - radius, t + radius + 1) if 0 <= f < num_frames and f != t]


def drawn(border: Border = "clamp", **options: object) -> NeighbourSampling:
    """A module of two heads with random weights, in float64."""
    torch.manual_seed(1)
    module = NeighbourSampling(8, num_levels=2, num_heads=2, num_points=3, border=border, **options).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def inputs(frames: int, queries: int = 4, heads: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, reference points and a value table of two clips."""
    generator = torch.Generator().manual_seed(frames)
    query = torch.randn(2, frames, queries, 8, generator=generator, dtype=torch.float64)
    references = torch.rand(2, frames, queries, 2, 2, generator=generator, dtype=torch.float64)
    value = torch.randn(2, frames * ROWS, heads, 4, generator=generator, dtype=torch.float64)
    return query, references, value


def bilinear(image: Tensor, x: float, y: float) -> Tensor:
    """Value of a map "h w d" at a point in cells, cell centres at whole numbers, zero outside."""
    height, width, _ = image.shape
    total = torch.zeros_like(image[0, 0])
    left, top = math.floor(x), math.floor(y)
    for j, i in product((top, top + 1), (left, left + 1)):
        if 0 <= j < height and 0 <= i < width:
            total = total + (1 - abs(x - i)) * (1 - abs(y - j)) * image[j, i]
    return total


def looped(module: NeighbourSampling, query: Tensor, references: Tensor, value: Tensor, levels: list[int]) -> Tensor:
    """Equation 2 frame by frame, head by head, point by point."""
    clips, frames, queries, _ = query.shape
    heads, points = module.num_heads, module.num_points
    table = neighbour_frames(frames, module.radius, module.border)
    shape = (heads, 2 * module.radius, len(levels), points)
    output = torch.zeros(clips, frames, queries, heads, 4, dtype=torch.float64)
    for b, t, q in product(range(clips), range(frames), range(queries)):
        offsets = module.sampling_offsets(query[b, t, q]).view(*shape, 2)
        logits = module.attention_weights(query[b, t, q]).view(*shape)
        for m in range(heads):
            present = [slot for slot, frame in enumerate(table[t]) if frame != ABSENT]
            shares = logits[m, present].flatten().softmax(0).view(len(present), len(levels), points)
            for place, slot in enumerate(present):
                for position, level in enumerate(levels):
                    height, width = SIZES[level]
                    start = table[t][slot] * ROWS + sum(h * w for h, w in SIZES[:level])
                    image = value[b, start : start + height * width, m].view(height, width, 4)
                    for p in range(points):
                        dx, dy = offsets[m, slot, position, p].tolist()
                        x, y = references[b, t, q, level].tolist()
                        sample = bilinear(image, x * width + dx - 0.5, y * height + dy - 0.5)
                        output[b, t, q, m] += shares[place, position, p] * sample
    return output.flatten(-2)


@pytest.mark.parametrize("border", ["clamp", "reflect", "shift", "mask"])
@pytest.mark.parametrize("levels", [(), (1,)])
def test_reading_neighbours_equals_a_loop_over_frames(border: Border, levels: tuple[int, ...]) -> None:
    module = drawn(border, levels=levels)
    query, references, value = inputs(frames=4, queries=2)
    with torch.no_grad():
        ours = module.read(query, references, value, SIZES)
        expected = looped(module, query, references, value, list(levels or (0, 1)))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_reading_neighbours_equals_the_spatial_operator_on_shifted_frames() -> None:
    """The operator that agrees with the recorded one, on a table whose frames were moved, once per neighbour."""
    module = drawn("clamp")
    query, references, value = inputs(frames=4)
    b, t, q, _ = query.shape
    offsets = module.sampling_offsets(query).view(b, t, q, 2, 4, 2, 3, 2)
    shares = module.attention_weights(query).view(b, t, q, 2, -1).softmax(-1).view(b, t * q, 2, 4, 6)
    cells = torch.tensor([(w, h) for h, w in SIZES], dtype=torch.float64)
    locations = references[:, :, :, None, None, :, None] + offsets / cells[:, None]
    locations = locations.view(b, t * q, 2, 4, 6, 2)
    expected = torch.zeros(b, t * q, 2, 4, dtype=torch.float64)
    for slot, step in enumerate((-2, -1, 1, 2)):
        moved = [min(max(frame + step, 0), t - 1) for frame in range(t)]
        table = value.view(b, t, ROWS, 2, 4)[:, moved].flatten(1, 2)
        maps = Maps.own_frame(SIZES, num_frames=t)
        expected += reference.sample(table, locations[:, :, :, slot], shares[:, :, :, slot], maps)
    torch.testing.assert_close(
        module.read(query, references, value, SIZES), expected.view(b, t, q, 8), rtol=0, atol=1e-12
    )


def test_no_copies_of_the_values_are_made_per_neighbour() -> None:
    """The gradient of the value table has the table's own size, and every frame of it is read by its neighbours."""
    module, (query, references, value) = drawn("mask"), inputs(frames=5)
    value.requires_grad_()
    module.read(query, references, value, SIZES)[:, 2].sum().backward()
    assert value.grad is not None
    assert value.grad.shape == value.shape
    read = value.grad.view(2, 5, ROWS, 2, 4).abs().sum((0, 2, 3, 4)) > 0
    assert read.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("border", ["clamp", "mask"])
def test_gradients_of_reading_neighbours(border: Border) -> None:
    torch.manual_seed(2)
    module = NeighbourSampling(2, num_levels=1, num_heads=1, num_points=2, radius=1, border=border).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    query = torch.randn(1, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    references = torch.rand(1, 3, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    value = torch.randn(1, 3 * 6, 1, 2, dtype=torch.float64, requires_grad=True)

    def read(query: Tensor, references: Tensor, value: Tensor, *_: Tensor) -> Tensor:
        return module.read(query, references, value, ((2, 3),))

    assert torch.autograd.gradcheck(read, (query, references, value, *module.parameters()))


def test_points_start_as_the_same_ring_in_every_frame_and_level() -> None:
    module = NeighbourSampling(16, num_levels=3, num_heads=4, num_points=2)
    ring = module.sampling_offsets.bias.view(4, 4 * 3, 2, 2)
    assert (ring == ring[:, :1]).all()
    assert ring[0, 0].tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert not module.attention_weights.weight.any()
