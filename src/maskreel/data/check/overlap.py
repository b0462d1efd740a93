"""Videos that stand in two splits: what is learnt from one is measured on the other."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from maskreel.data.check.annotations import CheckedVideo
from maskreel.data.check.problems import Problems
from maskreel.data.layouts import LEAVES_ROOT
from maskreel.data.records import listing

SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ListedVideos:
    """The videos of a split, and the folder of their frames, None where there is none."""

    split: str
    folder: Path | None
    videos: Sequence[CheckedVideo]
    problems: Problems
    """Where findings are noted."""


def note_shared(splits: Sequence[ListedVideos]) -> None:
    """Note in the later of two splits which videos the earlier one has too: the same files, or the same first frame."""
    for one, other in combinations(splits, 2):
        known = {key for video in one.videos for key in _keys(one.folder, video)}
        shared = [video for video in other.videos if not known.isdisjoint(_keys(other.folder, video))]
        if shared:
            names = listing([f"{video.id} ({Path(video.file_names[0]).parent})" for video in shared], SHOWN)
            where = f"splits {one.split} and {other.split}"
            other.problems.note("split-shared", where, f"{len(shared)} videos are in both: {names}")


def _keys(folder: Path | None, video: CheckedVideo) -> set[str]:
    """What tells a video: the place of its first frame, and what it holds."""
    if folder is None or LEAVES_ROOT.search(video.file_names[0]):
        return set()
    path = folder / video.file_names[0]
    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return set()
    return {os.path.realpath(path), f"{video.file_names[0]} {content}"}
