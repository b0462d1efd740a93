"""Command line options from records, with errors of one line."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from maskreel.cli.refusals import Typed, refused_in_our_words
from maskreel.config import new_path
from maskreel.errors import OptionError, UsageError
from maskreel.files import complete_file, numbered_folder

Record = TypeVar("Record")
logger = logging.getLogger(__name__)


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


def with_new_names(words: Sequence[str], moved: Mapping[str, str]) -> list[str]:
    """The words with the options that have moved by their names of today, each with a warning.

    `moved` gives the new path in the record of options by the old one, such as `evaluation.predictor.top_k` by
    `evaluation.top_k`.
    """
    renamed = []
    for word in words:
        option, equals, value = word.partition("=")
        new = _new_name(option, moved) if option.startswith("--") else option
        if new != option:
            logger.warning("%s is called %s now; the old name goes with the next release", option, new)
        renamed.append(f"{new}{equals}{value}")
    return renamed


def _new_name(option: str, moved: Mapping[str, str]) -> str:
    """Of `--a.no-flag`, which switches `--a.flag` off, too."""
    path = option.removeprefix("--").replace("-", "_")
    new = new_path(path, moved)
    above, dot, name = path.rpartition(".")
    if new == path and name.startswith("no_"):
        above, dot, name = new_path(f"{above}{dot}{name.removeprefix('no_')}", moved).rpartition(".")
        new = f"{above}{dot}no_{name}"
    return option if new == path else f"--{new.replace('_', '-')}"


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


def out_folder(out: Path | None, default: Path) -> Path:
    """What `--out` names, or else a new folder beside others of its kind; UsageError where one cannot write."""
    if out is not None:
        require_writable(out, "--out")
        return out
    try:
        return numbered_folder(default)
    except OSError as error:
        raise UsageError(
            f"{default.parent}: cannot write there ({error.strerror}); choose a folder with --out"
        ) from error


def require_json(option: str | None) -> None:
    """UsageError where the file that `--json` names cannot be written, before long work."""
    if option not in (None, "-"):
        require_writable(Path(option).parent, "--json")
