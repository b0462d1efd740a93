"""Checks every split of a data set: the annotation file, then the frames that it lists."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskreel.data.check.annotations import CheckedVideo, check_document
from maskreel.data.check.frames import Renamed, check_frames
from maskreel.data.check.overlap import ListedVideos, note_shared
from maskreel.data.check.problems import Problems
from maskreel.data.check.repair import repaired
from maskreel.data.formats.look import Document
from maskreel.data.layouts import LEAVES_ROOT, find_annotations, find_frames, find_splits
from maskreel.errors import UsageError
from maskreel.files import collector_paused
from maskreel.outputs import Outputs

SECTIONS = ("videos", "annotations", "categories")
FIXED = ".fixed"
"""Added to the name of a split whose repaired file stands beside it."""


@dataclass(frozen=True, kw_only=True)
class CheckedSplit:
    """One annotation file and what was found in it."""

    split: str
    path: Path
    counts: dict[str, int]
    """Videos, frames, tracks and masks; empty for a file that could not be read."""
    problems: Problems
    renamed: Renamed = field(default_factory=dict)
    is_layout: bool = True
    """Whether it is in the YouTube-VIS layout, which can be repaired."""
    listed: ListedVideos | None = None
    """None for a file that could not be read."""


def check_dataset(root: Path, split: str | None = None) -> list[CheckedSplit]:
    """Check a split, or all that are found below `root`; UsageError where there is nothing to check.

    A JSON file of another format is an error when it is asked for, and a note when it merely lies there.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give the folder that holds a data set")
    if split is not None:
        return [check_split(root, split, is_asked_for=True)]
    splits = sorted(set(find_splits(root)))
    if not splits:
        find_annotations(root, "train")
    checked = [check_split(root, name, is_asked_for=False) for name in splits]
    note_shared([one.listed for one in checked if one.listed is not None and not one.split.endswith(FIXED)])
    return checked


def check_split(root: Path, split: str, *, is_asked_for: bool) -> CheckedSplit:
    path = find_annotations(root, split)
    problems = Problems()
    document = _read(path, problems)
    if document is None or not _is_youtube_vis(document, problems, is_asked_for=is_asked_for):
        return CheckedSplit(split=split, path=path, counts={}, problems=problems)
    videos = check_document(document, problems)
    folder = _frames_folder(root, split, videos, problems)
    return CheckedSplit(
        split=split,
        path=path,
        counts=_counts(document, videos),
        problems=problems,
        renamed={} if folder is None else check_frames(root, folder, videos, problems),
        listed=ListedVideos(split=split, folder=folder, videos=videos, problems=problems),
    )


def fix_split(root: Path, checked: CheckedSplit, outputs: Outputs) -> tuple[Path, CheckedSplit] | None:
    """Write what can be repaired into a new file and check that; None where there is nothing to repair.

    Raises UsageError when a file that is not ours has the name of the new one.
    """
    if not checked.is_layout or not any(problem.is_repaired for problem in checked.problems):
        return None
    document = _read(checked.path, Problems())
    assert document is not None, "a file that was checked"
    videos = check_document(document, Problems())
    path = _fixed_path(root, checked)
    outputs.claim(path, "DIR")
    with outputs.writing(path) as new:
        new.write_text(json.dumps(repaired(document, videos, checked.renamed)), encoding="utf-8")
    return path, check_split(root, f"{checked.split}{FIXED}", is_asked_for=True)


def _fixed_path(root: Path, checked: CheckedSplit) -> Path:
    """Beside the file where its name holds the split, else in the root; either is found as the split NAME.fixed."""
    if checked.path.stem.endswith(checked.split) and checked.path.parent.name != checked.split:
        return checked.path.with_name(f"{checked.path.stem}{FIXED}{checked.path.suffix}")
    return root / f"{checked.split}{FIXED}.json"


def _read(path: Path, problems: Problems) -> Any:
    try:
        with collector_paused():
            return json.loads(path.read_bytes())
    except OSError as error:
        problems.note("file", path.name, f"cannot be read ({error.strerror})")
    except (ValueError, RecursionError) as error:
        problems.note("file", path.name, f"not a JSON file, or cut short ({error})")
    return None


OTHERS = {"images": "COCO images", "items": "Datumaro items", "sequences": "BURST sequences"}
"""What a file holds that is none of ours, by a key of it."""


def _is_youtube_vis(document: Any, problems: Problems, *, is_asked_for: bool) -> bool:
    keys = set(document) if isinstance(document, dict) else set[str]()
    is_panoptic = "segments_info" in Document(document).nested("annotations", "annotations")
    if keys.isdisjoint(OTHERS) and not is_panoptic and not keys.isdisjoint(SECTIONS):
        return True
    what = next((words for key, words in OTHERS.items() if key in keys), f"a {type(document).__name__}")
    what = "panoptic videos" if is_panoptic else what
    kind = "section" if is_asked_for else "other-format"
    problems.note(kind, "file", f"holds {what}, not an object with videos, categories and annotations")
    return False


def _frames_folder(root: Path, split: str, videos: list[CheckedVideo], problems: Problems) -> Path | None:
    sound = (name for video in videos for name in video.file_names if not LEAVES_ROOT.search(name) and len(name) < 256)
    first = next(sound, None)
    if first is None:
        return None
    try:
        return find_frames(root, split.removesuffix(FIXED), first)
    except UsageError as error:
        problems.note("frames-folder", "frames", str(error))
        return None


def _counts(document: dict[str, Any], videos: list[CheckedVideo]) -> dict[str, int]:
    annotations = document.get("annotations")
    tracks = [record for record in (annotations if isinstance(annotations, list) else ()) if isinstance(record, dict)]
    masks = [record.get("segmentations") for record in tracks]
    return {
        "videos": len(videos),
        "frames": sum(len(video.file_names) for video in videos),
        "tracks": len(tracks),
        "masks": sum(mask is not None for one in masks if isinstance(one, list) for mask in one),
    }
