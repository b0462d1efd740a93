"""Every tensor container that travels between the steps of the pipeline, on one page.

Axis letters, the same in the whole project:
    b clip in batch   t frame           c channel         h w rows, columns   s flattened token
    l level           q query           n real object     k class             m attention head
    p sampling point  v class votes (1 per clip, or one per frame)

Boxes are (centre x, centre y, width, height) in fractions of the un-padded frame. Colour frames are RGB.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Frames of one video as a sampler hands them out, on the CPU."""

    frames: UInt8[Tensor, "t 3 h w"]
    frame_index: Int[Tensor, " t"]
    """Positions of the frames in their video."""
    video_id: int
    size: tuple[int, int]
    """(height, width) of the video's own frames, before any resizing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipTarget:
    """Objects of one clip; there may be none (n = 0)."""

    labels: Int[Tensor, " n"]
    """Contiguous class indices, 0-based."""
    boxes: Float[Tensor, "n t 4"]
    """Zero where the object is absent."""
    masks: Bool[Tensor, "n t h w"]
    """At the pixels of the (resized, un-padded) clip."""
    is_visible: Bool[Tensor, "n t"]
    track_id: Int[Tensor, " n"]

    def to(self, device: torch.device | str) -> "ClipTarget":
        return ClipTarget(
            labels=self.labels.to(device),
            boxes=self.boxes.to(device),
            masks=self.masks.to(device),
            is_visible=self.is_visible.to(device),
            track_id=self.track_id.to(device),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """Clips of equal length, normalised with the ImageNet mean and deviation and padded on the right and bottom."""

    frames: Float[Tensor, "b t 3 h w"]
    """Zero on padding."""
    is_padding: Bool[Tensor, "b t h w"]

    def to(self, device: torch.device | str) -> "ClipBatch":
        return ClipBatch(frames=self.frames.to(device), is_padding=self.is_padding.to(device))

    def pin_memory(self) -> "ClipBatch":
        return ClipBatch(frames=self.frames.pin_memory(), is_padding=self.is_padding.pin_memory())


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMap:
    """One level of a pyramid; a pyramid is a tuple of these, fine to coarse."""

    values: Float[Tensor, "b t c h w"]
    is_padding: Bool[Tensor, "b t h w"]
    stride: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMemory:
    """Encoded tokens of a clip, the levels of a frame one after the other along `s`."""

    tokens: Float[Tensor, "b t s c"]
    is_padding: Bool[Tensor, "b t s"]
    level_sizes: tuple[tuple[int, int], ...]
    """(rows, columns) per level."""
    valid_ratios: Float[Tensor, "b l 2"]
    """Un-padded fraction (x, y) of every level; all frames of a clip share it."""


@runtime_checkable
class MaskSource(Protocol):
    """Decodes masks on demand, so that queries x frames x pixels never exists."""

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        """Mask logits of chosen queries of one clip of the batch, at stride 4 of the padded frame."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerPrediction:
    """What one decoder layer says."""

    class_logits: Float[Tensor, "b q v k"]
    boxes: Float[Tensor, "b q t 4"]
    embedding: Float[Tensor, "b q t c"] | None = None
    masks: MaskSource | None = None
    """None for auxiliary layers that are not supervised by masks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPrediction:
    """Predictions of all decoder layers; the last one is final, the others are auxiliary."""

    layers: tuple[LayerPrediction, ...]
    votes: Literal["per_clip", "per_frame"] = "per_clip"
    """`per_clip`: one vote, whose classes score on their own by a sigmoid. `per_frame`: a vote in every frame by a
    softmax over the classes and, behind them, "no object"."""
    memory: ClipMemory | None = None
    """Encoded tokens, in training alone, for losses that look at them."""

    @property
    def final(self) -> LayerPrediction:
        return self.layers[-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """Assignment of queries to objects of one clip."""

    query: Int[Tensor, " n"]
    target: Int[Tensor, " n"]
