"""`maskreel models`: the recipes' models and their sizes, and how they compare with published counts."""

from collections.abc import Sequence
from dataclasses import asdict

import torch

from maskreel.checkpoints.published import PUBLISHED_MODELS, count, own_counts
from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS
from maskreel.cli.options import report_json
from maskreel.cli.records.models import Models
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES

Row = dict[str, str | int]


def run(args: Models) -> None:
    """Count and print; no weights are allocated."""
    rows = published_rows() if args.published else recipe_rows()
    if report_json(args.json, rows):
        print(_text(rows))


def recipe_rows() -> list[Row]:
    """Counts of every recipe's model in our own layout."""
    rows: list[Row] = []
    for name, recipe in RECIPES.items():
        with torch.device("meta"):
            counts = own_counts(build_model(recipe().model))
        rows.append({"model": name, **asdict(counts)})
    return rows


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
        cells = [name.replace("_", " "), *(f"{value:,}" if isinstance(value, int) else value for value in values)]
        width = max(map(len, cells))
        is_number = isinstance(values[0], int)
        columns.append([cell.rjust(width) if is_number else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
