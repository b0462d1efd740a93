"""A model that needs no training: it finds blocks by their colours, so that every mask and identity is known."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.inference.postprocess import MASK_STRIDE
from maskreel.structures import (
    ClipBatch,
    ClipPrediction,
    FeatureMap,
    FrameFeatures,
    LayerPrediction,
    select_masks,
)
from maskreel.video.prepare import IMAGENET_MEAN, IMAGENET_STD
from tests.video.videos import COLOURS

CLASSES = ((1, "square"), (5, "disc"), (9, "star"))
"""Query q finds colour q and says class q modulo 3."""

SEEN, UNSEEN = 3.0, -4.0
"""Class logits."""


class ColourMasks:
    """Masks of one batch, with a note of what was asked for."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits
        self.asked: list[tuple[int, list[int]]] = []

    def select(self, clip: int, queries: Tensor) -> Tensor:
        self.asked.append((clip, queries.tolist()))
        return self._logits[clip, queries]


class ColourModel:
    """A runtime with one query per colour, by default of `tests.video.videos.COLOURS`; `shown` is what it was shown."""

    device = torch.device("cpu")
    masks = staticmethod(select_masks)

    def __init__(self, colours: np.ndarray = COLOURS) -> None:
        self.colours = colours
        self.shown: list[ClipBatch] = []

    @property
    def lengths(self) -> list[int]:
        """Frames of each clip."""
        return [clips.frames.shape[1] for clips in self.shown]

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """The frames themselves."""
        self.shown.append(frames)
        pixels = FeatureMap(values=frames.frames, is_padding=frames.is_padding, stride=1)
        return FrameFeatures(maps=(pixels,), sizes=torch.zeros(*frames.frames.shape[:2], 2))

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        (clips,) = features.maps
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        pixels = clips.values * std + mean
        colours = torch.from_numpy(self.colours).float().div(255).view(1, 1, -1, 3, 1, 1)
        distance = (pixels[:, :, None] - colours).abs().amax(dim=3)
        logits = 20 * (0.35 - distance)
        # Padding is black and far from every colour; a strong wrong answer there shows where it leaks.
        logits = torch.where(clips.is_padding[:, :, None], 30.0, logits)
        logits = F.avg_pool2d(logits.flatten(0, 2)[:, None], MASK_STRIDE)[:, 0]
        logits = logits.unflatten(0, (*distance.shape[:3],)).transpose(1, 2)
        height = (~clips.is_padding[0, 0, :, 0]).sum() // MASK_STRIDE
        is_seen = (logits[..., :height, :] > 0).flatten(2).any(dim=-1)
        num_queries = len(self.colours)
        class_logits = torch.full((len(logits), num_queries, 1, len(CLASSES)), UNSEEN)
        for query in range(num_queries):
            class_logits[:, query, 0, query % len(CLASSES)] = torch.where(is_seen[:, query], SEEN, UNSEEN)
        boxes = torch.full((len(logits), num_queries, logits.shape[2], 4), 0.5)
        layer = LayerPrediction(class_logits=class_logits, boxes=boxes, masks=ColourMasks(logits))
        return ClipPrediction(layers=(layer,), appearance=torch.eye(num_queries).expand(len(logits), -1, -1))
