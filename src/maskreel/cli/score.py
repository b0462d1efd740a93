"""`maskreel score`: measure a results file against an annotation file."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskreel.cli.options import report_json
from maskreel.cli.records.score import Score
from maskreel.cli.tables import table
from maskreel.config import suggestion
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.tracks import GroundTruth
from maskreel.errors import UsageError
from maskreel.evaluation.report import METRICS, THRESHOLDS, ScoreOptions, rows_of, score
from maskreel.evaluation.results import read_predictions
from maskreel.files import collector_paused, complete_file

COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag", "count")
"""Figures that are numbers of things, not fractions."""
_FIGURES = {
    "ap": ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
    "hota": ("HOTA", "DetA", "AssA", "DetRe", "DetPr", "AssRe", "AssPr", "LocA"),
    "clear": ("MOTA", "MOTP", "CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "Frag"),
    "identity": ("IDF1", "IDR", "IDP"),
    "trackmap": ("AP_all", "AP_area_s", "AP_area_m", "AP_area_l", "AR_all", "AR_area_s", "AR_area_m", "AR_area_l"),
    "jf": ("J&F", "J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay"),
}
"""Columns of the tables."""


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
    with collector_paused():
        ground_truth = read_ground_truth(args.ground_truth, strict_reference=args.strict_reference)
        predictions = read_predictions(args.predictions, ground_truth, strict_reference=args.strict_reference)
        report = score(ground_truth, predictions, options)
    if args.csv is not None:
        _write_csv(args.csv, report)
    if report_json(args.json, report):
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
    with complete_file(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("metric", "group", "item", "figure", "value", "low", "high"))
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows_of(dict(report)))


def _tables(report: Mapping[str, Any], ground_truth: GroundTruth, *, per_class: bool) -> Iterator[str]:
    names = {str(video.id): f"{video.id} {video.name}" for video in ground_truth.videos}
    classes = {str(label): name for label, name in ground_truth.class_names.items()}
    for word, columns in _FIGURES.items():
        section = report.get(word, {})
        if columns[0] in section or "detection_averaged" in section:
            yield table([word, *columns], list(_overall_rows(word, section, columns)))
        if "ap_per_iou" in section:
            yield table(["IoU", *THRESHOLDS], _per_iou(section))
        if "occlusion" in section:
            figures = section["occlusion"]
            row = ["all classes", *(_cell(name, value) for name, value in figures.items())]
            yield table(["occlusion", *figures], [row])
        if per_class and ("per_category" in section or "per_class" in section):
            per = section.get("per_class") or {classes[label]: one for label, one in section["per_category"].items()}
            yield _item_table("class", per, columns)
        if "per_video" in section:
            yield _item_table("video", {names[video]: one for video, one in section["per_video"].items()}, columns)
        if "errors" in section:
            yield _item_table("AP lost to", section["errors"], ("count", "AP", "AP50"))


def _overall_rows(word: str, section: Mapping[str, Any], columns: Sequence[str]) -> Iterator[list[Any]]:
    """The figures over everything, each row followed by the bounds of its confidence interval."""
    groups = {"all classes": section} if columns[0] in section else {}
    if word != "trackmap" and "detection_averaged" in section:
        groups["all detections"] = section["detection_averaged"]
    if "class_averaged" in section:
        groups["mean of classes"] = section["class_averaged"]
    keys = {"all detections": "detection_averaged", "mean of classes": "class_averaged"}
    for title, figures in groups.items():
        yield [title, *(_cell(name, figures[name]) for name in columns)]
        bounds = section.get("confidence", {})
        bounds = bounds.get(keys[title], {}) if title in keys else bounds
        if bounds:
            yield ["  95 % from", *(_cell(name, bounds[name][0]) for name in columns)]
            yield ["  to", *(_cell(name, bounds[name][1]) for name in columns)]
    if "class_agnostic_stats" in section:
        pooled = dict(zip(section["stat_names"], section["class_agnostic_stats"], strict=True))
        yield ["classes ignored", *(_cell(name, pooled[name]) for name in columns)]


def _per_iou(section: Mapping[str, Any]) -> list[list[str]]:
    rows = {"AP": section["ap_per_iou"], "AR100": section["ar100_per_iou"]}
    return [[title, *(_cell(title, value) for value in values)] for title, values in rows.items()]


def _item_table(title: str, items: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> str:
    shown = [name for name in columns if any(name in figures for figures in items.values())]
    rows = [[item, *(_cell(name, figures[name]) for name in shown)] for item, figures in items.items()]
    return table([title, *shown], rows)


def _cell(name: str, value: float | int | None) -> str:
    """Percent with one digit, counts as they are, `-` where nothing could be measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if name in COUNTS else f"{100 * value:.1f}"
