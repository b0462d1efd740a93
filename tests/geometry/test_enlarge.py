"""Codes of enlarged masks against interpolation and pycocotools, byte for byte."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco

from maskreel.geometry.enlarge import Axis, encode_enlarged


def code(logits: np.ndarray, size: tuple[int, int]) -> bytes | None:
    axes = [
        Axis.spanning(cells=cells, outputs=outputs, scale=cells / outputs)
        for cells, outputs in zip(logits.shape, size, strict=True)
    ]
    found = encode_enlarged(logits, *axes)
    return None if found is None else found.counts


def usual(logits: np.ndarray, size: tuple[int, int]) -> bytes | None:
    enlarged = F.interpolate(torch.from_numpy(logits)[None, None], size=size, mode="bilinear", align_corners=False)
    mask = (enlarged[0, 0] > 0).numpy()
    return coco.encode(np.asfortranarray(mask).view(np.uint8))["counts"] if mask.any() else None


@pytest.mark.parametrize("seed", range(40))
def test_random_maps_of_any_size_give_the_same_bytes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    cells, size = draw.integers(1, 24, 2), tuple(int(side) for side in draw.integers(1, 90, 2))
    logits = (3 * draw.standard_normal(cells) + draw.normal(0, 3)).astype(np.float32)
    assert code(logits, size) == usual(logits, size)


@pytest.mark.parametrize("place", [(0, 0), (0, 6), (8, 0), (8, 6), (4, 3)])
def test_one_positive_cell_reaches_as_far_as_interpolation_does(place: tuple[int, int]) -> None:
    logits = np.full((9, 7), -0.01, np.float32)
    logits[place] = 5.0
    for size in ((36, 28), (31, 50), (5, 4)):
        assert code(logits, size) == usual(logits, size)


def test_maps_without_a_positive_cell_have_no_mask() -> None:
    assert code(np.zeros((3, 4), np.float32), (12, 16)) is None
    assert code(np.full((3, 4), -1.0, np.float32), (12, 16)) is None


def test_a_positive_cell_between_the_pixels_has_no_mask() -> None:
    logits = np.full((1, 9), -9.0, np.float32)
    logits[0, 1] = 1.0
    assert code(logits, (1, 2)) is None


def test_a_full_picture_is_one_run() -> None:
    assert code(np.ones((3, 4), np.float32), (12, 16)) == usual(np.ones((3, 4), np.float32), (12, 16))


def test_codes_longer_than_the_first_buffer_are_written_whole() -> None:
    checkers = (-1.0) ** np.add.outer(np.arange(160), np.arange(200)).astype(np.float32)
    assert code(checkers, (160, 200)) == usual(checkers, (160, 200))
    found = code(checkers, (160, 200))
    assert found is not None
    assert len(found) > 2**14
