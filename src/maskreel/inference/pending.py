"""Frames of a stream that wait until no later window can change their masks."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

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
        self._evidence: dict[int, ClassEvidence] = {}
        """Of the tracks of the last window."""
        self._end = 0

    def push(self, time: float) -> None:
        """A frame has come, at `time` in seconds."""
        self._times.append(time)

    def add(self, start: int, track_ids: Sequence[int], detections: ClipDetections) -> None:
        """The detections of the window that begins at frame `start`."""
        known, self._evidence = self._evidence, {}
        for n, track_id in enumerate(track_ids):
            is_known = track_id in known
            evidence = known[track_id] if is_known else ClassEvidence(detections.probability.shape[1])
            evidence.add(detections, n, seen=max(0, self._end - start) if is_known else 0)
            self._evidence[track_id] = evidence
            label = evidence.label
            handover = handover_frame(start, self._end) if is_known else start
            for frame, mask in enumerate(detections.masks[n], start):
                if frame < handover:
                    continue
                seen = self._frames.setdefault(frame, {})
                seen.pop(track_id, None)
                if mask is not None:
                    seen[track_id] = SeenObject(track_id=track_id, label=label, score=evidence.score(label), mask=mask)
        self._end = start + detections.coarse.shape[1]

    def hand_out(self, end: int) -> list[FrameObjects]:
        """Every frame before `end` that was not handed out yet."""
        final = []
        for frame in range(self._next, end):
            objects = self._frames.pop(frame, {})
            seen = tuple(objects[key] for key in sorted(objects))
            final.append(FrameObjects(index=frame, time=self._times.popleft(), objects=seen))
        self._next = max(self._next, end)
        return final
