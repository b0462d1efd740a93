"""Where the annotation file and the frames of a split lie, in every folder layout under which the sets are found.

YouTube-VIS 2019 comes as `train.json` and `train/JPEGImages`, 2021 and 2022 as `train/instances.json`, OVIS as
`annotations_train.json` and `train/VIDEO`, LV-VIS as `train_instances.json` and `train/JPEGImages`; published code
renames them to `instances_train_sub.json` and others.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from maskreel.errors import UsageError
from maskreel.files import is_beside_results

Folders = Literal["nested", "flat", "titled"]
"""What becomes of the name of a video: folders in one another or text, as the name has them; the name of one file or
folder, in which "/" gives way; one folder beside a file that keeps the name."""

ANNOTATIONS = (
    "{split}.json",
    "annotations/instances_{split}.json",
    "{split}/instances.json",
    "annotations/{split}.json",
    "annotations/annotations_{split}.json",
    "annotations/instances_{split}_sub.json",
    "annotations_{split}.json",
    "instances_{split}.json",
    "instances_{split}_sub.json",
    "{split}/instance.json",
    "{split}/{split}.json",
    "{split}_instances.json",
)
"""Places of an annotation file, the first that exists counts."""

FRAMES = ("{split}/JPEGImages", "JPEGImages", "{split}_all_frames/JPEGImages", "Images/{split}", "{split}")
"""Folders of frames, the first that holds the first frame of the split counts."""

LEAVES_ROOT = re.compile(r"^[\\/]|^[A-Za-z]:|(?:^|[\\/])\.\.(?:[\\/]|$)|[\0\ud800-\udfff]")
"""Absolute paths, drives, a `..` anywhere, and characters that no path may hold."""


def find_annotations(root: Path, split: str) -> Path:
    """The annotation file of a split; UsageError says where it was looked for, and which splits there are."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; --data.root and --data.joint name folders of data sets.")
    candidates = [pattern.format(split=split) for pattern in ANNOTATIONS]
    if split and not LEAVES_ROOT.search(split):
        for name in candidates:
            if (root / name).is_file():
                return root / name
    splits = sorted(set(find_splits(root)))
    raise UsageError(
        f"{root}: no split {split!r}; looked for {', '.join(candidates)}. "
        f"Splits found: {', '.join(splits) if splits else 'none'}."
    )


def find_frames(root: Path, split: str, first_frame: str | None) -> Path:
    """The folder of frames: the split's own, the root's, or another split's, that holds `first_frame`.

    Where none holds it, the first folder named JPEGImages: frames may be missing.
    """
    folders = [root / pattern.format(split=split) for pattern in FRAMES]
    named = [folder for folder in folders if folder.name == "JPEGImages" and folder.is_dir()]
    if first_frame is not None:
        folders += sorted(root.glob("*/JPEGImages"))
        named = [folder for folder in folders if (folder / first_frame).is_file()] or named
    if named:
        return named[0]
    places = ", ".join(pattern.format(split=split) for pattern in FRAMES)
    wanted = f", each for {first_frame}" if first_frame is not None else ""
    raise UsageError(f"{root}: no frames for split {split!r}; looked in {places} and */JPEGImages{wanted}.")


def find_splits(root: Path) -> Iterator[str]:
    """Names under which the annotation files in the folder would be found; the files are not opened."""
    for pattern in ANNOTATIONS:
        head, *rest = (re.escape(part) for part in pattern.split("{split}"))
        expression = re.compile(head + r"(?P<split>[^/]+)" + r"(?P=split)".join(rest))
        for path in root.glob(pattern.replace("{split}", "*")):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None or is_beside_results(path) or match["split"].startswith("."):
                continue
            # Of names that more than one pattern fits, the word alone is the split.
            if not match["split"].startswith(("annotations_", "instances_")) and not match["split"].endswith(
                "_instances"
            ):
                yield match["split"].removesuffix("_sub")
