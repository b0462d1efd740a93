"""Writes `options.jsonl`: every option of every command, with a value that it took at commit 0e4d22a.

Run with the source of that commit on PYTHONPATH, and no other: `python tests/cli/before/make_options.py`. `train` is
listed with as many recipes of each kind of model as it takes to meet all of its options. The options of a command (of a
recipe) are one command line: all at once, each with another value than the default where one was accepted beside the
others.
"""

import json
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro import _parsers

from maskreel.cli.main import COMMANDS
from maskreel.cli.options import parse_options
from maskreel.cli.train import Train, _with_defaults, parse
from maskreel.config import _plain
from maskreel.errors import UsageError
from maskreel.recipes.catalog import RECIPES


def arguments(record: type, default: Any) -> list[Any]:
    spec = _parsers.ParserSpecification.from_callable_or_type(
        Annotated[(record, tyro.conf.AvoidSubcommands)],
        markers=set(),
        description=None,
        parent_classes=set(),
        default_instance=default,
        intern_prefix="",
        extern_prefix="",
        subcommand_prefix="",
        support_single_arg_types=False,
        prog_suffix="",
    )
    return [entry.arg for entry in spec.get_args_including_children()]


def candidates(argument: Any) -> list[list[str]]:
    """Values to try, the default last."""
    lowered, default = argument.lowered, argument.field.default
    if lowered.action == "boolean_optional_action":
        return [[]]
    if lowered.choices:
        words = list(lowered.choices)
        return [[word] for word in words if word != str(default)] + [[str(default)]]
    if isinstance(default, tuple) and default:
        changed = [[str(item + 1) for item in default]] if isinstance(default[0], int | float) else []
        return [*changed, [str(item) for item in default]]
    if isinstance(default, bool):
        return [[str(not default)], [str(default)]]
    if isinstance(default, int):
        return [[str(value)] for value in (default + 1, default * 2, default + 32, default // 2, default)]
    if isinstance(default, float):
        return [[str(value)] for value in (default / 2, 0.25, 0.75, 2.0, default)]
    count = lowered.nargs if isinstance(lowered.nargs, int) else 1
    return [[word] * count for word in ("7", "0.5", "word", "0", "None")]


def value_at(record: Any, path: str) -> Any:
    for name in path.replace("-", "_").split("."):
        record = getattr(record, name)
    return _plain(record, path)


def listed(
    record: type, default: Any, first: list[str], parse_words: Any, skip: Collection[str] = ()
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    words = list(first)
    given = {word for word in first if word.startswith("--")}
    for argument in arguments(record, default):
        if argument.is_positional():
            continue
        flag = argument.lowered.name_or_flags[0]
        path = ".".join(filter(None, [argument.intern_prefix, argument.field.intern_name]))
        if flag in skip:
            continue
        if argument.lowered.action == "boolean_optional_action" and argument.field.default is True:
            flag = flag.replace("--", "--no-", 1)
        if flag in given:
            options[flag] = {
                "words": [first[first.index(flag) + 1]],
                "path": path.replace("-", "_"),
                "value": first[first.index(flag) + 1],
            }
            continue
        for tried in candidates(argument):
            try:
                got = parse_words([*words, flag, *tried])
            except UsageError:
                continue
            words += [flag, *tried]
            options[flag] = {"words": tried, "path": path.replace("-", "_"), "value": value_at(got, path)}
            break
        else:
            raise SystemExit(f"{first} {flag}: no value was accepted")
    final = parse_words(words)
    for option in options.values():
        option["value"] = value_at(final, option["path"])
    return {"first": first, "options": options}


def of_train() -> list[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    lists = []
    for name, make in RECIPES.items():
        recipe = make()
        default = _with_defaults(recipe, resume=None)
        flags = {
            (recipe.model.kind, argument.lowered.name_or_flags[0])
            for argument in arguments(Train, default)
            if not argument.is_positional()
        }
        if not flags <= seen:
            seen |= flags
            lists.append({"command": "train", **listed(Train, default, [name], parse, skip={"--resume"})})
    return lists


def of_command(name: str, record: type) -> dict[str, Any]:
    first = []
    for argument in arguments(record, tyro.MISSING_NONPROP):
        value = (argument.lowered.choices or ["word"])[0]
        if argument.is_positional():
            first.append(value)
        elif argument.lowered.required:
            first += [argument.lowered.name_or_flags[0], value]
    found = listed(record, tyro.MISSING_NONPROP, first, lambda words: parse_options(record, words, name))
    return {"command": name, **found}


def main() -> None:
    records = {
        name: getattr(import_module(one.module), one.record) for name, one in COMMANDS.items() if name != "train"
    }
    lists = [*(of_command(name, record) for name, record in records.items()), *of_train()]
    with Path(__file__).with_name("options.jsonl").open("w") as file:
        for one in lists:
            for option, entry in one["options"].items():
                line = {"command": one["command"], "first": one["first"], "option": option, **entry}
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
