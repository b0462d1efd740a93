"""Mask geometry against loops over pixels."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.geometry.boxes import cxcywh_to_xyxy
from maskreel.geometry.masks import PixelPlaces, boxes_from_masks, mask_extents, spatio_temporal_iou
from tests.counting import CountedOperators


def random_masks(*shape: int, seed: int = 0, density: float = 0.2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < density


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    return PixelPlaces.whole(*masks.shape[-2:]).resized(size).of(masks)


def naive_extent(mask: Tensor) -> list[int]:
    pixels = [(x, y) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]]
    if not pixels:
        return [0, 0, 0, 0]
    columns, rows = [x for x, _ in pixels], [y for _, y in pixels]
    return [min(columns), min(rows), max(columns), max(rows)]


def test_extents_equal_a_loop_over_pixels():
    masks = random_masks(40, 5, 7, density=0.06)
    assert mask_extents(masks).tolist() == [naive_extent(mask) for mask in masks]
    assert not masks.flatten(1).any(dim=1).all(), "the draw holds an empty mask"


def test_boxes_enclose_whole_pixels():
    masks = torch.zeros(1, 2, 10, 20, dtype=torch.bool)
    masks[0, 0, 3:5, 8] = True
    box, empty = boxes_from_masks(masks)[0]
    torch.testing.assert_close(cxcywh_to_xyxy(box), torch.tensor([8 / 20, 3 / 10, 9 / 20, 5 / 10]))
    assert empty.tolist() == [0, 0, 0, 0]


def test_box_of_a_full_mask_is_the_frame():
    assert boxes_from_masks(torch.ones(6, 9, dtype=torch.bool)).tolist() == [0.5, 0.5, 1, 1]


def test_no_masks_give_no_boxes():
    assert boxes_from_masks(torch.zeros(0, 5, 6, 8, dtype=torch.bool)).shape == (0, 5, 4)


@pytest.mark.parametrize("size", [(5, 7), (12, 9), (31, 40)])
def test_resized_mask_takes_the_pixel_under_each_new_centre(size):
    masks = random_masks(2, 3, 12, 18)
    resized = resize_masks(masks, size)
    for row in range(size[0]):
        for column in range(size[1]):
            source = masks[..., int((row + 0.5) * 12 / size[0]), int((column + 0.5) * 18 / size[1])]
            assert torch.equal(resized[..., row, column], source)


def test_resizing_no_masks_gives_no_masks_of_the_new_size():
    assert resize_masks(torch.zeros(0, 5, 6, 8, dtype=torch.bool), (3, 4)).shape == (0, 5, 3, 4)


def test_crop_is_the_window():
    masks = random_masks(2, 3, 12, 18)
    window = PixelPlaces.whole(12, 18).window(top=2, left=5, size=(4, 6))
    assert torch.equal(window.of(masks), masks[..., 2:6, 5:11])


@pytest.mark.parametrize("window", [{"top": -1, "left": 0}, {"top": 9, "left": 0}, {"top": 0, "left": 15}])
def test_crop_refuses_a_window_outside_the_frame(window):
    with pytest.raises(ValueError, match=f"row {window['top']}, column {window['left']} leaves a frame of 12x18"):
        PixelPlaces.whole(12, 18).window(size=(4, 6), **window)


def test_overlap_of_masklets_equals_a_loop_over_pairs():
    a, b = random_masks(3, 4, 6, 8, seed=1), random_masks(2, 4, 6, 8, seed=2, density=0.6)
    a[2] = False
    b[1] = False
    overlap = spatio_temporal_iou(a, b)
    for i in range(3):
        for j in range(2):
            union = int((a[i] | b[j]).sum())
            expected = int((a[i] & b[j]).sum()) / union if union else 0.0
            assert overlap[i, j].item() == pytest.approx(expected)


def test_resizing_gives_the_bits_of_resizing_numbers():
    """Places fall on ties and are rounded in float32, as they are for images: 13 to 84 is such a case."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(13, 16, 84, 83), *torch.randint(1, 300, (200, 4), generator=generator).tolist()]
    for height, width, *size in sizes:
        masks = random_masks(1, 2, height, width, seed=width)
        numbers = F.interpolate(masks.to(torch.uint8), size=tuple(size), mode="nearest-exact")
        assert torch.equal(resize_masks(masks, (size[0], size[1])), numbers.bool()), (height, width, size)


def test_finding_boxes_takes_no_pass_over_booleans():
    with CountedOperators() as counted:
        boxes_from_masks(random_masks(2, 3, 20, 30))
    # Twelve times as slow as the largest of the same bytes; one is left, of lines.
    assert counted.calls["any"] <= 1
    assert counted.calls["amax"] == 2
