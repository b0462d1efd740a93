"""Tracks that lie on each other: one object under two ids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch

from maskreel.geometry.rle import Rle
from maskreel.inference.postprocess import ClipDetections

SAME_OBJECT = 0.8
"""Two tracks of one class are one object when the IoU of their masks in their common frames exceeds this."""


class Doubles:
    """Overlap of every pair of tracks over the frames in which both are seen, at the resolution of the network's masks.

    Every frame counts once, by the first window that shows it.
    """

    def __init__(self, *, keep: bool = True) -> None:
        """Without `keep` nothing is known of tracks that are not needed any more."""
        self._keep = keep
        self._end = 0
        self._overlap: dict[tuple[int, int], tuple[int, int]] = {}
        """Pixels of intersection and union by pair of ids, the smaller id first."""

    def add(
        self, start: int, track_ids: Sequence[int], detections: ClipDetections, is_needed: Callable[[int], bool]
    ) -> None:
        """The detections of the window that begins at frame `start`; pairs that end apart are forgotten.

        `is_needed` tells of a track whether a later window can show it, or a frame that waits does.
        """
        for pair in [pair for pair in self._overlap if not all(map(is_needed, pair))]:
            if not (self._keep and self._is_double(pair)):
                del self._overlap[pair]
        new = detections.coarse[:, max(0, self._end - start) :].flatten(2).float()
        self._end = max(self._end, start + detections.coarse.shape[1])
        common, union = torch.zeros(2, len(new), len(new), dtype=torch.int64)
        for frame in new.unbind(1):
            area = frame.sum(-1)
            shared = frame @ frame.T
            both = (area[:, None] > 0) & (area[None] > 0)
            common += shared.long()
            union += ((area[:, None] + area[None] - shared) * both).long()
        for a, b in combinations(range(len(track_ids)), 2):
            if union[a, b]:
                pair = min(track_ids[a], track_ids[b]), max(track_ids[a], track_ids[b])
                before = self._overlap.get(pair, (0, 0))
                self._overlap[pair] = before[0] + int(common[a, b]), before[1] + int(union[a, b])

    def merged(self, labels: Mapping[int, int]) -> dict[int, int]:
        """The id under which a track is shown, where that is an older one; `labels` are the classes of the tracks."""
        first: dict[int, int] = {}
        for pair in sorted(self._overlap):
            older, younger = pair
            if self._is_double(pair) and older in labels and labels[older] == labels.get(younger):
                first.setdefault(younger, first.get(older, older))
        return first

    def _is_double(self, pair: tuple[int, int]) -> bool:
        common, union = self._overlap[pair]
        return common > SAME_OBJECT * union


class JoinedMasks(Sequence[Rle | None]):
    """Masks of one object that was found several times: in every frame those of the first track that has one."""

    def __init__(self, tracks: Sequence[Sequence[Rle | None]]) -> None:
        self._tracks = tuple(tracks)

    def __len__(self) -> int:
        return len(self._tracks[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        return next((mask for track in self._tracks if (mask := track[index]) is not None), None)

    def __iter__(self) -> Iterator[Rle | None]:
        for masks in zip(*self._tracks, strict=True):
            yield next((mask for mask in masks if mask is not None), None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> tuple[type, tuple[list[Rle | None]]]:
        return list, (list(self),)
