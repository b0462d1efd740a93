"""Help and refusals answer at once: nothing that computes is imported for them."""

import subprocess
import sys

import pytest

from maskreel.cli.main import COMMANDS

HEAVY = {"torch", "numba", "scipy", "av", "matplotlib"}
SCRIPT = """
import resource, sys
from maskreel.cli.main import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(code, used.ru_utime + used.ru_stime, *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def run(*words: str) -> tuple[str, int, float, set[str]]:
    """Output, exit code, seconds of processor time from the start of Python, and packages imported."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True)
    code, seconds, *packages = done.stderr.splitlines()[-1].split()
    return done.stdout + done.stderr, int(code), float(seconds), set(packages)


@pytest.mark.parametrize("command", [*COMMANDS, "data", "help predict", "help train"])
def test_help_of_a_command_comes_at_once(command: str) -> None:
    out, code, seconds, packages = run(*command.split(), *(["--help"] if not command.startswith("help") else []))
    assert code == 0
    assert "maskreel" in out
    assert packages & HEAVY == set()
    assert seconds < 1.0


def test_help_comes_before_python_has_imported_much() -> None:
    _, code, seconds, packages = run("--help")
    assert code == 0
    assert packages & {*HEAVY, "numpy", "tyro", "rich", "PIL"} == set()
    assert seconds < 0.25


@pytest.mark.parametrize(
    "words", [("predict", "bundled", "--ou", "x"), ("train", "seqformer-tny"), ("evaluate",), ("predit",)]
)
def test_what_was_typed_wrong_is_told_at_once(words: tuple[str, ...]) -> None:
    out, code, seconds, packages = run(*words)
    assert code == 2
    assert "maskreel: error: " in out
    assert packages & HEAVY == set()
    assert seconds < 1.0


def test_help_of_a_recipe_waits_for_torch_alone() -> None:
    out, code, _, packages = run("train", "seqformer-tiny", "--help")
    assert code == 0
    assert "--training.steps INT" in out
    assert packages & HEAVY == {"torch"}
