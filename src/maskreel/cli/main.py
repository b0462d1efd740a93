"""`maskreel COMMAND ...`: finds the command, runs it, and turns every failure into one line and an exit code.

This module imports neither torch nor numpy nor tyro, so that `--help` answers at once; a command's module is
imported when the command runs.
"""

import errno
import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maskreel.cli.signals import ended_by_exception
from maskreel.config import nearest
from maskreel.errors import DataError, Ended, OptionError, PartialFailure, UsageError


@dataclass(frozen=True)
class Command:
    """Where a command lives: `module` has `run(options)`; `options` names what makes them of the words typed."""

    module: str
    options: str
    """MODULE:RECORD, a record of options, or MODULE:FUNCTION of the words; its module imports nothing heavy."""
    summary: str
    is_heavy: bool = False
    """Whether it computes with large tensors, for which memory is set up first."""


COMMANDS = {
    "demo": Command(
        "maskreel.cli.demo",
        "maskreel.cli.records.video:Demo",
        "render a clip with known truth, run the bundled model on it, show what it found",
        is_heavy=True,
    ),
    "predict": Command(
        "maskreel.cli.predict",
        "maskreel.cli.records.video:Predict",
        "find, cut out and follow every object in videos",
        is_heavy=True,
    ),
    "train": Command(
        "maskreel.cli.train", "maskreel.cli.recipe_first:parse", "train a recipe, or resume a run", is_heavy=True
    ),
    "evaluate": Command(
        "maskreel.cli.evaluate",
        "maskreel.cli.records.video:Evaluate",
        "run a trained model over a split of a dataset and score it",
        is_heavy=True,
    ),
    "score": Command(
        "maskreel.cli.score", "maskreel.cli.records.score:Score", "score a results file against a ground truth file"
    ),
    "recipes": Command(
        "maskreel.cli.recipes", "maskreel.cli.records.models:Recipes", "list the recipes and the AP known of each"
    ),
    "models": Command("maskreel.cli.models", "maskreel.cli.records.models:Models", "list the models and their sizes"),
    "convert": Command(
        "maskreel.cli.convert",
        "maskreel.cli.records.models:Convert",
        "turn weights of published systems into a model folder, strictly",
    ),
    "export": Command(
        "maskreel.cli.export",
        "maskreel.cli.records.models:Export",
        "write a model for ONNX Runtime, OpenVINO or torch.export, and prove it",
        is_heavy=True,
    ),
    "export-weights": Command(
        "maskreel.cli.export_weights",
        "maskreel.cli.records.models:ExportWeights",
        "write a SeqFormer or VisTR under its published names",
    ),
    "submit": Command(
        "maskreel.cli.submit",
        "maskreel.cli.records.score:Submit",
        "validate a results file and zip it for a benchmark server",
    ),
    "compare": Command(
        "maskreel.cli.compare",
        "maskreel.cli.records.score:Compare",
        "compare two score files by figure, class and video",
    ),
    "bench": Command(
        "maskreel.cli.bench",
        "maskreel.cli.records.bench:Bench",
        "time sampling and the bundled model on this machine",
        is_heavy=True,
    ),
    "bench sampling": Command(
        "maskreel.cli.bench_sampling",
        "maskreel.cli.records.bench:BenchSampling",
        "time the sampling primitive beside grid_sample",
        is_heavy=True,
    ),
    "bench model": Command(
        "maskreel.cli.bench_model",
        "maskreel.cli.records.bench:BenchModel",
        "time a model: network, post-processing, whole video",
        is_heavy=True,
    ),
    "bench train": Command(
        "maskreel.cli.bench_train",
        "maskreel.cli.records.bench:BenchTrain",
        "time a training step and its parts",
        is_heavy=True,
    ),
    "serve": Command(
        "maskreel.cli.serve",
        "maskreel.cli.records.serve:Serve",
        "a page in a browser to try a model on one's own videos",
        is_heavy=True,
    ),
    "inspect": Command(
        "maskreel.cli.inspect",
        "maskreel.cli.records.inspect:Inspect",
        "look into a model, or into two side by side, while they look at a video",
        is_heavy=True,
    ),
    "doctor": Command(
        "maskreel.cli.doctor",
        "maskreel.cli.records.doctor:Doctor",
        "look for what keeps Maskreel from working well on this machine",
    ),
    "data synth": Command(
        "maskreel.cli.data_synth",
        "maskreel.cli.set_first:parse",
        "render a dataset of moving objects with known truth",
    ),
    "data check": Command(
        "maskreel.cli.data_check", "maskreel.cli.records.data:Check", "find everything that is wrong with a dataset"
    ),
    "data stats": Command("maskreel.cli.data_stats", "maskreel.cli.records.data:Stats", "count what a dataset holds"),
    "data split": Command(
        "maskreel.cli.data_split",
        "maskreel.cli.records.data:Split",
        "hold some videos of a train file out for validation",
    ),
    "data view": Command(
        "maskreel.cli.data_view",
        "maskreel.cli.records.data:View",
        "draw filmstrips and overlay videos of truth or results",
    ),
    "data pack": Command(
        "maskreel.cli.data_pack",
        "maskreel.cli.records.data:Pack",
        "put the frames of a split into tar files to train from",
    ),
    "data convert": Command(
        "maskreel.cli.data_convert",
        "maskreel.cli.records.data:Convert",
        "convert annotations from one format to another",
    ),
}
"""Every command; two words are a group and its member."""

