"""Binary masks over time: where their pixels come from, the boxes around them, and their overlap as volumes."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskreel.geometry.boxes import xyxy_to_cxcywh


@dataclass(frozen=True, eq=False)
class PixelPlaces:
    """Row and column of a frame that each pixel of a changed frame shows: what mirroring, resizing and cutting come to.

    Resizing takes the nearest neighbour at pixel centres, so that a mask stays aligned with its frame, which is resized
    bilinearly.
    """

    rows: Int[np.ndarray, " h"]
    """Never falling."""
    columns: Int[np.ndarray, " w"]
    """Never falling, or, where the frame is mirrored, never rising."""

    @staticmethod
    def whole(height: int, width: int) -> "PixelPlaces":
        """A frame as it is."""
        return PixelPlaces(np.arange(height), np.arange(width))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the changed frame."""
        return self.rows.size, self.columns.size

    def mirrored(self) -> "PixelPlaces":
        """Left becomes right."""
        return PixelPlaces(self.rows, self.columns[::-1])

    def resized(self, size: tuple[int, int]) -> "PixelPlaces":
        rows, columns = (_nearest(old, new) for old, new in zip(self.size, size, strict=True))
        return PixelPlaces(self.rows[rows], self.columns[columns])

    def window(self, *, top: int, left: int, size: tuple[int, int]) -> "PixelPlaces":
        """The window of `size` (height, width) whose upper left pixel is (top, left)."""
        height, width = size
        if min(top, left) < 0 or top + height > self.rows.size or left + width > self.columns.size:
            raise ValueError(
                f"window of {height}x{width} pixels at row {top}, column {left} leaves a frame of "
                f"{self.rows.size}x{self.columns.size}"
            )
        return PixelPlaces(self.rows[top : top + height], self.columns[left : left + width])

    def of(self, masks: Bool[Tensor, "n t h w"]) -> Bool[Tensor, "n t new_h new_w"]:
        """The changed masks."""
        if not masks.numel():
            return masks.new_zeros((*masks.shape[:2], *self.size))
        # Three times as fast as resizing all of them, which takes numbers for booleans.
        return torch.from_numpy(masks.numpy()[..., self.rows[:, None], self.columns])


def mask_extents(masks: Bool[Tensor, "*any h w"]) -> Int[Tensor, "*any 4"]:
    """First column, first row, last column and last row that a mask touches (inclusive); zeros where it is empty."""
    columns, rows = _touched(masks)
    extents = torch.stack((_first(columns), _first(rows), _last(columns), _last(rows)), dim=-1)
    return extents * columns.any(dim=-1, keepdim=True)


def boxes_from_masks(masks: Bool[Tensor, "*any h w"]) -> Float[Tensor, "*any 4"]:
    """Tight boxes as fractions (centre x, centre y, width, height) of the masks' frame; zeros where a mask is empty.

    A box ends behind its last pixel: an object one pixel wide has the width of one pixel, as in YouTube-VIS files,
    and not 0 as with inclusive pixel indices (`mask_extents`).
    """
    columns, rows = _touched(masks)
    edges = torch.stack((_first(columns), _first(rows), _last(columns) + 1, _last(rows) + 1), dim=-1)
    return boxes_from_edges(edges * columns.any(dim=-1, keepdim=True), (masks.shape[-2], masks.shape[-1]))


def boxes_from_edges(edges: Int[Tensor, "*any 4"], size: tuple[int, int]) -> Float[Tensor, "*any 4"]:
    """Boxes as above from their edges in pixels (left, top, right, bottom; all 0 where a mask is empty) in a frame of
    `size` (height, width)."""
    height, width = size
    return xyxy_to_cxcywh(edges / torch.tensor([width, height, width, height], device=edges.device))


def spatio_temporal_iou(a: Bool[Tensor, "n t h w"], b: Bool[Tensor, "m t h w"]) -> Float[Tensor, "n m"]:
    """IoU of every pair of masklets, taken as volumes over all frames; 0 for two empty ones."""
    intersection = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    # float32 counts exactly up to 2^24 pixels: enough for a frame, not for a whole clip.
    for frame in range(a.shape[1]):
        intersection += a[:, frame].flatten(1).float() @ b[:, frame].flatten(1).float().T
    area_a, area_b = a.sum(dim=(1, 2, 3)), b.sum(dim=(1, 2, 3))
    union = area_a[:, None] + area_b[None] - intersection
    return (intersection / union.clamp(min=1)).float()


def _touched(masks: Bool[Tensor, "*any h w"]) -> tuple[Bool[Tensor, "*any w"], Bool[Tensor, "*any h"]]:
    """Columns and rows with a pixel; as the largest of numbers, since `any` takes twelve times as long."""
    if not masks.numel():
        return masks.any(dim=-2), masks.any(dim=-1)
    numbers = masks.view(torch.uint8)
    return numbers.amax(dim=-2).bool(), numbers.amax(dim=-1).bool()


def _nearest(old: int, new: int) -> np.ndarray:
    """Place in the old line that each place of the new one is read from."""
    # As images: lines of float64 are rounded otherwise.
    places = torch.arange(old, dtype=torch.float32)[None, None, :, None]
    return F.interpolate(places, size=(new, 1), mode="nearest-exact").flatten().long().numpy()


def _first(line: Tensor) -> Tensor:
    return line.to(torch.uint8).argmax(dim=-1)


def _last(line: Tensor) -> Tensor:
    return line.shape[-1] - 1 - _first(line.flip(-1))
