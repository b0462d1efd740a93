"""`manifest.jsonl`: what became of each unit of a command that works through many, one line per unit.

Lines are added when the files of a unit have their names, so that a command that was killed goes on behind
the last one. `manifest.settings` beside it, JSON under a name that no result has, says what the results depend on.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from maskreel.errors import DataError, UsageError
from maskreel.files import complete_file, read_json, write_json

logger = logging.getLogger(__name__)

MANIFEST, SETTINGS = "manifest.jsonl", "manifest.settings"

State = Literal["done", "failed", "set aside", "stopped"]
"""All files are there; the source cannot be used; it killed its worker twice; it was ended early by a signal."""


@dataclass(frozen=True, kw_only=True)
class UnitLine:
    """One line."""

    unit: str
    """The part that the names of its files share, which no other unit has."""
    source: str
    state: State
    sums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of its files by their paths in the folder; of a folder that of its `written.json`."""
    worker: str = ""
    """Which process or machine did it."""
    seconds: float = 0.0
    error: str | None = None


class Manifest:
    """The manifest of a folder; entered, it is open for further lines, and no other process adds any."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self.settings_path = folder / SETTINGS
        self._file: int | None = None

    def lines(self) -> Iterator[UnitLine]:
        """Every whole line; the last one may be cut off by a kill. Others that are damaged are left out, and told."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield UnitLine(**json.loads(raw))
                except (ValueError, TypeError):
                    if raw.endswith(b"\n"):
                        logger.warning("%s: line %d is damaged; its unit is done again", self.path, number)

    def sums(self) -> dict[str, str]:
        """SHA-256 of every file that a line lists."""
        return {name: one for line in self.lines() for name, one in line.sums.items()}

    def require_settings(self, settings: Mapping[str, Any]) -> None:
        """UsageError unless the lines were written with these settings."""
        known = read_json(self.settings_path) if self.settings_path.is_file() else {}
        for name in (*settings, *known):
            if known.get(name) != settings.get(name):
                raise UsageError(
                    f"{self.path}: is of another run ({name} was {known.get(name)!r} there and is "
                    f"{settings.get(name)!r} here); choose another --out, or leave out --resume to begin anew"
                )

    def begin(self, settings: Mapping[str, Any], kept: Iterable[UnitLine]) -> None:
        """Write the settings and a manifest of the lines that are kept, in place of what is there."""
        write_json(self.settings_path, dict(settings))
        with complete_file(self.path) as new, new.open("wb") as file:
            for line in kept:
                file.write(_encoded(line))

    def __enter__(self) -> "Manifest":
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, line: UnitLine) -> None:
        """A unit is finished; DataError where the line cannot be written."""
        assert self._file is not None, "the manifest is not open"
        try:
            os.write(self._file, _encoded(line))
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error.strerror}); make room") from error


def _encoded(line: UnitLine) -> bytes:
    content = {name: value for name, value in asdict(line).items() if name != "error" or value is not None}
    return (json.dumps(content, separators=(",", ":")) + "\n").encode()