GONE = "the current folder was removed; change to another one and run the command again"

EXIT_FAILURE, EXIT_USAGE, EXIT_PARTIAL, EXIT_INTERRUPTED = 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code.

    0 is fine, 1 a failure, 2 usage, 3 partly failed, 128 and more the signal that ended it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _write_whatever_the_terminal_shows()
    is_debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with ended_by_exception():
            code = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
    except (Exception, KeyboardInterrupt) as error:
        if is_debug:
            traceback.print_exc()
        code, sentence = explain(error)
        print(f"maskreel: error: {' '.join(sentence.split())}", file=sys.stderr)
    return code


def _write_whatever_the_terminal_shows() -> None:
    """Letters that a terminal does not have come escaped; a name of a file must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return 0
    if words[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"maskreel {version('maskreel')}")
        return 0
    name, rest = _find_command(words)
    if name is None:
        print(_help(group=words[0]))
        return 0
    log_to_stderr()
    if not _has_current_folder():
        raise UsageError(GONE)
    if "" in rest:
        raise UsageError(f"maskreel {name}: a word is empty, as where a variable of the shell is not set")
    command = COMMANDS[name]
    if command.is_heavy:
        from maskreel.kernels.allocator import tune_allocator

        tune_allocator()
    options = options_of(command, name, _with_json_value(rest))
    importlib.import_module(command.module).run(options)
    return 0


def options_of(command: Command, name: str, words: list[str]) -> Any:
    """What was typed after a command, as its record."""
    module, _, attribute = command.options.partition(":")
    record = getattr(importlib.import_module(module), attribute)
    if not isinstance(record, type):
        return record(words)
    from maskreel.cli.options import parse_options

    return parse_options(record, words, name)


def _find_command(words: list[str]) -> tuple[str | None, list[str]]:
    """The command that the line begins with and what follows it; None for a group alone, whose members are listed."""
    members = {name for name in COMMANDS if name.startswith(f"{words[0]} ")}
    is_member_named = len(words) > 1 and not words[1].startswith("-")
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in COMMANDS and not (length == 1 and members and is_member_named):
            return name, words[length:]
    if members and (len(words) == 1 or words[1] in ("-h", "--help")):
        return None, []
    if members:
        close = nearest(words[1], [name.partition(" ")[2] for name in sorted(members)])
        typed, close = " ".join(words[:2]), close and f"{words[0]} {close}"
    else:
        typed, close = words[0], nearest(words[0], dict.fromkeys(name.partition(" ")[0] for name in COMMANDS))
    listed = f"maskreel{f' {words[0]}' if members else ''} --help lists them."
    raise UsageError(f"unknown command {typed!r}; {f'did you mean {close!r}?' if close else listed}")


def _with_json_value(words: list[str]) -> list[str]:
    """`--json` without a path means JSON alone on stdout, which the commands spell `--json -`."""
    completed = []
    followers = [*words[1:], None] if words else []
    for word, following in zip(words, followers, strict=True):
        completed.append(word)
        if word == "--json" and (following is None or (following.startswith("-") and following != "-")):
            completed.append("-")
    return completed


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code and one sentence for a failure."""
    if isinstance(error, UsageError):
        return EXIT_USAGE, str(error)
    if isinstance(error, PartialFailure):
        return EXIT_PARTIAL, str(error)
    if isinstance(error, Ended):
        return 128 + error.number, str(error)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, str(error) or "interrupted"
    if isinstance(error, DataError | OptionError):
        return EXIT_FAILURE, str(error)
    if isinstance(error, FileNotFoundError) and not _has_current_folder():
        return EXIT_FAILURE, GONE
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        advice = "; make room, and run the command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return EXIT_FAILURE, f"{place}{error.strerror}{advice}"
    if isinstance(error, MemoryError):
        return EXIT_FAILURE, "out of memory; use smaller frames, shorter clips or a smaller batch"
    return (
        EXIT_FAILURE,
        f"unexpected {type(error).__name__}: {error}; run again with --debug to see where it comes from",
    )


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


class _StderrHandler(logging.Handler):
    """Looks `sys.stderr` up at every line, so that a progress bar that borrowed it stays whole."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno <= logging.INFO else f"maskreel: {record.levelname.lower()}: "
        print(prefix + record.getMessage(), file=sys.stderr)


def log_to_stderr() -> None:
    logger = logging.getLogger("maskreel")
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())
    logger.setLevel(logging.INFO)


def _help(group: str | None = None) -> str:
    shown = {name: command for name, command in COMMANDS.items() if group is None or name.startswith(f"{group} ")}
    width = max(map(len, shown))
    return "\n".join(
        [
            f"usage: maskreel {group or 'COMMAND'} ...",
            "",
            "Find, name, cut out and follow every object in a video.",
            "",
            *(f"  {name:<{width}}  {command.summary}" for name, command in shown.items()),
            "",
            "  maskreel COMMAND --help   options of a command; so does maskreel help COMMAND",
            "  --debug                   (anywhere) full tracebacks",
            "  --version                 the version",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
