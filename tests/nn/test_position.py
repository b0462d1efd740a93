"""Padding masks, valid ratios, reference points and sine codes against scalar formulas."""

import math

import pytest
import torch
from torch import Tensor

from maskreel.geometry.grids import cell_positions, encoder_reference_points, inverse_sigmoid
from maskreel.nn.layers.position import shrink_padding, sine_code, sine_position, valid_ratio


def padding(*sizes: tuple[int, int], padded: tuple[int, int], num_frames: int = 2) -> Tensor:
    mask = torch.ones(len(sizes), num_frames, *padded, dtype=torch.bool)
    for clip, (h, w) in enumerate(sizes):
        mask[clip, :, :h, :w] = False
    return mask


def test_reference_points_are_cell_centres_seen_from_every_level() -> None:
    sizes, ratios = ((3, 4), (2, 2), (1, 3)), torch.rand(2, 3, 2) * 0.5 + 0.5
    ours = encoder_reference_points(sizes, ratios)
    for clip in range(2):
        token = 0
        for own, (height, width) in enumerate(sizes):
            for row in range(height):
                for column in range(width):
                    x = (column + 0.5) / (ratios[clip, own, 0] * width)
                    y = (row + 0.5) / (ratios[clip, own, 1] * height)
                    for level in range(3):
                        expected = torch.stack((x, y)) * ratios[clip, level]
                        torch.testing.assert_close(ours[clip, token, level], expected)
                    token += 1
        assert ours.shape[1] == token


def test_a_padding_mask_shrinks_to_the_nearest_cell() -> None:
    mask = padding((50, 70), (64, 96), padded=(64, 96))
    for size in ((8, 12), (3, 5), (1, 1)):
        ours = shrink_padding(mask, size)
        rows = [i * 64 // size[0] for i in range(size[0])]
        columns = [j * 96 // size[1] for j in range(size[1])]
        assert torch.equal(ours, mask[:, :, rows][..., columns])


def test_valid_ratios_are_the_unpadded_share_of_width_and_height() -> None:
    ratios = valid_ratio(padding((3, 8), (6, 2), padded=(6, 8)))
    assert ratios.tolist() == [[1.0, 0.5], [0.25, 1.0]]


@pytest.mark.parametrize("channels", [4, 6, 16])
def test_sine_codes_follow_the_formula(channels: int) -> None:
    positions = torch.tensor([0.0, 0.5, 3.0, 6.28])
    ours = sine_code(positions, channels)
    for row, position in zip(ours, positions.tolist(), strict=True):
        for channel, value in enumerate(row.tolist()):
            angle = position / 10000 ** (2 * (channel // 2) / channels)
            assert value == pytest.approx(math.cos(angle) if channel % 2 else math.sin(angle), abs=1e-5)


def test_sine_positions_count_unpadded_cells_from_their_middles() -> None:
    height, width = 5, 7
    mask = padding((4, 6), (5, 3), padded=(height, width))
    ours = sine_position(mask, 8)
    for clip, (h, w) in enumerate(((4, 6), (5, 3))):
        for row in range(h):
            for column in range(w):
                y = (row + 0.5) / (h + 1e-6) * 2 * math.pi
                x = (column + 0.5) / (w + 1e-6) * 2 * math.pi
                expected = torch.cat((sine_code(torch.tensor(y), 4), sine_code(torch.tensor(x), 4)))
                torch.testing.assert_close(ours[clip, 1, :, row, column], expected, rtol=0, atol=1e-5)


def test_cell_positions_are_pixels_in_the_middle_of_cells() -> None:
    ours = cell_positions(2, 3, 8, torch.device("cpu"))
    assert ours.tolist() == [[[4, 4], [12, 4], [20, 4]], [[4, 12], [12, 12], [20, 12]]]


def test_inverse_sigmoid_undoes_the_sigmoid_and_stays_finite() -> None:
    x = torch.linspace(-8, 8, 33, dtype=torch.float64)
    torch.testing.assert_close(inverse_sigmoid(x.sigmoid()), x)
    limit = math.log(1e-5)
    ends = inverse_sigmoid(torch.tensor([0.0, 1.0, -3.0, 2.0]))
    torch.testing.assert_close(ends, torch.tensor([limit, -limit, limit, -limit]))


def test_in_a_graph_the_code_of_rows_without_a_frame_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    is_padding = torch.zeros(1, 2, 3, 4, dtype=torch.bool)
    is_padding[..., 3:] = True
    is_padding[:, :, 2:] = True
    expected = sine_position(is_padding, 8)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    # As a runtime might: its sines of large angles are others.
    sines = torch.Tensor.sin, torch.Tensor.cos
    for name, sine in zip(("sin", "cos"), sines, strict=True):
        inexact = lambda angle, sine=sine: sine(angle) + (angle.abs() > 1e3) * (angle.dim() > 2)  # noqa: E731
        monkeypatch.setattr(torch.Tensor, name, inexact)
    assert torch.equal(sine_position(is_padding, 8), expected)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: False)
    assert not torch.equal(sine_position(is_padding, 8), expected)
