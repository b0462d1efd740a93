"""Box arithmetic against loops over single boxes."""

import pytest
import torch
from torch import Tensor

from maskreel.geometry.boxes import (
    box_area,
    cxcywh_to_xyxy,
    giou,
    iou,
    pairwise_giou,
    pairwise_iou,
    xyxy_to_cxcywh,
)


def random_boxes(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return cxcywh_to_xyxy(torch.rand(*shape, 4, generator=generator, dtype=torch.float64))


def naive_overlap(a: list[float], b: list[float]) -> tuple[float, float]:
    """(IoU, generalised IoU) of two boxes that have an area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = width * height if width > 0 and height > 0 else 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    enclosing = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return intersection / union, intersection / union - (enclosing - union) / enclosing


def test_notations_are_inverse_to_each_other():
    boxes = torch.rand(3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(xyxy_to_cxcywh(cxcywh_to_xyxy(boxes)), boxes)


def test_corners_lie_half_a_size_from_the_centre():
    corners = cxcywh_to_xyxy(torch.tensor([0.5, 0.25, 0.5, 0.125]))
    assert corners.tolist() == [0.25, 0.1875, 0.75, 0.3125]


def test_area_is_width_times_height():
    assert box_area(torch.tensor([[1.0, 2.0, 4.0, 7.0], [3.0, 3.0, 3.0, 9.0]])).tolist() == [15.0, 0.0]


def test_pairwise_overlaps_equal_a_loop_over_pairs():
    a, b = random_boxes(7, seed=1), random_boxes(5, seed=2)
    expected = torch.tensor([[naive_overlap(x, y) for y in b.tolist()] for x in a.tolist()], dtype=torch.float64)
    torch.testing.assert_close(pairwise_iou(a, b), expected[..., 0])
    torch.testing.assert_close(pairwise_giou(a, b), expected[..., 1])


def test_pairs_are_formed_within_each_frame_of_a_batch():
    a, b = random_boxes(3, 7, seed=1), random_boxes(3, 5, seed=2)
    expected = torch.stack([pairwise_giou(x, y) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(pairwise_giou(a, b), expected)


def test_element_wise_overlaps_are_the_diagonal_of_all_pairs():
    a, b = random_boxes(6, seed=3), random_boxes(6, seed=4)
    torch.testing.assert_close(iou(a, b), pairwise_iou(a, b).diagonal())
    torch.testing.assert_close(giou(a, b), pairwise_giou(a, b).diagonal())


def test_a_box_overlaps_itself_fully():
    boxes = random_boxes(4)
    torch.testing.assert_close(giou(boxes, boxes), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("overlap", [iou, giou])
def test_two_boxes_without_area_give_zero_and_a_finite_gradient(overlap):
    a = torch.zeros(1, 4, requires_grad=True)
    value = overlap(a, torch.zeros(1, 4))
    value.sum().backward()
    assert value.item() == 0
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_gradient_of_giou_equals_finite_differences():
    a, b = random_boxes(4, seed=5).requires_grad_(), random_boxes(4, seed=6)
    assert torch.autograd.gradcheck(lambda boxes: giou(boxes, b), a)
