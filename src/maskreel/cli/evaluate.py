"""`maskreel evaluate RUN`: run a trained model over a split of a dataset and score what it finds."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import Progress

from maskreel.cli.options import out_folder, refused_as_typed, report_json, require_json
from maskreel.cli.records.video import Evaluate
from maskreel.cli.tables import table
from maskreel.config import to_dict
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.data_report import percent, report
from maskreel.evaluation.evaluate import SHOWN, Evaluation, check_classes, evaluate
from maskreel.evaluation.options import EvaluationConfig, recorded_evaluation
from maskreel.evaluation.plots import draw_plots, measured_curves
from maskreel.files import complete_file, write_json
from maskreel.models.folder import BUNDLED, load_model


def run(args: Evaluate) -> None:
    """Evaluate, print the tables and write the files."""
    if args.data.root is None:
        raise UsageError("no data to evaluate on; name its folder with --data.root DIR")
    device = choose_device(args.device)
    dataset = YouTubeVIS.load(args.data.root, args.data.split)
    if not dataset.has_annotations:
        raise DataError(
            f"{dataset.annotation_path}: there is no ground truth in it, as in the public validation files; "
            "write a results file with maskreel predict, or evaluate a split with annotations"
        )
    loaded = load_model(args.run, device)
    check_classes(loaded.classes, dataset)
    config = _options(args, loaded.inference)
    # Before the long part, so that what cannot be written is noticed at once.
    require_json(args.json)
    name = BUNDLED if args.run == BUNDLED else Path(args.run).resolve().name
    folder = out_folder(args.out, Path("runs/evaluate") / name)
    is_bar_hidden = args.quiet or args.json == "-" or not sys.stdout.isatty()
    with Progress(disable=is_bar_hidden) as progress:
        task = progress.add_task(f"evaluating {args.data.split}", total=len(dataset.videos))
        evaluation = evaluate(
            loaded.model,
            loaded.classes,
            dataset,
            config,
            device=device,
            on_video=lambda done: progress.update(task, completed=done),
        )
    metrics = evaluation.to_json()
    shown = {"run": args.run, "data": to_dict(args.data), "evaluation": to_dict(config.predictor)}
    write_json(folder / "config.json", shown)
    write_json(folder / "metrics.json", metrics)
    evaluation.save_results(folder / "results.json")
    written = [folder / "metrics.json", folder / "results.json"]
    if args.report:
        written.append(folder / "report.html")
        draw_plots(folder, measured_curves(dataset.truth, evaluation.predictions))
        with complete_file(written[-1]) as new:
            report(new, name, dataset, evaluation, folder)
    if not report_json(args.json, metrics):
        return
    print(tables(evaluation))
    print(f"\n{'  '.join(map(str, written))}")


def tables(evaluation: Evaluation) -> str:
    """Overall, per size, per class, and per dial where the data names dials; percent."""
    groups: list[tuple[str, Mapping[str, Mapping[str, float | None]]]] = [
        ("", {"all": evaluation.overall}),
        ("size", evaluation.per_size),
        ("class", evaluation.per_class),
        ("dial", evaluation.per_dial),
    ]
    return "\n\n".join(
        table(
            [head, *SHOWN], [[name, *(percent(metrics[figure]) for figure in SHOWN)] for name, metrics in rows.items()]
        )
        for head, rows in groups
        if rows
    )


def _options(args: Evaluate, recorded: Mapping[str, Any]) -> EvaluationConfig:
    with refused_as_typed():
        return recorded_evaluation(
            recorded,
            short_side=args.short_side,
            clip_frames=args.clip_frames,
            clip_overlap=args.clip_overlap,
            top_k=args.top_k,
            min_score=args.min_score,
            precision=args.precision,
        )
