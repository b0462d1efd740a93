"""Which format something is in, where `--from` is left out: a bounded look at names, first lines and keys.

Each format says in its own file what it is recognised by (`recognises`); what is known and not supported is named here.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.errors import DataError, UsageError
from maskreel.files import collector_paused

DEPTH, FOLDERS, FILES, VISITED = 5, 24, 64, 2000
"""How far a look goes: levels, folders of a folder, files of one ending of a folder, folders in all."""
DOCUMENTS = 12
"""JSON files that are opened before the look is given up."""


@dataclass(frozen=True)
class Document:
    """What a JSON file is made of."""

    content: Any = None

    @property
    def keys(self) -> frozenset[str]:
        """Of the object that it holds; none for a list."""
        return frozenset(self.content) if isinstance(self.content, dict) else frozenset()

    def has_list(self, key: str) -> bool:
        return key in self.keys and isinstance(self.content[key], list)

    def nested(self, *path: str) -> frozenset[str]:
        """All keys of the records that stand in a list, or in lists of those, by their names."""
        records = [self.content]
        for key in path:
            values = [one[key] for one in records if isinstance(one, dict) and key in one]
            records = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return frozenset(key for one in records if isinstance(one, dict) for key in one)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is seen of a place before any of it is read."""

    given: Path
    document: Document = field(default_factory=Document)
    """One of its JSON files."""
    path: Path | None = None
    """Of the document."""

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Some of the files, breadth first; hidden ones and those of macOS are passed over."""
        return tuple(_some_files(self.given)) if self.given.is_dir() else (self.given,)

    def ending(self, *suffixes: str) -> list[Path]:
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def has_folder(self, *names: str) -> bool:
        """Whether one of them lies in it, at any depth of the look."""
        return any(not {*names}.isdisjoint(path.relative_to(self.given).parts[:-1]) for path in self.files)

    @staticmethod
    def first_line(path: Path) -> str:
        """The first line with something in it, cut short; empty for a file that is no text."""
        try:
            with path.open(encoding="utf-8-sig") as file:
                return next((line.strip() for line in iter(lambda: file.readline(4096), "") if line.strip()), "")
        except (OSError, UnicodeDecodeError):
            return ""

    @staticmethod
    def beginning(path: Path) -> str:
        """The first characters of a text."""
        try:
            return _head(path).decode("utf-8", errors="ignore")
        except OSError:
            return ""


def recognise(given: Path, split: str) -> FormatName:
    """The format of a file or folder.

    Raises UsageError where none is recognised or more than one is, DataError for one that is not supported.
    """
    look = Look(given=given)
    found = dict.fromkeys(_matching(look))
    refusal = _unsupported(look)
    for path in _documents(look, split):
        document = _opened(path)
        if document is None:
            continue
        seen = replace(look, document=document, path=path)
        matching = _matching(seen)
        found |= dict.fromkeys(matching)
        if matching:
            break
        refusal = refusal or _unsupported(seen)
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise UsageError(f"{given}: may be {' or '.join(found)}; say which with --from")
    if refusal:
        raise DataError(f"{given}: {refusal}")
    raise UsageError(
        f"{given}: its format is not recognised; --from names it, one of {', '.join(FORMATS)} (docs/accepted-input.md)"
    )


def panoptic_words() -> str:
    """What is said of a panoptic file that is not one of videos."""
    return (
        "a panoptic file (segments_info, masks in PNG files) of single images, in which no order of frames is stated; "
        "give the instances file, or a video panoptic set such as VIPSeg"
    )


def _matching(look: Look) -> list[FormatName]:
    return [name for name, one in FORMATS.items() if one.recognises(look)]


def _documents(look: Look, split: str) -> Iterator[Path]:
    """JSON files, those of the split first, then those nearest to the top."""
    paths = look.ending(".json")
    paths.sort(key=lambda path: (split not in path.name, len(path.parts)))
    yield from paths[:DOCUMENTS]


def _opened(path: Path) -> Document | None:
    try:
        with collector_paused():
            return Document(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _unsupported(look: Look) -> str | None:
    """What it is, where that is known and not read."""
    document = look.document
    first = document.content[0] if isinstance(document.content, list) and document.content else None
    if "segments_info" in document.nested("annotations"):
        return panoptic_words()
    if isinstance(first, Mapping):
        for keys, words in _LISTS:
            if keys <= first.keys():
                return words
    for keys, words in _OBJECTS:
        if keys <= document.keys:
            return words
    if any(Look.first_line(path).startswith("<annotation>") for path in look.ending(".xml")[:3]):
        return "Pascal VOC or LabelMe XML files, which know no tracks; export with tracks, such as 'CVAT for video 1.1'"
    below = [path for path in look.ending(".jpg", ".jpeg") if "Annotations" in path.relative_to(look.given).parts]
    if below and not look.ending(".png"):
        return "masks saved as JPEG, which changes their values; save them as PNG"
    if any(path.name == "gt.txt" for path in look.ending(".txt")):
        return "MOT text files, which hold boxes and no masks; MOTS files (mots-txt, mots-png) have masks"
    return None


_LISTS = (
    (
        frozenset({"video_id", "segmentations"}),
        "results for scoring, not annotations; maskreel score reads them, and data convert reads predict's <stem>.json",
    ),
    (
        frozenset({"image_id", "category_id"}),
        "COCO results (a list with image_id), not annotations; give the annotation file",
    ),
    (frozenset({"data", "annotations"}), "a Label Studio export; export it as COCO"),
)
_OBJECTS = (
    (frozenset({"_via_img_metadata"}), "a VGG Image Annotator project; export it as COCO"),
    (frozenset({"samples"}), "FiftyOne's own samples; export as fiftyone.types.COCODetectionDataset"),
    (frozenset({"framesCount", "objects"}), "a Supervisely video; export it as COCO with track ids"),
)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _some_files(root: Path) -> Iterator[Path]:
    level, visited = [root], 0
    for _ in range(DEPTH):
        below: list[Path] = []
        for folder in level:
            entries = sorted(_entries(folder), key=lambda entry: entry.name)
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
            files = [Path(entry.path) for entry in entries if entry.is_file()]
            by_ending: dict[str, int] = {}
            for path in files:
                by_ending[path.suffix] = by_ending.get(path.suffix, 0) + 1
                if by_ending[path.suffix] <= FILES:
                    yield path
            below += folders[:FOLDERS]
        visited += len(level)
        level = below[: max(0, VISITED - visited)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError:
        return []
