"""Strict round trip between frozen dataclasses and plain dicts, as `config.json` holds them.

A record may contain numbers, strings, paths, `Literal` choices, tuples, string-keyed dicts, other records, and
unions of records told apart by their `kind` field. Types come from the code alone: nothing that
a file says is imported.
"""

import copy
import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, overload

from maskreel.errors import DataError, OptionError

Record = TypeVar("Record")


class ConfigError(DataError):
    """A config does not fit its record: carries the path of the field, what stands there, and what is allowed."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` was most likely meant to be, None when nothing is near in letters.

    Near are words that differ in one letter (two, from six letters on), where a letter is left out, added, another, or
    swapped with its neighbour; of two letters typed, a third may be left out. And words that begin as `word` does. The
    first of equally near ones is taken.
    """
    typed = _folded(word)
    candidates = {candidate: _folded(candidate) for candidate in allowed}
    near = {
        candidate: distance
        for candidate, letters in candidates.items()
        if (distance := _edits(typed, letters)) <= _most_edits(typed, letters)
    }
    if near:
        return min(near, key=near.__getitem__)
    begun = (candidate for candidate, letters in candidates.items() if letters.startswith(typed))
    return next(begun, None) if len(typed) >= 2 else None


def suggestion(word: str, allowed: Iterable[str], otherwise: str) -> str:
    """The end of an error about an unknown word: the near one, or what to do where there is none."""
    close = nearest(word, allowed)
    return f"did you mean {close!r}?" if close else otherwise


def _folded(word: str) -> str:
    return word.lower().replace("_", "-").lstrip("-")


def _most_edits(typed: str, meant: str) -> int:
    if len(typed) <= 2:
        return int(len(typed) == 2 and len(meant) == 3)
    return 1 if len(typed) <= 5 else 2


def _edits(one: str, other: str) -> int:
    """Letters left out, added, replaced or swapped with their neighbour between two words (optimal alignment)."""
    before, last = [], list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, second in enumerate(other, start=1):
            cost = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != second))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == second:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, last = last, current
    return last[-1]


def to_dict(record: object) -> dict[str, Any]:
    """Every field of a dataclass instance as JSON-ready values: tuples become lists, paths strings, records dicts."""
    assert dataclasses.is_dataclass(record), f"{record!r} is not a record"
    return {field.name: _plain(getattr(record, field.name), field.name) for field in dataclasses.fields(record)}


@overload
def from_dict(cls: type[Record], data: object, path: str = "") -> Record: ...
@overload
def from_dict(cls: object, data: object, path: str = "") -> Any: ...
def from_dict(cls: Any, data: object, path: str = "") -> Any:
    """Build `cls` (a record, or a union of records told apart by `kind`) from what `to_dict` or a JSON file gave.

    `path` is prefixed to the field named in errors. Fields that `data` lacks take their defaults. Raises ConfigError.
    """
    return _build(cls, data, path)


def new_path(path: str, moved: Mapping[str, str]) -> str:
    """Where a field stands today, by a table of old paths and new ones, each of which stands for all that is below."""
    for old, new in moved.items():
        if path == old or path.startswith(f"{old}."):
            return new + path.removeprefix(old)
    return path


def in_new_places(description: Any, moved: Mapping[str, str]) -> Any:
    """What `to_dict` gave once, with every field where `moved` says it stands today; what stands there already stays.

    Nothing is checked: what does not fit today's records is for `from_dict` to refuse.
    """
    found = copy.deepcopy(description)
    values = {}
    for old, new in moved.items():
        *above, name = old.split(".")
        record = found
        for part in above:
            record = record.get(part) if isinstance(record, dict) else None
        if isinstance(record, dict) and name in record:
            values[new] = record.pop(name)
    for new, value in values.items():
        *above, name = new.split(".")
        record = found
        for part in above:
            record = record.setdefault(part, {}) if isinstance(record, dict) else None
        if isinstance(record, dict):
            record.setdefault(name, value)
    return found


def _plain(value: object, path: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, tuple | list):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(path, f"{type(value).__name__} cannot be written to a config file")


def _build(wanted: Any, data: object, path: str) -> Any:
    origin = typing.get_origin(wanted)
    if origin is typing.Annotated:
        return _build(typing.get_args(wanted)[0], data, path)
    if origin in (Union, types.UnionType):
        return _build_union(typing.get_args(wanted), data, path)
    if origin is Literal:
        return _build_literal(typing.get_args(wanted), data, path)
    if origin is tuple:
        return _build_tuple(typing.get_args(wanted), data, path)
    if origin is dict:
        if not isinstance(data, dict):
            raise _mismatch(wanted, data, path)
        return {str(key): _build(typing.get_args(wanted)[1], item, _join(path, str(key))) for key, item in data.items()}
    if dataclasses.is_dataclass(wanted):
        return _build_record(wanted, data, path)
    return _build_scalar(wanted, data, path)


