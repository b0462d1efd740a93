"""Frames of a stream that wait until no later window can change their masks."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from maskreel.geometry.rle import Rle
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.tracks import ClassEvidence, handover_frame


@dataclass(frozen=True, kw_only=True)
class SeenObject:
    """One object in one frame, as far as is known when the frame is handed out."""

    track_id: int
    label: int
    score: float
    mask: Rle


@dataclass(frozen=True, kw_only=True)
class FrameObjects:
    """What is seen in one frame of a stream."""

    index: int
    time: float
    objects: tuple[SeenObject, ...]


class PendingFrames:
    """Holds the objects of about one window of frames, whatever the length of the video.

    A frame is final when no later window can show it. Where windows overlap, masks change hands as in
    `VideoTracks`.
    """

    def __init__(self) -> None:
        self._next = 0
        self._times: deque[float] = deque()
        """Of the frames from `_next` on."""
        self._frames: dict[int, dict[int, SeenObject]] = {}
        self._evidence: dict[int, tuple[ClassEvidence, int]] = {}
        """Of the tracks that are needed, and the end of the last window that showed them."""

    def push(self, time: float) -> None:
        """A frame has come, at `time` in seconds."""
        self._times.append(time)

    def add(
        self, start: int, track_ids: Sequence[int], detections: ClipDetections, is_needed: Callable[[int], bool]
    ) -> None:
        """The detections of the window that begins at frame `start`; frames that were handed out stay as they are.

        `is_needed` tells of a track whether a later window can show it, or a frame that waits does.
        """
        for n, track_id in enumerate(track_ids):
            evidence, end = self._evidence.get(track_id, (ClassEvidence(detections.probability.shape[1]), start))
            evidence.add(detections, n, seen=max(0, end - start))
            self._evidence[track_id] = evidence, start + detections.coarse.shape[1]
            label = evidence.label
            handover = max(handover_frame(start, end), self._next)
            for frame, mask in enumerate(detections.masks[n], start):
                if frame < handover:
                    continue
                seen = self._frames.setdefault(frame, {})
                seen.pop(track_id, None)
                if mask is not None:
                    seen[track_id] = SeenObject(track_id=track_id, label=label, score=evidence.score(label), mask=mask)
        self._evidence = {track_id: known for track_id, known in self._evidence.items() if is_needed(track_id)}

    @property
    def track_ids(self) -> set[int]:
        """Of the frames that wait."""
        return {track_id for seen in self._frames.values() for track_id in seen}

    @property
    def num_handed_out(self) -> int:
        """Frames at the beginning of the video."""
        return self._next

    def labels(self, min_score: float) -> dict[int, int]:
        """What tracks are taken for so far, of those that are needed and reach the score."""
        evidence = {track_id: evidence for track_id, (evidence, _) in self._evidence.items()}
        return {i: label for i, known in evidence.items() if known.score(label := known.label) >= min_score}

    def hand_out(self, end: int, merged: Mapping[int, int]) -> list[FrameObjects]:
        """Every frame before `end` that was not handed out yet; `merged` gives the ids of tracks that are doubles."""
        final = []
        for frame in range(self._next, end):
            objects = self._frames.pop(frame, {})
            shown: dict[int, SeenObject] = {}
            for track_id in sorted(objects):
                first = merged.get(track_id, track_id)
                one = objects[track_id] if first == track_id else replace(objects[track_id], track_id=first)
                if first in shown:
                    one = replace(shown[first], score=max(one.score, shown[first].score))
                shown[first] = one
            seen = tuple(shown[key] for key in sorted(shown))
            final.append(FrameObjects(index=frame, time=self._times.popleft(), objects=seen))
        self._next = max(self._next, end)
        return final
