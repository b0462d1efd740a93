"""`maskreel recipes`: every recipe, what it changes, and the metrics that are known of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.models import Recipes
from maskreel.recipes.listing import Listing, listings
from maskreel.recipes.metrics import WITHOUT_RECIPE, Metrics

METRICS = {"ap50": "AP50", "ap75": "AP75", "ar1": "AR1", "ar10": "AR10", "fps": "FPS", "parameters": "M parameters"}
"""Columns beside AP, by the fields of the records."""
MOST_DIFFERENCES = 5
"""Shown in a line; JSON has all."""


def run(args: Recipes) -> None:
    """Print one line per recipe, then the published rows without one; nothing is built."""
    outputs = outputs_for(args)
    rows = listings()
    if report_json(args.json, [to_json(row) for row in rows], outputs):
        print(_text(rows), _without_recipe(), sep="\n\n")


def to_json(row: Listing) -> dict[str, Any]:
    """A row as it stands in the JSON list; AP in percent, "not run" where none was measured."""
    known, measured = row.reported, row.measured
    return {
        "name": row.name,
        "model": row.model,
        "main_row": row.main_row,
        "differences": row.differences,
        "reported": None if known is None else known.ap,
        "source": None if known is None else known.source,
        "measured": "not run" if measured is None else measured.ap,
        "reported_records": [asdict(report) for report in row.reports],
        "measured_record": None if measured is None else asdict(measured),
    }


def _text(rows: Sequence[Listing]) -> str:
    lines = [("name", "model", "reported AP", "measured AP", *METRICS.values(), "differs from the main row")]
    for row in rows:
        known, measured = row.reported, row.measured
        lines.append(
            (
                row.name,
                row.model,
                "-" if known is None else f"{known.ap:.1f}{' (derived)' if known.is_derived else ''}",
                "not run" if measured is None else f"{measured.ap:.1f}",
                *_cells(known or measured),
                _changes(row),
            )
        )
    return _aligned(lines)


def _without_recipe() -> str:
    lines = [("published, but no recipe", "reported AP", *METRICS.values(), "source")]
    for name, known in WITHOUT_RECIPE.items():
        lines.append((name, f"{known.ap:.1f}", *_cells(known), known.source))
    return _aligned(lines)


def _cells(known: Metrics | None) -> list[str]:
    values = [None if known is None else getattr(known, name) for name in METRICS]
    return ["-" if value is None else f"{value:.1f}" for value in values]


def _aligned(lines: Sequence[Sequence[str]]) -> str:
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