def _build_scalar(wanted: Any, data: object, path: str) -> Any:
    if wanted is Path and isinstance(data, str):
        return Path(data)
    if wanted is float and isinstance(data, int | float) and not isinstance(data, bool):
        if not math.isfinite(data):
            raise ConfigError(path, f"{data} is not a finite number")
        return float(data)
    # bool is a subclass of int, so the types are compared exactly.
    if wanted in (bool, int, str, types.NoneType) and type(data) is wanted:
        return data
    if wanted not in (bool, int, float, str, Path, types.NoneType):
        raise TypeError(f"{path}: a record field of type {wanted} has no form in a config file")
    raise _mismatch(wanted, data, path)


def _build_literal(allowed: tuple[Any, ...], data: object, path: str) -> Any:
    for choice in allowed:
        if type(choice) is type(data) and choice == data:
            return choice
    hint = _did_you_mean(data, [choice for choice in allowed if isinstance(choice, str)])
    raise ConfigError(path, f"{data!r} is not one of {_listed(allowed)}{hint}")


def _build_tuple(items: tuple[Any, ...], data: object, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise _mismatch(tuple[items], data, path)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(data)
    if len(items) != len(data):
        raise ConfigError(path, f"{len(data)} values where {len(items)} are expected")
    return tuple(
        _build(item, value, f"{path}[{index}]") for index, (item, value) in enumerate(zip(items, data, strict=True))
    )


def _build_union(members: tuple[Any, ...], data: object, path: str) -> Any:
    records = [member for member in members if dataclasses.is_dataclass(member)]
    if isinstance(data, dict) and records:
        return _build_record(records[0] if len(records) == 1 else _choose_kind(records, data, path), data, path)
    others = [member for member in members if not dataclasses.is_dataclass(member)]
    informative = []
    # An int fits a float field too; the exact type goes first so that a round trip keeps it.
    for member in sorted(others, key=lambda member: member is not type(data)):
        try:
            return _build(member, data, path)
        except ConfigError as error:
            informative += [error] * (member is not types.NoneType)
    if len(informative) == 1 and not records:
        raise informative[0]
    raise _mismatch(Union[members], data, path)  # noqa: UP007  built from a tuple


def _choose_kind(records: list[Any], data: dict[str, Any], path: str) -> Any:
    by_kind = {}
    for record in records:
        kind = typing.get_type_hints(record).get("kind")
        assert typing.get_origin(kind) is Literal, f"{record.__name__} is part of a union and needs a Literal `kind`"
        by_kind.update(dict.fromkeys(typing.get_args(kind), record))
    if "kind" not in data:
        raise ConfigError(_join(path, "kind"), f"is missing; it must be one of {_listed(by_kind)}")
    if not isinstance(data["kind"], str) or data["kind"] not in by_kind:
        hint = _did_you_mean(data["kind"], by_kind)
        raise ConfigError(_join(path, "kind"), f"{data['kind']!r} is not one of {_listed(by_kind)}{hint}")
    return by_kind[data["kind"]]


def _build_record(cls: Any, data: object, path: str) -> Any:
    if not isinstance(data, dict):
        raise _mismatch(cls, data, path)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        if key not in fields:
            hint = _did_you_mean(key, fields) or f"; allowed are {', '.join(fields) or 'no keys at all'}"
            raise ConfigError(_join(path, str(key)), f"unknown key{hint}")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _build(hints[name], data[name], _join(path, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(_join(path, name), f"is missing ({_describe(hints[name])})")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(_join(path, error.path), error.problem) from error
    except OptionError as error:
        raise ConfigError(path, str(error)) from error


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _listed(words: Iterable[object]) -> str:
    return ", ".join(repr(word) for word in words)


def _did_you_mean(word: object, allowed: Iterable[str]) -> str:
    close = nearest(word, allowed) if isinstance(word, str) else None
    return f"; did you mean {close!r}?" if close else ""


def _mismatch(wanted: Any, data: object, path: str) -> ConfigError:
    shown = repr(data)
    return ConfigError(path, f"expected {_describe(wanted)}, got {shown if len(shown) <= 60 else shown[:57] + '...'}")


def _describe(wanted: Any) -> str:
    origin, items = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(item) for item in items)
    if origin is Literal:
        return f"one of {_listed(items)}"
    if origin is tuple:
        of = [_describe(item) for item in items if item is not Ellipsis]
        return f"a list of {of[0]}" if Ellipsis in items else f"a list ({', '.join(of)})"
    if origin is dict:
        return "an object"
    if dataclasses.is_dataclass(wanted):
        return f"an object ({getattr(wanted, '__name__', wanted)})"
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a string", Path: "a path"}
    return names.get(wanted, "null")
