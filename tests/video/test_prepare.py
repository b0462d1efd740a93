"""Frames as a network reads them."""

import numpy as np
import pytest
import torch

from maskreel.structures import Clip
from maskreel.video.prepare import MAX_ASPECT, fit_size, normalise, pad_clips, pad_frames, resize_frames, show_frame


def test_red_green_and_blue_are_normalised_with_the_numbers_of_imagenet() -> None:
    red, green, blue = normalise(torch.full((3, 1, 1), 255, dtype=torch.uint8)).flatten().tolist()
    assert red == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)
    assert green == pytest.approx((1 - 0.456) / 0.224, abs=1e-5)
    assert blue == pytest.approx((1 - 0.406) / 0.225, abs=1e-5)
    zero = normalise(torch.zeros(2, 4, 3, 2, 5, dtype=torch.uint8))
    assert zero.shape == (2, 4, 3, 2, 5)
    for channel, value in enumerate((-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)):
        torch.testing.assert_close(zero[:, :, channel], torch.full((2, 4, 2, 5), value))


@pytest.mark.parametrize(
    ("height", "width", "shortest", "longest", "size"),
    [
        (720, 1280, 360, None, (360, 640)),
        (1280, 720, 360, None, (640, 360)),
        (720, 1281, 360, None, (360, 640)),
        (360, 500, 360, None, (360, 500)),
        (100, 100, 360, 640, (360, 360)),
        (100, 200, 360, 640, (320, 640)),
        (200, 100, 360, 640, (640, 320)),
        (90, 160, 360, 640, (360, 640)),
        (1, 1000, 360, 640, (1, 1000)),
    ],
)
def test_the_shortest_side_is_as_asked_unless_the_longest_would_be_too_long(
    height: int, width: int, shortest: int, longest: int | None, size: tuple[int, int]
) -> None:
    assert fit_size(height, width, shortest=shortest, longest=longest) == size


def test_frames_shrink_without_aliases_and_grow_without_a_shift() -> None:
    stripes = torch.zeros(1, 3, 16, 64, dtype=torch.uint8)
    stripes[..., ::4] = 200
    small = resize_frames(stripes, (4, 16)).float()
    assert (small[..., 1:-1] - 50).abs().max() < 1
    ramp = torch.arange(0, 160, 20, dtype=torch.uint8).expand(2, 3, 4, 8)
    large = resize_frames(ramp, (8, 16))
    assert large.shape == (2, 3, 8, 16)
    torch.testing.assert_close(large[0, 0, 0, 1:-1].float(), 5 + 10 * torch.arange(14.0), rtol=0, atol=1)
    assert resize_frames(ramp, (4, 8)) is ramp


def test_a_frame_is_shown_as_a_copy_of_channels_rows_and_columns() -> None:
    pixels = np.zeros((10, 20, 3), dtype=np.uint8)
    pixels[..., 2] = 90
    shown = show_frame(pixels, 5)
    assert shown.shape == (3, 5, 10)
    assert shown.is_contiguous()
    assert shown[2].float().mean() == 90
    assert shown[:2].sum() == 0
    same = show_frame(pixels, 10)
    same[:] = 1
    assert pixels[..., 2].min() == 90


def test_a_very_long_frame_is_shrunk_until_it_fits() -> None:
    assert show_frame(np.zeros((10, 200, 3), dtype=np.uint8), 10).shape == (3, 2, 10 * MAX_ASPECT)


def test_a_longest_side_wins_over_the_shortest() -> None:
    wide = np.zeros((360, 640, 3), dtype=np.uint8)
    assert show_frame(wide, 300).shape == (3, 300, 533)
    assert show_frame(wide, 300, 540).shape == (3, 300, 533)
    assert show_frame(np.zeros((300, 600, 3), dtype=np.uint8), 300, 540).shape == (3, 270, 540)


def test_clips_are_padded_on_the_right_and_at_the_bottom_and_kept_apart() -> None:
    one, other = torch.full((2, 3, 5, 7), 1.0), torch.full((2, 3, 6, 4), 2.0)
    batch = pad_frames([one, other], multiple=4)
    assert batch.frames.shape == (2, 2, 3, 8, 8)
    assert torch.equal(batch.frames[0, :, :, :5, :7], one)
    assert torch.equal(batch.frames[1, :, :, :6, :4], other)
    assert batch.frames.sum() == one.sum() + other.sum()
    assert torch.equal(~batch.is_padding[:, 0], (batch.frames[:, 0, 0] > 0))
    assert torch.equal(batch.is_padding[:, 0], batch.is_padding[:, 1])


def test_clips_are_normalised_before_they_are_padded() -> None:
    clip = Clip(frames=torch.zeros(1, 3, 2, 2, dtype=torch.uint8), frame_index=torch.arange(1), video_id=1, size=(2, 2))
    batch = pad_clips([clip])
    assert batch.frames.shape == (1, 1, 3, 32, 32)
    torch.testing.assert_close(batch.frames[0, :, :, :2, :2], normalise(clip.frames))
    assert batch.frames[0, :, :, 2:].abs().sum() == batch.frames[0, :, :, :, 2:].abs().sum() == 0


@pytest.mark.parametrize("lengths", [(2, 3), ()])
def test_clips_of_different_lengths_make_no_batch(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clips of equal length"):
        pad_frames([torch.zeros(length, 3, 4, 4) for length in lengths])


@pytest.mark.parametrize(
    ("size", "largest", "shown"),
    [
        ((96, 160), (96, 160), (96, 160)),
        ((96, 160), (96, 128), (76, 128)),
        ((160, 96), (96, 160), (96, 57)),
        ((48, 64), (96, 160), (96, 128)),
        ((48, 64), None, (96, 128)),
    ],
)
def test_a_frame_that_does_not_fit_is_shrunk_until_it_does(
    size: tuple[int, int], largest: tuple[int, int] | None, shown: tuple[int, int]
) -> None:
    frame = show_frame(np.zeros((*size, 3), dtype=np.uint8), 96, largest=largest)
    assert frame.shape == (3, *shown)
