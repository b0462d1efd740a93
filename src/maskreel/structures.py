"""Every tensor container that travels between the steps of the pipeline, on one page.

Axis letters, the same in the whole project:
    b clip in batch   t frame           c channel         h w rows, columns   s flattened token
    l level           q query           n real object     k class             m attention head
    p sampling point  v class votes (1 per clip, or one per frame)

Boxes are (centre x, centre y, width, height) in fractions of the un-padded frame. Colour frames are RGB.
"""

from collections.abc import Callable, Sequence
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
    """Clips of equal length, normalised with the ImageNet mean and std and padded on the right and bottom."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameFeatures:
    """What a model makes of frames one by one: a frame's are the same in whatever clip it stands, so they can be kept.

    Every tensor has the clip and the frame as its first axes.
    """

    maps: tuple[FeatureMap, ...]
    """Fine to coarse."""
    sizes: Float[Tensor, "b t 2"]
    """(width, height) of the un-padded frames in pixels."""

    def take(self, frames: Sequence[int] | slice) -> "FrameFeatures":
        """Features of some frames, by their positions along t."""
        chosen = frames if isinstance(frames, slice) else list(frames)
        return self._along_t(lambda tensors: tensors[0][:, chosen], [self])

    @staticmethod
    def join(parts: "Sequence[FrameFeatures]") -> "FrameFeatures":
        """Features of the frames of all parts, one after the other; the frames are of one size, padding included."""
        return parts[0]._along_t(lambda tensors: torch.cat(tensors, 1), parts)

    @staticmethod
    def _along_t(change: Callable[[list[Tensor]], Tensor], parts: "Sequence[FrameFeatures]") -> "FrameFeatures":
        """New features; `change` makes each of their tensors from those of the parts."""
        levels = zip(*(part.maps for part in parts), strict=True)
        return FrameFeatures(
            maps=tuple(
                FeatureMap(
                    values=change([level.values for level in same]),
                    is_padding=change([level.is_padding for level in same]),
                    stride=same[0].stride,
                )
                for same in levels
            ),
            sizes=change([part.sizes for part in parts]),
        )


@runtime_checkable
class MaskDecoder(Protocol):
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
    masks: MaskDecoder | None = None
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
    appearance: Float[Tensor, "b q c"] | None = None
    """By which the object of a query is known again in another clip, where the model says it; never in training."""

    @property
    def final(self) -> LayerPrediction:
        return self.layers[-1]


def select_masks(prediction: ClipPrediction, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
    """Final mask logits of chosen queries of one clip of the batch, at stride 4 of the padded frame."""
    if prediction.final.masks is None:
        raise ValueError("this model predicts no masks")
    return prediction.final.masks.select(clip, queries)


@runtime_checkable
class VideoModel(Protocol):
    """A model in its three calls; `forward` is `clip(frame_features(frames))`.

    Live video keeps the features of frames that clips share, and exported graphs are cut here: all that passes from
    call to call stands in the records, nothing on the model.
    """

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """What can be said of each frame without the others."""
        ...

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        """What the frames say together, as the frames of one clip in this order."""
        ...

    def masks(self, prediction: ClipPrediction, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        """As `select_masks`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """Where a query of an attention layer looks: an entry for each head and each point or key that it reads."""

    head: Int[Tensor, " n"]
    frame: Float[Tensor, " n"]
    """Position in the clip, from 0; between two frames where sampling blends them."""
    level: Int[Tensor, " n"]
    place: Float[Tensor, "n 2"]
    """(x, y) in fractions of the un-padded frame; a point may lie outside, where it reads zero."""
    weight: Float[Tensor, " n"]
    """Adds up to 1 over the entries of a head."""
    cells: Float[Tensor, "l 2"] | None = None
    """Cells (x, y) of every level across the un-padded frame, where keys are cells; None for points."""

    @staticmethod
    def join(tables: "Sequence[Looks]", *, share: float = 1.0) -> "Looks":
        """The entries of all tables, with `share` of their weights."""
        names = ("head", "frame", "level", "place")
        joined = {name: torch.cat([getattr(table, name) for table in tables]) for name in names}
        return Looks(**joined, weight=share * torch.cat([table.weight for table in tables]), cells=tables[0].cells)


@dataclass(frozen=True, kw_only=True, eq=False)
class Match:
    """Assignment of queries to objects of one clip."""

    query: Int[Tensor, " n"]
    target: Int[Tensor, " n"]
