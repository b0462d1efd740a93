"""What a split of a data set holds: counts per class, sizes and lengths."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from maskreel.data.tracks import AnnotatedTrack
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry.runs import pack_tracks

SMALL, LARGE = 128**2, 256**2
"""Mean area in pixels below which a track is small, and above which it is large, as in the size figures of AP."""


@dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """What there is of one class, or of all; crowd tracks are counted like others."""

    name: str
    videos: int
    """In which the class occurs."""
    tracks: int
    crowds: int
    masks: int
    """Frames in which its tracks are seen."""
    small: int
    medium: int
    large: int
    """Tracks by their mean area where they are seen."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts of one split."""

    annotations: str
    videos: int
    frames: int
    total: ClassCounts
    classes: tuple[ClassCounts, ...]
    """In the order of their ids."""
    sizes: dict[str, int]
    """Videos by width x height, the most frequent first."""
    frames_per_video: tuple[int, float, int]
    """Least, median, most."""
    tracks_per_video: tuple[int, float, int]
    visible: float | None
    """Share of the frames of its video in which a track is seen, over all tracks."""


def statistics(dataset: YouTubeVIS) -> Statistics:
    """Count a split; decodes every mask, and raises RleError for one that is malformed."""
    rows: list[tuple[int, AnnotatedTrack, Int[np.ndarray, " t"]]] = []
    for index, video in enumerate(dataset.videos):
        tracks = dataset.tracks(index)
        areas = _areas(dataset, index)
        rows += [(video.id, track, one) for track, one in zip(tracks, areas, strict=True)]
    lengths = [video.length for video in dataset.videos]
    listed = sum(one.size for _, _, one in rows)
    per_video = Counter(video_id for video_id, _, _ in rows)
    return Statistics(
        annotations=str(dataset.annotation_path),
        videos=len(lengths),
        frames=sum(lengths),
        total=_counts("all", rows),
        classes=tuple(
            _counts(category.name, [row for row in rows if row[1].label == label])
            for label, category in enumerate(dataset.categories)
        ),
        sizes=dict(Counter(f"{video.width}x{video.height}" for video in dataset.videos).most_common()),
        frames_per_video=_spread(lengths),
        tracks_per_video=_spread([per_video[video.id] for video in dataset.videos]),
        visible=sum(int((one > 0).sum()) for _, _, one in rows) / listed if listed else None,
    )


def _areas(dataset: YouTubeVIS, index: int) -> Int[np.ndarray, "n t"]:
    video, tracks = dataset.videos[index], dataset.tracks(index)
    return pack_tracks(
        [track.segmentations for track in tracks],
        height=video.height,
        width=video.width,
        place=lambda track, frame: f"{dataset.truth.place(index, tracks[track])}, frame {frame}",
    ).areas


def _counts(name: str, rows: list[tuple[int, AnnotatedTrack, Int[np.ndarray, " t"]]]) -> ClassCounts:
    means = np.array([areas.sum() / max(1, np.count_nonzero(areas)) for _, _, areas in rows])
    return ClassCounts(
        name=name,
        videos=len({video_id for video_id, _, _ in rows}),
        tracks=len(rows),
        crowds=sum(track.is_crowd for _, track, _ in rows),
        masks=sum(int(np.count_nonzero(areas)) for _, _, areas in rows),
        small=int((means < SMALL).sum()),
        medium=int(((means >= SMALL) & (means < LARGE)).sum()),
        large=int((means >= LARGE).sum()),
    )


def _spread(values: list[int]) -> tuple[int, float, int]:
    return (min(values), float(np.median(values)), max(values)) if values else (0, 0.0, 0)
