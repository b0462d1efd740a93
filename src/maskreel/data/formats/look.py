"""A bounded look at a place before any of it is read: names, first lines, and the keys of a JSON file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

DEPTH, FOLDERS, FILES, VISITED = 5, 24, 64, 2000
"""How far a look goes: levels, folders of a folder, files of one ending of a folder, folders in all."""


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


def panoptic_words() -> str:
    """What is said of a panoptic file that is not one of videos."""
    return (
        "a panoptic file (segments_info, masks in PNG files) of single images, in which no order of frames is stated; "
        "give the instances file, or a video panoptic set such as VIPSeg"
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
