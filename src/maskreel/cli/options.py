"""Command line options from records, with errors of one line."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from maskreel.cli.refusals import Typed, refused_in_our_words
from maskreel.errors import OptionError, UsageError
from maskreel.files import complete_file

Record = TypeVar("Record")


def parse_options(record: type[Record], words: Sequence[str], command: str, *, default: Record | None = None) -> Record:
    """Fill `record` from the words after the command's name; `default` supplies what was not typed.

    Help leaves through SystemExit(0), as tyro does it. Raises UsageError, with the nearest option, for what cannot
    be parsed.
    """
    prog = f"maskreel {command}"
    config = (tyro.conf.AvoidSubcommands,)
    start = tyro.MISSING_NONPROP if default is None else default
    with refused_in_our_words(Typed(record, start, words, prog)):
        return tyro.cli(record, args=words, prog=prog, config=config, default=start)


@contextlib.contextmanager
def refused_as_typed() -> Iterator[None]:
    """Around the making of a record from options of the same names: its OptionError becomes a UsageError."""
    try:
        yield
    except OptionError as error:
        field, _, problem = str(error).partition(" ")
        raise UsageError(f"--{field.replace('_', '-')} {problem}") from error


def report_json(option: str | None, report: Any) -> bool:
    """Do what `--json` asks for; returns whether there is more to print than JSON."""
    if option == "-":
        print(json.dumps(report, indent=1))
        return False
    if option is not None:
        try:
            with complete_file(Path(option)) as path:
                path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{option}: cannot be written ({error.strerror}); choose another --json") from error
    return True


def require_writable(folder: Path, option: str) -> None:
    """Make a folder and a file in it, before long work; UsageError where that cannot be."""
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{folder}: cannot write there ({error.strerror}); choose another {option}") from error


def require_json(option: str | None) -> None:
    """UsageError where the file that `--json` names cannot be written, before long work."""
    if option not in (None, "-"):
        require_writable(Path(option).parent, "--json")
