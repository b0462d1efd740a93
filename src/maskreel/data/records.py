"""JSON files whose content somebody else wrote: every field is checked as it is read, errors say file and place."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskreel.data.tracks import Category
from maskreel.errors import DataError
from maskreel.files import collector_paused

KIND_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def read_document(path: Path, *, unreadable: type[Exception] = DataError) -> tuple[Any, bytes]:
    """What a JSON file holds, and its bytes; DataError for a file that is not JSON.

    `unreadable` is raised for one that cannot be opened: `UsageError` where its path is what was typed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not content.strip():
        raise DataError(f"{path}: not a JSON file: the file is empty; download or export it again.")
    try:
        with collector_paused():
            return json.loads(content), content
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file, or cut short ({error}); download or export it again.") from error


def identified(document: dict[str, Any], key: str, where: str) -> dict[int, dict[str, Any]]:
    """The records of a list by their ids, in the order of the file; `where` is "FILE: RECORD"."""
    result: dict[int, dict[str, Any]] = {}
    for record, place in records_of(document, key, where):
        record_id = id_of(record, "id", place)
        if record_id in result:
            raise DataError(f"{where} {record_id} stands twice in the file; ids must differ.")
        result[record_id] = record if record["id"] is record_id else {**record, "id": record_id}
    return result


def records_of(document: dict[str, Any], key: str, where: str) -> list[tuple[dict[str, Any], str]]:
    """The records of a list, each with its place; `where` is "FILE: RECORD"."""
    result = []
    for place, record in enumerate(field_of(document, key, list, where.rpartition(":")[0])):
        if not isinstance(record, dict):
            raise DataError(f"{where} at position {place} is {shortened(record)}; expected an object.")
        result.append((record, f"{where} at position {place}"))
    return result


def read_categories(document: dict[str, Any], path: Path) -> tuple[Category, ...]:
    """The classes of a file by ascending id, at least one; DataError for any other list."""
    records = identified(document, "categories", f"{path}: category")
    if not records:
        raise DataError(f'{path}: "categories" is empty; list at least one class with an id and a name.')
    return tuple(
        Category(id=number, name=field_of(record, "name", str, f"{path}: category {number}"))
        for number, record in sorted(records.items())
    )


def whole(value: Any) -> int | None:
    """A whole number, which tables write as 1.0 and forms as "1"; None for anything else."""
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < 2**53 else None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else None
    return value if type(value) is int else None


def id_of(record: Mapping[str, Any], key: str, where: str) -> int:
    """A number that names something, in any form of `whole`; DataError for anything else."""
    number = whole(record.get(key))
    return field_of(dict(record), key, int, where) if number is None else number


def field_of(record: dict[str, Any], key: str, kind: type, where: str) -> Any:
    """A field that must be there and of this type; a float may be written as a whole number, which has 64 bits."""
    if key not in record:
        raise DataError(f'{where}: "{key}" is missing; expected {KIND_NAMES[kind]}.')
    value = record[key]
    if kind is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not kind or (kind is int and not -(2**63) <= value < 2**63):
        raise DataError(f'{where}: "{key}" is {shortened(value)}; expected {KIND_NAMES[kind]}.')
    return value


def crowd_mark(record: Mapping[str, Any], where: str) -> bool:
    """Whether an annotation is marked as a crowd, the one rule for every format; it is not where nothing is said.

    Beside 0 and 1 tools write false and true, and either as text; DataError for anything else.
    """
    mark = record.get("iscrowd")
    word = mark.strip().lower() if isinstance(mark, str) else mark
    if word is not None and (isinstance(word, list | dict) or word not in (0, 1, "0", "1", "false", "true")):
        raise DataError(f'{where}: "iscrowd" is {shortened(mark)}; expected 0 or 1.')
    return word in (1, "1", "true")


def frame_rate(record: dict[str, Any], where: str) -> float | None:
    """Frames per second of a video, where the file tells."""
    return None if record.get("fps") is None else field_of(record, "fps", float, where)


def listing(values: Sequence[object], limit: int = 10) -> str:
    """The first few, and how many there are."""
    shown = ", ".join(str(value) for value in values[:limit])
    return shown if len(values) <= limit else f"{shown}, ... {len(values)} in all"


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
