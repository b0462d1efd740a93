"""`maskreel compare`: differences of two score files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.score import Compare
from maskreel.cli.score import TITLES
from maskreel.cli.tables import table
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.catalog import about
from maskreel.evaluation.comparison import (
    Difference,
    by_item,
    differences,
    headline,
    headlines,
    overall,
    read_scores,
)


def run(args: Compare) -> None:
    """Compare and print.

    Raises:
        UsageError: for files that cannot be read.
        DataError: for files that hold no scores or nothing in common, and where --fail-below is not met.
    """
    if args.fail_below is not None and not math.isfinite(args.fail_below):
        raise UsageError(f"--fail-below {args.fail_below}: give percent points, such as -0.5")
    if args.rows < 1:
        raise UsageError(f"--rows {args.rows}: at least 1")
    outputs = outputs_for(args, args.before, args.after)
    found = differences(read_scores(args.before), read_scores(args.after))
    main = headlines(found)
    if all(one.before is None or one.after is None for one in main):
        raise DataError(
            f"{args.before} and {args.after} have no main figure in common; score both with equal --metrics"
        )
    if report_json(args.json, {"differences": [{**asdict(one), "change": one.change} for one in found]}, outputs):
        print("\n\n".join(_tables(found, args)))
    if args.fail_below is not None:
        _fail_below(main, args.fail_below)


def _fail_below(main: Sequence[Difference], least: float) -> None:
    """DataError for main metrics that change by less, or that one of the files cannot tell."""
    # Rounded, so that a change of exactly the bound passes whatever its last bit.
    failed = [one for one in main if one.change is None or round(100 * one.change, 9) < least]
    if failed:
        listed = ", ".join(f"{one.metric} {one.figure} {_change(one)}" for one in failed)
        raise DataError(f"below --fail-below {least:g}: {listed}")


def _tables(found: list[Difference], args: Compare) -> Iterator[str]:
    metrics = [one.metric for one in headlines(found)]
    for metric in metrics:
        for group in about(metric).averages:
            rows = [one for one in overall(found) if (one.metric, one.group) == (metric, group)]
            if rows:
                title = metric if group == "all" else f"{metric}, {TITLES[group]}"
                yield _table(title, [(one.figure, one) for one in rows])
    for of_videos, title in ((False, "class"), (True, "video")):
        for metric in metrics:
            items = by_item(found, metric, of_videos=of_videos)
            changed = [one for one in items if one.before or one.after]
            if changed:
                shown = changed[: args.rows]
                left = f" ({len(shown)} of {len(items)})" if len(shown) < len(items) else ""
                yield _table(f"{headline(metric)} by {title}{left}", [(one.item, one) for one in shown])


def _table(title: str, rows: Sequence[tuple[str, Difference]]) -> str:
    cells = [[name, _value(one, one.before), _value(one, one.after), _change(one)] for name, one in rows]
    return table([title, "A", "B", "B - A"], cells)


def _value(one: Difference, value: int | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if about(one.metric).is_count(one.figure) else f"{100 * value:.2f}"


def _change(one: Difference) -> str:
    if one.change is None:
        return "-"
    return f"{one.change:+.0f}" if about(one.metric).is_count(one.figure) else f"{100 * one.change:+.2f}"
