"""The tracks of a whole video: classes settled over windows, and masks kept as bytes outside of memory."""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from maskreel.geometry.masklets import Masklet
from maskreel.geometry.rle import Rle
from maskreel.inference.doubles import Doubles, JoinedMasks
from maskreel.inference.postprocess import ClipDetections

MEMORY_LIMIT = 2**20
"""Bytes of masks held in memory; more of them move to a temporary file."""

_NO_BYTES = torch.zeros(0, dtype=torch.uint8)


class MaskStore:
    """Append-only bytes of masks of one size; beyond `memory_limit` they lie in an unnamed temporary file."""

    def __init__(self, height: int, width: int, memory_limit: int = MEMORY_LIMIT) -> None:
        self.height = height
        self.width = width
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_limit)  # noqa: SIM115 (closed with its last user)
        self._end = 0

    def append(self, mask: Rle) -> tuple[int, int]:
        """Place and length of what was written."""
        self._file.seek(self._end)
        self._file.write(mask.counts)
        place = self._end
        self._end += len(mask.counts)
        return place, len(mask.counts)

    def content(self) -> UInt8[Tensor, " n"]:
        """All bytes."""
        self._file.seek(0)
        return torch.frombuffer(bytearray(self._file.read()), dtype=torch.uint8) if self._end else _NO_BYTES.clone()

    @classmethod
    def of(cls, height: int, width: int, content: UInt8[Tensor, " n"]) -> "MaskStore":
        """A store with the bytes that `content` gave."""
        store = cls(height, width)
        store._file.write(content.numpy().tobytes())
        store._end = len(content)
        return store

    def read(self, place: int, length: int) -> Rle:
        self._file.seek(place)
        return Rle(self.height, self.width, self._file.read(length))


class StoredMasks(Sequence[Rle | None]):
    """Masks of one track, one per frame of the video, read from the store when asked for."""

    def __init__(self, store: MaskStore, first: int, places: array, lengths: array, num_frames: int) -> None:
        self._store = store
        self._first = first
        self._places = places
        self._lengths = lengths
        self._num_frames = num_frames

    def __len__(self) -> int:
        return self._num_frames

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        frame = range(len(self))[index] - self._first
        if not 0 <= frame < len(self._places) or self._lengths[frame] == 0:
            return None
        return self._store.read(self._places[frame], self._lengths[frame])

    def __iter__(self) -> Iterator[Rle | None]:
        """In one go, because most tracks of a long video are absent from most of its frames."""
        yield from repeat(None, self._first)
        for place, length in zip(self._places, self._lengths, strict=True):
            yield self._store.read(place, length) if length else None
        yield from repeat(None, self._num_frames - self._first - len(self._places))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[type, tuple[list[Rle | None]]]:
        """Copies and pickles carry the masks themselves, not the file."""
        return list, (list(self),)


class ClassEvidence:
    """What is known of the class of a track, window by window.

    Models that vote per clip: class probabilities are means over the windows in which the track was found. Models that
    vote per frame: every frame counts once, by the first window that showed it; the score is the mean of the frames'
    scores, the class the one with most votes, the lowest of several.
    """

    def __init__(self, num_classes: int) -> None:
        self._probability = np.zeros(num_classes)
        self._windows = 0
        self._is_chosen = np.zeros(num_classes, dtype=bool)
        self._votes = np.zeros(num_classes, dtype=np.int64)
        self._frame_scores = 0.0

    def add(self, detections: ClipDetections, n: int, *, seen: int) -> None:
        """Object `n` of a window; an earlier window has shown its first `seen` frames."""
        self._probability += detections.probability[n]
        self._windows += 1
        self._is_chosen |= detections.is_chosen[n]
        if detections.votes is not None:
            self._votes += np.bincount(detections.votes.label[n, seen:], minlength=len(self._votes))
            self._frame_scores += float(detections.votes.score[n, seen:].sum(dtype=np.float64))

    @property
    def label(self) -> int:
        """The class that the track is taken for."""
        return int((self._votes if self._votes.any() else self._probability).argmax())

    @property
    def labels(self) -> list[int]:
        """All classes that the track is listed under: those that were chosen in a window, or the voted one."""
        return [self.label] if self._votes.any() else [int(label) for label in np.flatnonzero(self._is_chosen)]

    def score(self, label: int) -> float:
        """Confidence in [0, 1]; a model that votes per frame has one for all classes."""
        if self._votes.any():
            return self._frame_scores / int(self._votes.sum())
        return float(self._probability[label] / self._windows)


