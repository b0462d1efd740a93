"""Objects of a clip as their masks lie in the file, in runs: they are drawn when it is known at which size."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from maskreel.geometry import drawn_runs
from maskreel.geometry.masks import PixelPlaces, boxes_from_edges
from maskreel.geometry.runs import PackedTracks
from maskreel.structures import ClipTarget


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipRuns:
    """Objects of one clip; there may be none (n = 0)."""

    labels: Int[Tensor, " n"]
    track_id: Int[Tensor, " n"]
    tracks: PackedTracks
    """Each frame once."""
    frames: Int[np.ndarray, " t"]
    """Which of the frames in `tracks` each frame of the clip is."""
    size: tuple[int, int]
    """(height, width) of the masks."""

    @property
    def is_visible(self) -> Bool[np.ndarray, "n t"]:
        """Where an object has a pixel."""
        areas = self.tracks.areas
        return areas[:, self.frames] > 0 if areas.size else np.zeros((len(areas), self.frames.size), dtype=bool)

    def target(self, places: PixelPlaces | None = None) -> ClipTarget:
        """The objects with their masks, as they are or changed; all of them, also those without a pixel left."""
        height, width = self.size
        places = places or PixelPlaces.whole(height, width)
        masks, edges = drawn_runs.draw(self.tracks, self.frames, places, height=height)
        boxes = boxes_from_edges(torch.from_numpy(edges), places.size)
        return ClipTarget(
            labels=self.labels,
            boxes=boxes,
            masks=torch.from_numpy(masks),
            is_visible=boxes[..., 2] > 0,
            track_id=self.track_id,
        )
