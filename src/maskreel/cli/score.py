"""`maskreel score`: measure a results file against an annotation file."""

import csv
import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.score import Score
from maskreel.cli.tables import table
from maskreel.config import suggestion
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.tracks import GroundTruth
from maskreel.errors import UsageError
from maskreel.evaluation.catalog import METRICS, about
from maskreel.evaluation.metric import About
from maskreel.evaluation.report import ScoreOptions, rows_of, score
from maskreel.evaluation.results import read_predictions
from maskreel.files import collector_paused

TITLES = {"all": "all classes", "detection_averaged": "all detections", "class_averaged": "mean of classes"}
"""Ways to average."""


def run(args: Score) -> None:
    """Measure and print.

    Raises:
        UsageError: for an unknown metric and paths that cannot be read or written.
        DataError: for files that are not what they should be.
    """
    options = ScoreOptions(
        metrics=chosen_metrics(args.metrics),
        per_video=args.per_video,
        bootstrap=args.bootstrap,
        errors=args.errors,
        strict_reference=args.strict_reference,
    )
    if args.bootstrap < 0:
        raise UsageError(f"--bootstrap {args.bootstrap}: a number of resamplings, 0 for none")
    outputs = outputs_for(args, args.ground_truth, args.predictions)
    if args.csv is not None:
        outputs.claim(args.csv, "--csv")
    with collector_paused():
        ground_truth = read_ground_truth(args.ground_truth, strict_reference=args.strict_reference)
        predictions = read_predictions(args.predictions, ground_truth, strict_reference=args.strict_reference)
        report = score(ground_truth, predictions, options)
        # The collector would now go through all that was read; it goes when the command ends.
        gc.freeze()
    if args.csv is not None:
        with outputs.writing(args.csv) as new:
            _write_csv(new, report)
    if report_json(args.json, report, outputs):
        print("\n\n".join(_tables(report, ground_truth, per_class=args.per_class)))


def chosen_metrics(words: str) -> tuple[str, ...]:
    """The words of a comma-separated list; UsageError for one that is no metric."""
    chosen = tuple(word.strip() for word in words.split(",") if word.strip())
    for word in chosen:
        if word not in METRICS:
            hint = suggestion(word, METRICS, f"there are {', '.join(METRICS)}.")
            raise UsageError(f"unknown metric {word!r}; {hint}")
    if not chosen:
        raise UsageError(f"--metrics names nothing to measure; there are {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(chosen))


def _write_csv(path: Path, report: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("metric", "group", "item", "figure", "value", "low", "high"))
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows_of(dict(report)))


def _tables(report: Mapping[str, Any], ground_truth: GroundTruth, *, per_class: bool) -> Iterator[str]:
    names = {str(video.id): f"{video.id} {video.name}" for video in ground_truth.videos}
    classes = {str(label): name for label, name in ground_truth.class_names.items()}
    for word in (word for word in METRICS if word in report):
        section, metric = report[word], about(word)
        if rows := list(_overall_rows(section, metric)):
            yield table([word, *metric.columns], rows)
        yield from _further_tables(section, metric)
        if per_class and ("per_category" in section or "per_class" in section):
            per = section.get("per_class") or {classes[label]: one for label, one in section["per_category"].items()}
            yield _item_table("class", per, metric)
        if "per_video" in section:
            yield _item_table("video", {names[video]: one for video, one in section["per_video"].items()}, metric)
        if "errors" in section:
            yield _item_table("AP lost to", section["errors"], replace(metric, columns=("count", "AP", "AP50")))


def _overall_rows(section: Mapping[str, Any], metric: About) -> Iterator[list[Any]]:
    """The metrics over everything, each row followed by the bounds of its confidence interval."""
    for average in metric.averages:
        metrics = section if average == "all" else section.get(average, {})
        if metric.columns[0] not in metrics:
            continue
        yield [TITLES[average], *(_cell(metric, name, metrics[name]) for name in metric.columns)]
        bounds = section.get("confidence", {})
        bounds = bounds if average == "all" else bounds.get(average, {})
        if bounds:
            yield ["  95 % from", *(_cell(metric, name, bounds[name][0]) for name in metric.columns)]
            yield ["  to", *(_cell(metric, name, bounds[name][1]) for name in metric.columns)]
    pooled = {figure: value for group, _, figure, value in _listed(section, metric) if group == "class_agnostic"}
    if pooled:
        yield ["classes ignored", *(_cell(metric, name, pooled[name]) for name in metric.columns)]


def _further_tables(section: Mapping[str, Any], metric: About) -> Iterator[str]:
    """Metrics by IoU threshold, and groups of metrics with names of their own."""
    by_figure: dict[str, dict[str, Any]] = {}
    for group, item, figure, value in _listed(section, metric):
        if group == "per_iou":
            by_figure.setdefault(figure, {})[item] = value
    if by_figure:
        thresholds = list(next(iter(by_figure.values())))
        rows = [[name, *(_cell(metric, name, values[one]) for one in thresholds)] for name, values in by_figure.items()]
        yield table(["IoU", *thresholds], rows)
    for group, metrics in section.items():
        is_group = isinstance(metrics, dict) and not any(isinstance(one, dict | list) for one in metrics.values())
        if is_group and metrics and group not in TITLES:
            row = [TITLES["all"], *(_cell(metric, name, one) for name, one in metrics.items())]
            yield table([group, *metrics], [row])


def _listed(section: Mapping[str, Any], metric: About) -> Iterator[tuple[str, str, str, Any]]:
    """Group, item, figure and value of everything that stands in lists."""
    for key, places in metric.lists.items():
        for place, value in zip(places, section.get(key, ()), strict=key in section):
            yield *place, value


def _item_table(title: str, items: Mapping[str, Mapping[str, Any]], metric: About) -> str:
    shown = [name for name in metric.columns if any(name in metrics for metrics in items.values())]
    rows = [[item, *(_cell(metric, name, metrics[name]) for name in shown)] for item, metrics in items.items()]
    return table([title, *shown], rows)


def _cell(metric: About, name: str, value: float | int | None) -> str:
    """Percent with one digit, counts as they are, `-` where nothing could be measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if metric.is_count(name) else f"{100 * value:.1f}"
