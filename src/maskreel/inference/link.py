"""Giving objects one identity through overlapping clips."""

import numpy as np
from jaxtyping import Float

from maskreel.assignment import linear_sum_assignment
from maskreel.geometry.masks import spatio_temporal_iou
from maskreel.inference.agreement import class_agreement
from maskreel.inference.memory import IdentityMemory
from maskreel.inference.postprocess import ClipDetections

MATCH_THRESHOLD = 0.25
"""Least similarity of a match: a quarter of overlap where the classes agree, half where they have nothing in common."""


class Linker:
    """Assigns track ids to the detections of one window after the other; remembers only the last window.

    Two detections are the same object when their masks overlap in the frames that the windows share. Each pair has the
    similarity IoU x (1 + agreement) / 2, where agreement is the overlap of the class probabilities; pairs are matched
    so that the sum is greatest. What has no match may be an object that the memory knows, which gets its id back, or is
    a new one; without a memory, what is not seen where windows meet is new when it returns. Ids count up from 1 and are
    never given to another object.
    """

    def __init__(self, memory: IdentityMemory | None = None) -> None:
        self._memory = memory
        self._next_id = 1
        self._previous: ClipDetections | None = None
        self._previous_start = 0
        self._previous_ids: list[int] = []
        self._mean: dict[int, tuple[Float[np.ndarray, " k"], int]] = {}
        """Sum of class probabilities and number of windows of the tracks of the last window."""

    def link(self, start: int, detections: ClipDetections) -> list[int]:
        """Track id of every detection of the window that begins at frame `start`."""
        matched = self._match(start, detections)
        if self._memory is not None:
            free = [n for n in range(len(detections)) if n not in matched]
            matched |= self._memory.recall(start, detections, free, set(matched.values()))
        ids = []
        for n in range(len(detections)):
            if n not in matched:
                matched[n] = self._next_id
                self._next_id += 1
            ids.append(matched[n])
        zero = np.zeros(detections.probability.shape[1], dtype=np.float32), 0
        sums = [self._mean.get(track_id, zero) for track_id in ids]
        self._mean = {
            track_id: (total + probability, count + 1)
            for track_id, (total, count), probability in zip(ids, sums, detections.probability, strict=True)
        }
        self._previous, self._previous_start, self._previous_ids = detections, start, ids
        if self._memory is not None:
            self._memory.remember(start, ids, detections)
        return ids

    def may_return(self, track_id: int) -> bool:
        """Whether a later window can show this track."""
        return track_id in self._mean or (self._memory is not None and track_id in self._memory)

    def _match(self, start: int, detections: ClipDetections) -> dict[int, int]:
        if self._previous is None or not len(self._previous) or not len(detections):
            return {}
        first = start - self._previous_start
        shared = self._previous.coarse.shape[1] - first
        if shared <= 0:
            return {}
        iou = spatio_temporal_iou(self._previous.coarse[:, first:], detections.coarse[:, :shared]).numpy()
        means = np.stack([total / count for total, count in (self._mean[i] for i in self._previous_ids)])
        similarity = iou * (1 + class_agreement(means, detections.probability)) / 2
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        return {
            int(column): self._previous_ids[row]
            for row, column in zip(rows, columns, strict=True)
            if similarity[row, column] >= MATCH_THRESHOLD
        }
