"""Command line options from records, with errors of one line."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from maskreel.errors import UsageError
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
    if {"-h", "--help"} & set(words):
        return tyro.cli(record, args=words, prog=prog, config=config, default=start)
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured), _wide_terminal():
            return tyro.cli(record, args=words, prog=prog, config=config, default=start)
    except SystemExit as exit_request:
        if exit_request.code in (0, None):
            raise
        raise UsageError(_one_sentence(captured.getvalue(), prog)) from None


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Keep tyro from breaking the message into lines in the middle of a path."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "2000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _one_sentence(box: str, prog: str) -> str:
    """The message of tyro's framed error, and the option that it suggests.

    The frame holds paragraphs between rules: the problem, suggestions ("Perhaps you meant:"), a pointer to the help.
    Its title stands above the first rule where the terminal knows ASCII alone, and otherwise within it.
    """
    paragraphs: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│ ")
        if text.startswith(("╭", "╰", "─")) or set(text) == {"-"}:
            paragraphs.append([])
        elif text:
            paragraphs[-1].append(text)
    paragraphs = [paragraph for paragraph in paragraphs[1:] if paragraph]
    if not paragraphs:
        return f"these options cannot be understood; {prog} --help lists what can be."
    problem = " ".join(paragraphs[0]).removesuffix(".")
    suggestions = [
        line.split()[0].rstrip(",")
        for paragraph in paragraphs
        if paragraph[0].startswith("Perhaps")
        for line in paragraph[1:2]
    ]
    hint = f"did you mean {suggestions[0]}?" if suggestions else f"see {prog} --help."
    return f"{problem[0].lower()}{problem[1:]}; {hint}"


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
