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
from maskreel.left_out import LeftOut
from maskreel.outputs import Outputs

Record = TypeVar("Record")
logger = logging.getLogger(__name__)

STDOUT = "-"
"""The value of `--json` for JSON alone on stdout."""


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


def outputs_for(args: Any, *inputs: str | Path | None) -> Outputs:
    """What a command writes that has these options and reads these files and folders; the file of `--json` is claimed.

    UsageError where that may not be written.
    """
    outputs = Outputs((path for path in inputs if path is not None), overwrite=args.overwrite)
    if args.json not in (None, STDOUT):
        path = Path(args.json)
        if path.is_file() and not _may_be_json(path):
            raise UsageError(
                f"{path}: exists and is no JSON file; --json takes a path, write `--json -` or put --json last"
            )
        outputs.claim(path, "--json")
    return outputs


def report_json(option: str | None, report: Any, outputs: Outputs) -> bool:
    """Do what `--json` asks for; returns whether there is more to print than JSON."""
    if option == STDOUT:
        print(json.dumps(report, indent=1))
        return False
    if option is not None:
        with outputs.writing(Path(option)) as path:
            path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return True


def _may_be_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return True
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[", b"")


def write_left_out(path: Path, left_out: LeftOut, outputs: Outputs) -> None:
    """Write the list of what was left out into a file that was claimed; no list, no file, but an old one is emptied."""
    left_out.warn_of_rest()
    if left_out.omissions or path.exists():
        with outputs.writing(path) as new:
            left_out.write(new)
