"""Objects that left the picture, so that they come back under their old id."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from maskreel.assignment import linear_sum_assignment
from maskreel.geometry.masks import boxes_from_masks
from maskreel.inference.agreement import class_agreement
from maskreel.inference.postprocess import ClipDetections

DEFAULT_MEMORY = 60
"""Frames, in sessions with a latency; objects of the set `rendered-return` are away for up to so many."""

LEAST_SCORE = 0.2
"""Of the best class of an object that is remembered, or recalled: weaker ones resemble each other."""

LEAST_RESEMBLANCE = 0.5
"""Of an object that gets an old id back. As the weights of `resemblance`, measured on `rendered-return`, seed 0."""


@dataclass(eq=False, kw_only=True)
class Sighting:
    """Where an object is seen first and last in one window, and what it looks like."""

    first: int
    last: int
    """Frames of the video."""
    first_box: Float[np.ndarray, " 4"]
    last_box: Float[np.ndarray, " 4"]
    """(centre x, centre y, width, height) in shares of the frame."""
    probability: Float[np.ndarray, " k"]
    appearance: Float[np.ndarray, " c"] | None
    """Of length 1."""
    windows: int = 1
    """Over which the last two are means."""


class IdentityMemory:
    """Remembers tracks that no window shows any more, for a number of frames."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._known: dict[int, Sighting] = {}

    def __contains__(self, track_id: int) -> bool:
        return track_id in self._known

    def recall(
        self, start: int, detections: ClipDetections, objects: Sequence[int], seen: Collection[int]
    ) -> dict[int, int]:
        """Old ids for those of the objects of a window that resemble a remembered track, by object.

        `seen` are the ids that other objects of the window have. Pairs are chosen so that the sum is greatest.
        """
        self._forget(start)
        lost = [track_id for track_id in self._known if track_id not in seen]
        new = {n: sighting for n in objects if (sighting := sighted(start, detections, n)) is not None}
        if not lost or not new:
            return {}
        similarity = np.array([[self._resemblance(self._known[i], one) for one in new.values()] for i in lost])
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        numbers = list(new)
        return {
            numbers[column]: lost[row]
            for row, column in zip(rows, columns, strict=True)
            if similarity[row, column] >= LEAST_RESEMBLANCE
        }

    def remember(self, start: int, track_ids: Sequence[int], detections: ClipDetections) -> None:
        """What the window that begins at frame `start` shows under these ids."""
        for n, track_id in enumerate(track_ids):
            sighting = sighted(start, detections, n)
            if sighting is not None:
                self._known[track_id] = _joined(self._known.get(track_id), sighting)

    def _forget(self, start: int) -> None:
        self._known = {i: known for i, known in self._known.items() if start - known.last <= self.frames}

    def _resemblance(self, lost: Sighting, found: Sighting) -> float:
        """As `resemblance`; 0 where one cannot have become the other."""
        if not 0 < found.first - lost.last <= self.frames:
            return 0.0
        return max(0.0, resemblance(lost, found))


def resemblance(lost: Sighting, found: Sighting) -> float:
    """At most 1.5: the cosine of the appearances, half the agreement of the classes, less what lies between the places.

    The distance from the last to the first place counts in shares of the frame. Where an object would be had it moved
    on says nothing: who returns has turned round, or stood still behind something.
    """
    agreement = float(class_agreement(lost.probability[None], found.probability[None])[0, 0])
    # A model without appearances has its classes say all.
    cosine = agreement
    if lost.appearance is not None and found.appearance is not None:
        cosine = float(lost.appearance @ found.appearance)
    distance = float(np.hypot(*(lost.last_box[:2] - found.first_box[:2])))
    return cosine + agreement / 2 - 2.5 * distance


def sighted(start: int, detections: ClipDetections, n: int) -> Sighting | None:
    """Object `n` of the window that begins at frame `start`; None where it is weak, or has no pixel at the network's
    resolution."""
    if detections.probability[n].max() < LEAST_SCORE:
        return None
    masks = detections.coarse[n]
    frames = np.flatnonzero(masks.flatten(1).any(1).numpy())
    if not frames.size:
        return None
    first, last = int(frames[0]), int(frames[-1])
    boxes = boxes_from_masks(masks[frames]).double().numpy()
    appearance = None
    if detections.appearance is not None:
        appearance = detections.appearance[n] / max(1e-12, float(np.linalg.norm(detections.appearance[n])))
    return Sighting(
        first=start + first,
        last=start + last,
        first_box=boxes[0],
        last_box=boxes[-1],
        probability=detections.probability[n],
        appearance=appearance,
    )


def _joined(known: Sighting | None, new: Sighting) -> Sighting:
    if known is None:
        return new
    weight = known.windows / (known.windows + 1)
    appearance = new.appearance
    if known.appearance is not None and new.appearance is not None:
        mean = weight * known.appearance + (1 - weight) * new.appearance
        appearance = mean / max(1e-12, float(np.linalg.norm(mean)))
    return Sighting(
        first=known.first,
        last=max(known.last, new.last),
        first_box=known.first_box,
        last_box=new.last_box if new.last >= known.last else known.last_box,
        probability=weight * known.probability + (1 - weight) * new.probability,
        appearance=appearance,
        windows=known.windows + 1,
    )
