"""What a model finds in a window of frames, computing no frame twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from maskreel.inference.options import PredictorOptions
from maskreel.inference.postprocess import ClipDetections, clip_detections
from maskreel.runtimes.protocol import Runtime
from maskreel.structures import FrameFeatures
from maskreel.video.prepare import normalise, pad_frames


@dataclass(eq=False, kw_only=True)
class ShownFrame:
    """One frame at the size that the network is to see, and what the model makes of it alone."""

    pixels: UInt8[Tensor, "3 h w"]
    features: FrameFeatures | None = None
    """None before the first window that shows it."""


class Finder:
    """Finds the objects of clips and windows; windows of one video may share frames, whose features are kept.

    Features of several new frames are computed at once. Without reuse they are all computed anew for every window, so
    that they do not depend, not even in the last bit, on what the windows before were.
    """

    def __init__(self, runtime: Runtime, options: PredictorOptions, *, clip_frames: int, reuse: bool) -> None:
        """`clip_frames` is the length to which short clips are repeated, where the options want that."""
        self._runtime = runtime
        self._options = options
        self._clip_frames = clip_frames
        self._reuse = reuse

    def __call__(self, frames: Sequence[ShownFrame], source_size: tuple[int, int]) -> ClipDetections:
        """Objects of the frames of one window, with masks of (height, width)."""
        order = list(range(len(frames)))
        if self._options.short_clips == "repeat" and len(frames) < self._clip_frames:
            order = [index % len(frames) for index in range(self._clip_frames)]
        features = self._kept_features(frames, order) if self._reuse else self._features([frames[i] for i in order])
        options = self._options
        height, width = frames[0].pixels.shape[-2:]
        return clip_detections(
            self._runtime.clip(features),
            top_k=options.top_k,
            max_objects=options.max_objects,
            min_score=options.min_score,
            source_size=source_size,
            network_size=(height, width),
            num_frames=len(frames),
            select=self._runtime.masks,
        )

    def _kept_features(self, frames: Sequence[ShownFrame], order: Sequence[int]) -> FrameFeatures:
        new = [frame for frame in frames if frame.features is None]
        if new:
            made = self._features(new)
            for index, frame in enumerate(new):
                frame.features = made.take([index])
            if len(new) == len(order):
                return made
        return FrameFeatures.join([kept for index in order if (kept := frames[index].features) is not None])

    def _features(self, frames: Sequence[ShownFrame]) -> FrameFeatures:
        clip = normalise(torch.stack([frame.pixels for frame in frames]))
        return self._runtime.frame_features(pad_frames([clip]))
