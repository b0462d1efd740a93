"""What `maskreel predict` does at once in some process, and what becomes of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskreel.cli.predict_choice import ResultChoice
from maskreel.cli.predict_windows import WINDOWS, Range
from maskreel.cli.records.video import Predict
from maskreel.files import complete_file
from maskreel.video.sources import NamedSource
from maskreel.visualize.takeaways.kinds import Kind

PARTS = ".parts"
"""Folder of what each video of a split adds to results.json, until that is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One source, and the part that the names of its results share."""

    number: int
    """Among all, from 0."""
    source: NamedSource
    stem: str
    folder: Path

    @property
    def masklets(self) -> Path:
        return self.folder / f"{self.stem}.json"

    @property
    def overlay(self) -> Path:
        return self.folder / f"{self.stem}_overlay.mp4"

    @property
    def lines(self) -> Path:
        return self.folder / f"{self.stem}.jsonl"

    @property
    def part(self) -> Path:
        return self.folder / PARTS / f"{self.stem}.json"

    @property
    def windows(self) -> Path:
        return self.folder / WINDOWS / self.stem

    def takeaways(self, choice: ResultChoice) -> dict[Kind, Path]:
        return choice.paths(self.folder, self.stem)

    def files(self, args: Predict) -> Iterator[Path]:
        """What is written beside takeaways."""
        yield self.masklets
        if args.overlay:
            yield self.overlay
        if args.jsonl:
            yield self.lines


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some windows of a long video."""

    job: Job
    chosen: Range


@dataclass(frozen=True, kw_only=True)
class Joining:
    """A long video whose windows have been searched."""

    job: Job


Unit = Job | Stretch | Joining
"""What a worker does at once."""


@dataclass(frozen=True, kw_only=True)
class IsLong:
    """The answer of a worker to a job that is better shared."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, kw_only=True)
class Searched:
    """The answer to a stretch."""

    error: Exception | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job."""

    summary: dict[str, Any] | None = None
    """For the report; None where the source failed."""
    sums: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None
    is_stopped: bool = False
    """Whether a signal ended it early."""


def write_part(path: Path, entries: list[dict[str, Any]]) -> None:
    """What a video adds to results.json, an entry per line."""
    with complete_file(path) as new:
        lines = [f"{json.dumps(entry, allow_nan=False, separators=(',', ':'))}\n" for entry in entries]
        new.write_text("".join(lines), encoding="utf-8")
