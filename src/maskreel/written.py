"""`written.json`: which files of a folder are ours, proved by size and SHA-256."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from maskreel.files import RECORD, file_sum, write_json
from maskreel.manifest import Manifest

GROWING = {"size": 0, "sha256": "growing"}
"""Stands in the record for a file whose end is open."""


class Record:
    """`written.json` of a folder: size and SHA-256 of each file that was written there, by its path in the folder.

    What is about to take its name stands under `pending`: after a kill either is the truth. Files of a command that
    works through many units stand in the lines of its manifest, and here as long as their unit is not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self._sections = _sections(self.path)
        self._manifest = Manifest(folder)

    @cached_property
    def _listed(self) -> dict[str, str]:
        return self._manifest.sums()

    @property
    def is_damaged(self) -> bool:
        """Whether something else of that name is there."""
        return self._sections is None

    def is_ours(self, path: Path) -> bool:
        """Whether a file was written by a command and has not been changed since."""
        name = path.relative_to(self.path.parent).as_posix()
        if path == self.path:
            return not self.is_damaged
        known = [entries[name] for entries in (self._sections or {}).values() if name in entries]
        if GROWING in known:
            return True
        try:
            size = path.stat().st_size
            if any(entry["size"] == size for entry in known) and digest(path) in known:
                return True
            return self._manifest.path.is_file() and name in self._listed and file_sum(path) == self._listed[name]
        except OSError:
            return False

    def begin(self, name: str) -> None:
        """A file of that name grows from now on."""
        with _alone(self.path.parent):
            sections = _sections(self.path) or {"files": {}, "pending": {}}
            sections["pending"][name] = GROWING
            write_json(self.path, sections)

    @contextlib.contextmanager
    def taking(self, files: dict[str, Path], *, of_unit: bool = False) -> Iterator[None]:
        """Around the moment in which new files, by their paths in the folder, take their names.

        Those of a unit stay pending until `settle`, when the manifest lists them.
        """
        new = {name: digest(path) for name, path in files.items()}
        with _alone(self.path.parent):
            sections = _sections(self.path) or {"files": {}, "pending": {}}
            sections["pending"] |= new
            write_json(self.path, sections)
            yield
            if of_unit:
                return
            sections["files"] |= new
            sections["pending"] = {name: one for name, one in sections["pending"].items() if name not in new}
            write_json(self.path, sections)
        self._sections = sections

    def settle(self, names: Iterable[str]) -> None:
        """These files stand in the manifest now, or are no more: neither they nor those before them stand here."""
        gone = set(names)
        with _alone(self.path.parent):
            sections = _sections(self.path) or {"files": {}, "pending": {}}
            for section, entries in sections.items():
                sections[section] = {name: one for name, one in entries.items() if name not in gone}
            write_json(self.path, sections)

    def absorb(self, sums: Mapping[str, str] | None = None) -> None:
        """Take up files that the manifest lists and will not list any more, by default all."""
        sums = self._listed if sums is None else sums
        found = {name: digest(path) for name in sums if (path := self.path.parent / name).is_file()}
        ours = {name: one for name, one in found.items() if one["sha256"] == sums[name]}
        with _alone(self.path.parent):
            sections = _sections(self.path) or {"files": {}, "pending": {}}
            sections["files"] |= ours
            write_json(self.path, sections)


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as the record has them."""
    with path.open("rb") as file:
        return {"size": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def without_outputs(paths: Sequence[Path]) -> list[Path]:
    """The paths but those that commands wrote into their folders, unchanged since: no sources for the next command."""
    records = {folder: Record(folder) for folder in {path.parent for path in paths} if (folder / RECORD).is_file()}
    return [path for path in paths if path.parent not in records or not records[path.parent].is_ours(path)]


def _sections(path: Path) -> dict[str, dict[str, Any]] | None:
    """Files and pending files of a record; empty where there is none, None where it is something else."""
    if not os.path.lexists(path):
        return {"files": {}, "pending": {}}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    sections = [content.get(name) for name in ("files", "pending")] if isinstance(content, dict) else [None]
    entries = [entry for one in sections if isinstance(one, dict) for entry in one.values()]
    is_ours = all(isinstance(one, dict) for one in sections)
    if not is_ours or not all(isinstance(entry, dict) and entry.keys() == {"size", "sha256"} for entry in entries):
        return None
    return {"files": content["files"], "pending": content["pending"]}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time for the record of a folder, where the system can tell."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that knows no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
