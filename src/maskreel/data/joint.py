"""Several data sets trained on as one: their videos one after the other, their classes united by name."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from maskreel.data.clip_runs import ClipRuns
from maskreel.data.tracks import AnnotatedTrack, Category, Video
from maskreel.data.youtube_vis import FrameChange, YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.left_out import LeftOut
from maskreel.structures import ClipTarget

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class UnitedClass:
    """A class of the union, and what it is called in every set."""

    category: Category
    members: tuple[Category | None, ...]
    """Per set; None where the set lacks the class."""


class JointSets:
    """Sets as one, with what training asks of a `YouTubeVIS`.

    The classes of the first set keep ids and labels; classes that only further sets have follow, under their own ids
    where these are free. Names that differ in case, blanks, hyphens or underscores alone mean one class.
    """

    def __init__(self, sets: Sequence[YouTubeVIS]) -> None:
        self.sets = tuple(sets)
        self.classes = unite_classes([dataset.categories for dataset in sets])
        self.categories = tuple(united.category for united in self.classes)
        self.annotation_path = sets[0].annotation_path
        self.has_annotations = all(dataset.has_annotations for dataset in sets)
        self.videos: list[Video] = [video for dataset in sets for video in dataset.videos]
        """With the ids of their files, which may repeat."""
        self._places = [(number, index) for number, one in enumerate(sets) for index in range(len(one.videos))]
        self._labels = [
            torch.tensor([label for label, _ in _by_member(self.classes, number)], dtype=torch.int64)
            for number in range(len(sets))
        ]

    def tracks(self, video_index: int) -> list[AnnotatedTrack]:
        """As `YouTubeVIS.tracks`, with the labels of the union."""
        number, index = self._places[video_index]
        labels = self._labels[number].tolist()
        return [replace(track, label=labels[track.label]) for track in self.sets[number].tracks(index)]

    def available_frames(self, video_index: int) -> tuple[int, ...]:
        number, index = self._places[video_index]
        return self.sets[number].available_frames(index)

    def decode_frames(
        self,
        video_index: int,
        frame_index: Sequence[int],
        *,
        at_least: tuple[int, int] | None = None,
        change: FrameChange | None = None,
    ) -> UInt8[Tensor, "t 3 h w"]:
        """As `YouTubeVIS.decode_frames`."""
        number, index = self._places[video_index]
        return self.sets[number].decode_frames(index, frame_index, at_least=at_least, change=change)

    def clip_target(self, video_index: int, frame_index: Sequence[int], left_out: LeftOut | None = None) -> ClipTarget:
        """As `YouTubeVIS.clip_target`, with the labels of the union."""
        return self.clip_runs(video_index, frame_index, left_out).target()

    def clip_runs(self, video_index: int, frame_index: Sequence[int], left_out: LeftOut | None = None) -> ClipRuns:
        """As `YouTubeVIS.clip_runs`, with the labels of the union."""
        number, index = self._places[video_index]
        runs = self.sets[number].clip_runs(index, frame_index, left_out)
        return replace(runs, labels=self._labels[number][runs.labels])

    def class_table(self) -> str:
        """The union, a line per class: its id and name, and its id in every set (- where a set lacks it)."""
        width = max(len(category.name) for category in self.categories)
        lines = [f"{len(self.classes)} classes of {len(self.sets)} sets (id, name, id in each set):"]
        for united in self.classes:
            ids = " ".join(f"{member.id if member else '-':>5}" for member in united.members)
            lines.append(f"  {united.category.id:>5} {united.category.name:<{width}} {ids}")
        return "\n".join(lines)

    def classes_to_json(self) -> list[dict[str, Any]]:
        """The union as `dataset.json` holds it: per class its id and name, and its id in every set or null."""
        return [
            {
                "id": united.category.id,
                "name": united.category.name,
                "id_in_set": [member.id if member else None for member in united.members],
            }
            for united in self.classes
        ]


TrainingData = YouTubeVIS | JointSets
"""What clips are drawn from."""


def load_sets(root: Path | None, further: Sequence[Path] | None, split: str) -> TrainingData:
    """A split of `root`, joined with those of the same name in `further`.

    None stands for a folder that the recipe needs and that was not named: UsageError.
    """
    if root is None:
        raise UsageError("no data to train on; name its folder with --data.root DIR")
    if further is None:
        raise UsageError(
            "this recipe trains on several sets; name the folders of the others with --data.joint DIR (the COCO part "
            "comes from maskreel data convert --from coco --classes ytvis19), or pass --data.joint without any"
        )
    first = YouTubeVIS.load(root, split)
    if not further:
        return first
    joint = JointSets([first, *(YouTubeVIS.load(folder, split) for folder in further)])
    for folder, dataset in zip((root, *further), joint.sets, strict=True):
        frames = sum(video.length for video in dataset.videos)
        stills = sum(video.length == 1 for video in dataset.videos)
        logger.info("%s: %d videos of %d frames, %d of them stills", folder, len(dataset.videos), frames, stills)
    logger.info("%s", joint.class_table())
    return joint


def unite_classes(sets: Sequence[Iterable[Category]]) -> tuple[UnitedClass, ...]:
    """Union by name over sets, in the order of the sets."""
    members: dict[str, list[Category | None]] = {}
    categories: dict[str, Category] = {}
    for number, own in enumerate(sets):
        for category in own:
            key = re.sub(r"[\s_-]+", " ", category.name).strip().casefold()
            if key not in categories:
                categories[key] = _with_free_id(category, {taken.id for taken in categories.values()}, number)
            row = members.setdefault(key, [None] * len(sets))
            if row[number] is not None:
                raise DataError(
                    f"classes {row[number]} and {category} of one set have the same name; rename one in its file"
                )
            row[number] = category
    return tuple(UnitedClass(category=categories[key], members=tuple(row)) for key, row in members.items())


def _with_free_id(category: Category, taken: set[int], number: int) -> Category:
    """Ids of the first set stand; one of a further set that is taken already becomes the next free one."""
    if number == 0 or category.id not in taken:
        return category
    return replace(category, id=max(taken) + 1)


def _by_member(classes: Sequence[UnitedClass], number: int) -> list[tuple[int, Category]]:
    """(label in the union, class) for the classes of a set, in the order of the set's own labels."""
    own = [(label, member) for label, united in enumerate(classes) if (member := united.members[number]) is not None]
    return sorted(own, key=lambda pair: pair[1].id)
