"""`maskreel evaluate RUN`: run a trained model over a split of a dataset and score what it finds."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from maskreel.cli.crew import is_shared, require_possible_crew
from maskreel.cli.evaluate_many import evaluate_shared
from maskreel.cli.options import STDOUT, outputs_for, refused_as_typed, report_json, write_left_out
from maskreel.cli.records.video import Evaluate
from maskreel.cli.tables import table
from maskreel.config import to_dict
from maskreel.data.annotation_file import warn_without_objects
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError, PartialFailure, UsageError
from maskreel.evaluation.data_report import percent, report
from maskreel.evaluation.evaluate import SHOWN, Evaluation, check_classes, evaluate, of_videos
from maskreel.evaluation.options import EvaluationConfig, recorded_evaluation
from maskreel.evaluation.plots import draw_plots, files, measured_curves
from maskreel.files import write_json
from maskreel.inference.predictor import settled
from maskreel.left_out import LeftOut
from maskreel.models.folder import is_bundled, model_folder
from maskreel.outputs import Outputs
from maskreel.runtimes.folder import RunnableModel, load_runnable

FILES = ("config.json", "metrics.json", "results.json", "left_out.json")
"""What is written."""
REPORT = "report.html"


def run(args: Evaluate) -> None:
    """Evaluate, print the tables and write the files."""
    if args.data.root is None:
        raise UsageError("no data to evaluate on; name its folder with --data.root DIR")
    require_possible_crew(args)
    device = choose_device(args.device)
    dataset = YouTubeVIS.load(args.data.root, args.data.split)
    if not dataset.has_annotations:
        raise DataError(
            f"{dataset.annotation_path}: there is no ground truth in it, as in the public validation files; "
            "write a results file with maskreel predict, or evaluate a split with annotations"
        )
    warn_without_objects(dataset.truth)
    loaded = load_runnable(args.run, device)
    check_classes(loaded.classes, dataset)
    config = _options(args, loaded.inference)
    with refused_as_typed():
        config = replace(config, predictor=settled(config.predictor, loaded.model, device))
    inputs = (dataset.annotation_path, dataset.frames_folder, args.run, model_folder(args.run))
    name = args.run if is_bundled(args.run) else Path(args.run).resolve().name
    with outputs_for(args, *inputs) as outputs:
        folder = outputs.claim_folder(args.out, Path("runs/evaluate") / name)
        for file in (*FILES, *((REPORT, *files()) if args.report else ())):
            outputs.claim(folder / file)
        left_out = LeftOut(args.on_bad)
        evaluation = _evaluate(args, loaded, dataset, config, device, left_out)
        write_left_out(folder / "left_out.json", left_out, outputs)
        _write(folder, args, config, evaluation, outputs)
        written = [folder / "metrics.json", folder / "results.json"]
        if args.report:
            written.append(folder / REPORT)
            _write_report(name, dataset, evaluation, folder, outputs)
        if report_json(args.json, evaluation.to_json() | {"precision": config.predictor.precision}, outputs):
            print(tables(evaluation))
            print(f"\n{'  '.join(map(str, written))}")
    if left_out.omissions and args.on_bad is None:
        failed = len(left_out.omissions)
        raise PartialFailure(f"{failed} of {len(dataset.videos)} videos could not be read and are not measured")


def _evaluate(
    args: Evaluate,
    loaded: RunnableModel,
    dataset: YouTubeVIS,
    config: EvaluationConfig,
    device: torch.device,
    left_out: LeftOut,
) -> Evaluation:
    if is_shared(args):
        return evaluate_shared(args, dataset, config, left_out=left_out)
    is_bar_hidden = args.quiet or args.json == STDOUT or not sys.stdout.isatty()
    with Progress(disable=is_bar_hidden) as progress:
        task = progress.add_task(f"evaluating {args.data.split}", total=len(dataset.videos))
        return evaluate(
            loaded.model,
            loaded.classes,
            dataset,
            config,
            device=device,
            on_video=lambda done: progress.update(task, completed=done),
            left_out=left_out,
        )


def _write(folder: Path, args: Evaluate, config: EvaluationConfig, evaluation: Evaluation, outputs: Outputs) -> None:
    shown = {"run": args.run, "data": to_dict(args.data), "evaluation": to_dict(config.predictor)}
    for name, content in (("config.json", shown), ("metrics.json", evaluation.to_json())):
        with outputs.writing(folder / name) as new:
            write_json(new, content)
    with outputs.writing(folder / "results.json") as new:
        evaluation.save_results(new)


def _write_report(name: str, dataset: YouTubeVIS, evaluation: Evaluation, folder: Path, outputs: Outputs) -> None:
    truth = of_videos(dataset.truth, evaluation.predictions.tracks)
    with tempfile.TemporaryDirectory() as scratch:
        plots = Path(scratch)
        draw_plots(plots, measured_curves(truth, evaluation.predictions))
        for file in files():
            with outputs.writing(folder / file) as new:
                shutil.copyfile(plots / file, new)
        with outputs.writing(folder / REPORT) as new:
            report(new, name, dataset, evaluation, plots)


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
