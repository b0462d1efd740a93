"""Boxes: the two notations, areas, IoU and generalised IoU.

The overlap functions broadcast over the leading axes: `iou(a, b)` of two equal lists is element-wise, and
`iou(a[:, None], b[None])` compares every box with every other.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def cxcywh_to_xyxy(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 4"]:
    """(centre x, centre y, width, height) to (left, top, right, bottom)."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - size / 2, centre + size / 2), dim=-1)


def xyxy_to_cxcywh(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 4"]:
    """(left, top, right, bottom) to (centre x, centre y, width, height)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def box_area(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any"]:
    """Area of (left, top, right, bottom) boxes."""
    size = boxes[..., 2:] - boxes[..., :2]
    return size[..., 0] * size[..., 1]


def iou(a: Float[Tensor, "*#any 4"], b: Float[Tensor, "*#any 4"], *, epsilon: float = 0.0) -> Float[Tensor, "*any"]:
    """Intersection over union of (left, top, right, bottom) boxes; 0 for two boxes without area.

    An `epsilon` is added above and below, as in VisTR; two boxes without area then have 1.
    """
    intersection, union = _intersection_and_union(a, b)
    return _ratio(intersection, union, epsilon)


def giou(a: Float[Tensor, "*#any 4"], b: Float[Tensor, "*#any 4"], *, epsilon: float = 0.0) -> Float[Tensor, "*any"]:
    """Generalised IoU (arXiv 1902.09630) of (left, top, right, bottom) boxes, in [-1, 1].

    Where the enclosing box has no area either, the value is 0 instead of 0/0. An `epsilon` is added above and below in
    both of its quotients, as in VisTR.
    """
    intersection, union = _intersection_and_union(a, b)
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    enclosing = box_area(torch.cat((low, high), dim=-1))
    return _ratio(intersection, union, epsilon) - _ratio(enclosing - union, enclosing, epsilon)


def pairwise_iou(a: Float[Tensor, "*batch n 4"], b: Float[Tensor, "*batch m 4"]) -> Float[Tensor, "*batch n m"]:
    """IoU of every box of `a` with every box of `b`; (left, top, right, bottom)."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def pairwise_giou(a: Float[Tensor, "*batch n 4"], b: Float[Tensor, "*batch m 4"]) -> Float[Tensor, "*batch n m"]:
    """Generalised IoU of every box of `a` with every box of `b`; (left, top, right, bottom)."""
    return giou(a[..., :, None, :], b[..., None, :, :])


def _intersection_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    size = (high - low).clamp(min=0)
    intersection = size[..., 0] * size[..., 1]
    return intersection, box_area(a) + box_area(b) - intersection


def _ratio(part: Tensor, whole: Tensor, epsilon: float) -> Tensor:
    """`part / whole`, 0 where `whole` is 0; the gradient stays finite there too."""
    if epsilon:
        return (part + epsilon) / (whole + epsilon)
    is_empty = whole == 0
    return torch.where(is_empty, 0.0, part / whole.masked_fill(is_empty, 1.0))