class Track:
    """One object while the video is read; `places` and `lengths` of its masks lie in the store, 0 where it has none."""

    def __init__(self, track_id: int, first: int, num_classes: int) -> None:
        self.track_id = track_id
        self.first = first
        self.evidence = ClassEvidence(num_classes)
        self.places = array("q")
        self.lengths = array("i")

    @property
    def end(self) -> int:
        return self.first + len(self.places)


class VideoTracks:
    """Tracks of a video, filled window by window.

    `ClassEvidence` says how a track comes by its class and score. In frames that two windows share, the first half of
    the masks comes from the earlier window and the second half from the later one: each from the window in which the
    frame lies farther from the border. Masks never change once both windows were added.
    """

    def __init__(self, height: int, width: int, classes: Sequence[tuple[int, str]]) -> None:
        self._store = MaskStore(height, width)
        self._classes = tuple(classes)
        self._tracks: dict[int, Track] = {}
        self._num_frames = 0

    def add(self, start: int, track_ids: Sequence[int], detections: ClipDetections, *, num_final: int = 0) -> None:
        """The detections of the window that begins at frame `start`, under the ids that linking gave them.

        The first `num_final` frames of the video stay as they are.
        """
        for n, track_id in enumerate(track_ids):
            track = self._tracks.get(track_id)
            if track is None:
                track = self._tracks[track_id] = Track(track_id, start, len(self._classes))
            track.evidence.add(detections, n, seen=max(0, track.end - start))
            handover = max(handover_frame(start, track.end), num_final)
            for frame, mask in enumerate(detections.masks[n], start):
                if frame >= handover:
                    self._put(track, frame, mask)
            self._num_frames = max(self._num_frames, track.end)

    def masklets(self, num_frames: int, min_score: float, doubles: Doubles | None = None) -> tuple[Masklet, ...]:
        """One masklet per object, of its most probable class, ordered by track id; `doubles` are shown as one."""
        found = {}
        for track in self._tracks.values():
            label = track.evidence.label
            if track.evidence.score(label) >= min_score:
                found[track.track_id] = self._masklet(track, label, num_frames)
        merged = {} if doubles is None else doubles.merged({i: masklet.label for i, masklet in found.items()})
        return tuple(
            _joined([masklet, *(found[i] for i in merged if merged[i] == track_id)])
            for track_id, masklet in found.items()
            if track_id not in merged
        )

    def pairs(self, num_frames: int, min_score: float = 0.0, doubles: Doubles | None = None) -> tuple[Masklet, ...]:
        """One masklet per (object, class) pair that was among the best of a window, best first, as published.

        Average precision is measured on these: one object may stand there under several classes. Of `doubles` the first
        track alone stands there.
        """
        labels = {track_id: track.evidence.label for track_id, track in self._tracks.items()}
        left_out = {} if doubles is None else doubles.merged(labels)
        found = [
            self._masklet(track, label, num_frames)
            for track_id, track in self._tracks.items()
            for label in track.evidence.labels
            if track.evidence.score(label) >= min_score and track_id not in left_out
        ]
        return tuple(sorted(found, key=lambda masklet: -masklet.score))

    def _put(self, track: Track, frame: int, mask: Rle | None) -> None:
        place, length = (0, 0) if mask is None else self._store.append(mask)
        index = frame - track.first
        absent = index + 1 - len(track.places)
        if absent > 0:
            track.places.extend([0] * absent)
            track.lengths.extend([0] * absent)
        track.places[index], track.lengths[index] = place, length

    def _masklet(self, track: Track, label: int, num_frames: int) -> Masklet:
        return Masklet(
            track_id=track.track_id,
            label=label,
            category_id=self._classes[label][0],
            score=track.evidence.score(label),
            segmentations=StoredMasks(self._store, track.first, track.places, track.lengths, num_frames),
        )


def _joined(masklets: Sequence[Masklet]) -> Masklet:
    """Several findings of one object under the id of the first."""
    if len(masklets) == 1:
        return masklets[0]
    return replace(
        masklets[0],
        score=max(masklet.score for masklet in masklets),
        segmentations=JoinedMasks([masklet.segmentations for masklet in masklets]),
    )


def handover_frame(start: int, previous_end: int) -> int:
    """First frame whose mask comes from the window at `start`, when an earlier one ends before `previous_end`."""
    return max(start, (start + previous_end + 1) // 2) if previous_end > start else start
