"""What people typed and read at commit 0e4d22a goes on working: every option, JSON key, column and run folder.

The lists under `before/` were made from the source of that commit, by the scripts beside them.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import COMMANDS, options_of
from maskreel.cli.recipe_first import parse
from maskreel.config import new_path, to_dict
from maskreel.recipes.catalog import RECIPES
from maskreel.training.recipe import moved_options
from maskreel.training.run_folder import read_recipe
from tests.cli.before.json_keys import written

BEFORE = Path(__file__).parent / "before"
OPTIONS = [json.loads(line) for line in (BEFORE / "options.jsonl").read_text().splitlines()]
LINES = sorted({(option["command"], *option["first"]) for option in OPTIONS})
"""Commands, and what must be typed for them; of train the recipe."""

SEVERAL = {("data view", "--results")}
"""Options that take more than one word now."""


def of_line(line: tuple[str, ...]) -> list[dict[str, Any]]:
    return [option for option in OPTIONS if (option["command"], *option["first"]) == line]


def value_at(record: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        record = record[name]
    return record


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else name)
    else:
        yield path, value


def test_the_lists_are_complete() -> None:
    """As many as there were: nothing may be dropped from them."""
    assert len(OPTIONS) == 870
    newer = {"export-weights", "doctor", "export", "serve", "inspect", "bench train", "data pack"}
    assert {option["command"] for option in OPTIONS} == set(COMMANDS) - newer
    kinds = {RECIPES[line[1]]().model.kind for line in LINES if line[0] == "train"}
    assert kinds == {"seqformer", "ms_sts", "taformer", "vistr", "deformable_vistr", "tt_spn"}


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_option_is_taken_with_its_value(line: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    command, *first = line
    options = of_line(line)
    moved = moved_options(RECIPES[first[0]]().model.kind) if command == "train" else {}
    typed, renamed = list(first), list(first)
    for option in options:
        if option["option"] not in first:
            new = f"--{new_path(option['path'], moved).replace('_', '-')}"
            is_moved = new_path(option["path"], moved) != option["path"]
            typed += [option["option"], *option["words"]]
            renamed += [new if is_moved else option["option"], *option["words"]]
    with caplog.at_level(logging.WARNING):
        record = options_of(COMMANDS[command], command, typed)
    told = [entry.getMessage() for entry in caplog.records]
    plain = to_dict(record)
    for option in options:
        place = new_path(option["path"], moved)
        value = [option["value"]] if (command, option["option"]) in SEVERAL else option["value"]
        assert value_at(plain, place) == value, option["option"]
        warnings = [message for message in told if message.startswith(f"{option['option']} ")]
        new = f"--{place.replace('_', '-')}"
        assert [f" {new} " in message for message in warnings] == [True] * (place != option["path"]), option["option"]
    caplog.clear()
    assert options_of(COMMANDS[command], command, renamed) == record
    assert caplog.records == []


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--evaluation.short_side", "64"], 64),
        (["--evaluation.short-side=64"], 64),
        (["--evaluation.predictor.short-side=64"], 64),
    ],
)
def test_old_names_are_taken_however_they_are_spelt(words: list[str], value: int) -> None:
    assert parse(["seqformer-tiny", *words]).evaluation.predictor.short_side == value


def test_an_old_switch_is_switched_off_by_its_old_name(caplog: pytest.LogCaptureFixture) -> None:
    for words in (["--model.legacy-valid-index"], ["--model.legacy-valid-index", "--model.no-legacy-valid-index"]):
        caplog.clear()
        assert parse(["vistr-tiny", *words]).model.loss.legacy_valid_index == (len(words) == 1)
        assert [entry.getMessage().split()[0] for entry in caplog.records] == words


@pytest.mark.parametrize("line", [line for line in LINES if line[0] == "train"], ids=" ".join)
def test_the_recipe_of_a_run_written_before_is_read(line: tuple[str, ...], tmp_path: Path) -> None:
    """Each option at its value of then, under its key of then."""
    written_then: dict[str, Any] = {"name": line[1]}
    values = {option["path"]: option["value"] for option in of_line(line)}
    for path, value in values.items():
        *above, name = path.split(".")
        if above:
            place = written_then
            for part in above:
                place = place.setdefault(part, {})
            place[name] = value
    (tmp_path / "config.json").write_text(json.dumps(written_then))
    now = to_dict(read_recipe(tmp_path))
    moved = moved_options(now["model"]["kind"])
    for path, value in leaves(written_then):
        assert value_at(now, new_path(path, moved)) == value, path


def in_its_place(line: str) -> str:
    """A line of `json_keys.txt` with the path of a model's option where that stands today."""
    where, key = line.split(": ", 1)
    path = new_path(key.removeprefix("."), moved_options("seqformer"))
    return f"{where}: {'.' if key.startswith('.') else ''}{path}"


@pytest.mark.slow
def test_every_json_key_and_every_column_is_written(tmp_path: Path) -> None:
    # What sets a recipe apart is what it says today.
    then = {line for line in (BEFORE / "json_keys.txt").read_text().splitlines() if ".differences." not in line}
    assert len(then) > 1000
    now = {in_its_place(line) for line in written(tmp_path)}
    assert {in_its_place(line) for line in then} - now == set()
