"""`maskreel models`: the recipes' models and their sizes, and how they compare with published counts."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import torch

from maskreel.checkpoints.published import PUBLISHED_MODELS, Counts, count, own_counts
from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS
from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.recipes import METRICS
from maskreel.cli.records.models import Models
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES
from maskreel.recipes.metrics import MEASURED, REPORTED

Row = dict[str, Any]


def run(args: Models) -> None:
    """Count and print; no weights are allocated."""
    outputs = outputs_for(args)
    rows = published_rows() if args.published else recipe_rows()
    if report_json(args.json, rows, outputs):
        print(_text(rows if args.published else [_flat(row) for row in rows]))


def recipe_rows() -> list[Row]:
    """Counts of every recipe's model in our own layout, and the metrics that are known of it."""
    rows: list[Row] = []
    for name, recipe in RECIPES.items():
        reports, measured = REPORTED.get(name), MEASURED.get(name)
        rows.append(
            {
                "model": name,
                **asdict(_counts(recipe().model)),
                "reported": None if reports is None else asdict(reports[0]),
                "measured": None if measured is None else asdict(measured),
            }
        )
    return rows


@cache
def _counts(config: ModelConfig) -> Counts:
    with torch.device("meta"):
        return own_counts(build_model(config))


def _flat(row: Row) -> Row:
    """A row of the table: what was reported, in columns of its own."""
    known = row["reported"] or {}
    metrics = {"reported_AP": known.get("ap")} | {title: known.get(name) for name, title in METRICS.items()}
    return {name: value for name, value in row.items() if name not in ("reported", "measured")} | metrics


def published_rows() -> list[Row]:
    """Every published count beside that of our model in the published layout."""
    layouts = {name: model.layout() for name, model in PUBLISHED_MODELS.items()}
    rows: list[Row] = []
    for known in PUBLISHED_COUNTS:
        ours = count(layouts[known.model], known.convention, known.part)
        rows.append(
            {
                "model": known.model,
                "part": known.part.replace("\\.", ".").replace("\\d+", "#") or "all",
                "convention": known.convention,
                "published": known.published,
                "ours": ours,
                "difference": ours - known.published,
                "source": known.source,
            }
        )
    return rows


def _text(rows: Sequence[Row]) -> str:
    """Columns under their names, words to the left and numbers to the right."""
    columns = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        cells = [name.replace("_", " "), *map(_cell, values)]
        width = max(map(len, cells))
        is_words = any(isinstance(value, str) for value in values)
        columns.append([cell.ljust(width) if is_words else cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
