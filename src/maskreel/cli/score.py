"""`maskreel score`: measure a results file against an annotation file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from maskreel.config import nearest
from maskreel.errors import UsageError
from maskreel.evaluation.average_precision import CATEGORY_NAMES, STAT_NAMES, AveragePrecisionMeter
from maskreel.evaluation.overlap import measure
from maskreel.evaluation.results import GroundTruth, read_ground_truth, read_predictions
from maskreel.files import complete_file

METRICS = ("ap",)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Measure a results file against an annotation file, both in the YouTube-VIS layout."""

    ground_truth: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="GT")]
    """File with the annotated tracks."""
    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PRED")]
    """File with the predicted tracks: a list of video_id, category_id, score and segmentations."""
    metrics: str = "ap"
    """What to measure, comma-separated: ap."""
    per_class: bool = False
    """Also print the figures of each class."""
    strict_reference: bool = False
    """Reproduce the faults of the YouTube-VIS reference evaluator instead of repairing or refusing."""
    json: str | None = None
    """Also write the figures as JSON (fractions, null for nothing to measure) here; without a path, JSON alone."""


def run(args: Score) -> None:
    """Measure and print."""
    words = chosen_metrics(args.metrics)
    strict = args.strict_reference
    ground_truth = read_ground_truth(args.ground_truth, strict_reference=strict)
    predictions = read_predictions(args.predictions, ground_truth, strict_reference=strict)
    meter = AveragePrecisionMeter(ground_truth, strict_reference=strict)
    for overlap in measure(ground_truth, predictions, strict_reference=strict):
        meter.add(overlap)
    report = {word: meter.result().to_json() for word in words}
    if args.json == "-":
        print(json.dumps(report, indent=1))
        return
    if args.json is not None:
        with complete_file(Path(args.json)) as path:
            path.write_text(json.dumps(report, indent=1) + "\n")
    print("\n\n".join(_tables(report, ground_truth, per_class=args.per_class)))


def chosen_metrics(words: str) -> tuple[str, ...]:
    """The words of a comma-separated list; UsageError for one that is no metric."""
    chosen = tuple(word.strip() for word in words.split(",") if word.strip())
    for word in chosen:
        if word not in METRICS:
            close = nearest(word, METRICS)
            hint = f"did you mean {close!r}?" if close else f"there are {', '.join(METRICS)}."
            raise UsageError(f"unknown metric {word!r}; {hint}")
    if not chosen:
        raise UsageError(f"--metrics names nothing to measure; there are {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(chosen))


def _tables(report: Mapping[str, Any], ground_truth: GroundTruth, *, per_class: bool) -> list[str]:
    figures = report["ap"]
    overall = [*STAT_NAMES[:6], *STAT_NAMES[6:]]
    tables = [table(["", *overall], [["all classes", *(figures[name] for name in overall)]])]
    if per_class:
        rows = [
            [ground_truth.categories[int(category)], *(one[name] for name in CATEGORY_NAMES)]
            for category, one in figures["per_category"].items()
        ]
        tables.append(table(["class", *CATEGORY_NAMES], rows))
    return tables


def table(head: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> str:
    """Columns of text: fractions in percent with one digit, `-` where nothing could be measured."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return "-" if value is None else f"{100 * value:.1f}"
