"""Levels of the pyramid."""

import pytest
import torch
from torch import Tensor

from maskreel.nn.backbones.pyramid import Pyramid
from maskreel.structures import FeatureMap
from tests.builders import clip_batch

CHANNELS = (5, 6, 7)
SIZES = ((50, 70), (64, 96))


def maps() -> tuple[FeatureMap, ...]:
    """Three backbone maps of two clips of three frames of 64 x 96 pixels."""
    return tuple(
        FeatureMap(
            values=torch.randn(2, 3, c, 64 // stride, 96 // stride),
            is_padding=torch.zeros(2, 3, 64 // stride, 96 // stride, dtype=torch.bool),
            stride=stride,
        )
        for c, stride in zip(CHANNELS, (8, 16, 32), strict=True)
    )


def level_of(pyramid: Pyramid, index: int, x: Tensor) -> Tensor:
    """Convolution and group norm of one level on plain images, written out."""
    conv, norm = pyramid.levels[index]
    x = conv(x)
    groups = x.unflatten(1, (32, -1))
    mean = groups.mean((2, 3, 4), keepdim=True)
    variance = (groups - mean).square().mean((2, 3, 4), keepdim=True)
    x = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def test_five_levels_halve_from_stride_8_to_128() -> None:
    levels = Pyramid(CHANNELS, width=64, num_levels=5)(maps(), clip_batch(SIZES))
    assert [level.stride for level in levels] == [8, 16, 32, 64, 128]
    assert [tuple(level.values.shape[-2:]) for level in levels] == [(8, 12), (4, 6), (2, 3), (1, 2), (1, 1)]
    assert all(level.values.shape[:3] == (2, 3, 64) for level in levels)
    assert all(level.is_padding.shape == (2, 3, *level.values.shape[-2:]) for level in levels)


def test_backbone_levels_are_projections_and_extra_levels_read_the_one_before() -> None:
    pyramid, inputs = Pyramid(CHANNELS, width=64, num_levels=5), maps()
    levels = pyramid(inputs, clip_batch(SIZES))
    sources = [*(level.values for level in inputs), inputs[-1].values, levels[3].values]
    for index, (source, level) in enumerate(zip(sources, levels, strict=True)):
        expected = level_of(pyramid, index, source.flatten(0, 1))
        torch.testing.assert_close(level.values.flatten(0, 1), expected, rtol=1e-4, atol=1e-4)


def test_padding_is_that_of_the_clip_at_the_nearest_pixel() -> None:
    clip = clip_batch(SIZES)
    for level in Pyramid(CHANNELS, width=32, num_levels=4)(maps(), clip):
        h, w = level.values.shape[-2:]
        rows, columns = [i * 64 // h for i in range(h)], [j * 96 // w for j in range(w)]
        assert torch.equal(level.is_padding, clip.is_padding[:, :, rows][..., columns])


def test_sizes_that_are_no_multiple_of_the_stride_are_rounded_up() -> None:
    inputs = (FeatureMap(values=torch.randn(1, 1, 4, 5, 7), is_padding=torch.zeros(1, 1, 5, 7).bool(), stride=32),)
    levels = Pyramid((4,), width=32, num_levels=3)(inputs, clip_batch([(140, 200)], num_frames=1))
    assert [tuple(level.values.shape[-2:]) for level in levels] == [(5, 7), (3, 4), (2, 2)]


def test_fewer_levels_than_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="num_levels is 2, but the backbone hands over 3 maps"):
        Pyramid(CHANNELS, width=32, num_levels=2)
