"""`maskreel recipes`: every recipe, what it changes, and the AP that is known of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from maskreel.cli.options import report_json
from maskreel.cli.records.models import Recipes
from maskreel.recipes.listing import Listing, listings

MOST_DIFFERENCES = 5
"""Shown in a line; JSON has all."""


def run(args: Recipes) -> None:
    """Print one line per recipe; nothing is built."""
    rows = listings()
    if report_json(args.json, [to_json(row) for row in rows]):
        print(_text(rows))


def to_json(row: Listing) -> dict[str, Any]:
    """A row as it stands in the JSON list; AP in percent, "not run" where none was measured."""
    return asdict(row) | {"measured": "not run" if row.measured is None else row.measured}


def _text(rows: Sequence[Listing]) -> str:
    lines = [("name", "model", "reported AP", "measured AP", "differs from the main row")]
    for row in rows:
        lines.append(
            (
                row.name,
                row.model,
                "-" if row.reported is None else f"{row.reported:.1f}",
                "not run" if row.measured is None else f"{row.measured:.1f}",
                _changes(row),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _changes(row: Listing) -> str:
    if row.name == row.main_row:
        return "(main row)"
    shown = [f"{path}={_short(value)}" for path, value in row.differences.items()]
    more = len(shown) - MOST_DIFFERENCES
    return ", ".join(shown[:MOST_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    """A record by its kind, where it has one; everything else as JSON."""
    return value["kind"] if isinstance(value, dict) and "kind" in value else json.dumps(value)
