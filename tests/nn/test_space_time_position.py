"""3-D sine codes against the scalar formula."""

import math

import pytest
import torch

from maskreel.nn.layers.position import axis_channels, space_time_position


@pytest.mark.parametrize(
    ("width", "channels"),
    [(384, (128, 128, 128)), (256, (84, 86, 86)), (48, (16, 16, 16)), (32, (10, 12, 10)), (6, (2, 2, 2))],
)
def test_every_axis_has_an_even_share_of_the_channels(width: int, channels: tuple[int, int, int]) -> None:
    assert axis_channels(width) == channels
    assert sum(channels) == width


@pytest.mark.parametrize("width", [4, 33])
def test_widths_without_such_a_share_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width {width}: a 3-D sine code needs an even number"):
        axis_channels(width)


def test_codes_follow_the_formula_for_a_width_that_three_does_not_divide() -> None:
    width, frames, rows, columns = 16, 3, 4, 5
    is_padding = torch.ones(1, frames + 1, rows + 1, columns + 2, dtype=torch.bool)
    is_padding[:, :frames, :rows, :columns] = False
    code = space_time_position(is_padding, width)
    counts = axis_channels(width)
    for t, i, j in ((0, 0, 0), (2, 3, 4), (1, 2, 0)):
        expected = []
        for place, last, channels in zip((t, i, j), (frames, rows, columns), counts, strict=True):
            angle = (place + 1) / (last + 1e-6) * 2 * math.pi
            for k in range(channels):
                turned = angle / 10000 ** (2 * (k // 2) / channels)
                expected.append(math.sin(turned) if k % 2 == 0 else math.cos(turned))
        torch.testing.assert_close(code[0, t, :, i, j], torch.tensor(expected), rtol=0, atol=1e-5)


def test_padding_in_space_and_time_leaves_codes_alone() -> None:
    own = space_time_position(torch.zeros(1, 2, 3, 4, dtype=torch.bool), 18)
    is_padding = torch.ones(1, 5, 6, 7, dtype=torch.bool)
    is_padding[:, :2, :3, :4] = False
    torch.testing.assert_close(space_time_position(is_padding, 18)[:, :2, :, :3, :4], own, rtol=0, atol=0)
