"""`maskreel evaluate RUN`: run a trained model over a split of a dataset and score what it finds."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.progress import Progress

from maskreel.cli.options import refused_as_typed, report_json, require_json
from maskreel.cli.tables import table
from maskreel.config import to_dict
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.evaluate import (
    SHOWN,
    Evaluation,
    EvaluationConfig,
    check_classes,
    evaluate,
    recorded_evaluation,
)
from maskreel.files import numbered_folder, write_json
from maskreel.models.folder import BUNDLED, load_model
from maskreel.runtimes.precision import Precision


@dataclass(frozen=True, kw_only=True)
class EvaluatedData:
    """What the model is run on."""

    root: Path | None = None
    """Folder of the data set, in one of the YouTube-VIS layouts."""
    split: str = "valid"
    """Split to run on; it needs annotations."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Run a model over a split, print AP and AR, and write metrics.json and results.json."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder (its best weights), a model folder, or the word bundled."""
    data: EvaluatedData = EvaluatedData()
    out: Path | None = None
    """Folder of metrics.json and results.json; default runs/evaluate/NAME, then NAME-2 and so on."""
    json: str | None = None
    """Also write the figures as JSON (fractions, null for nothing to measure) here; without a path, JSON alone."""
    short_side: int | None = None
    """Shortest side of the frames, in pixels; as the model was evaluated where it is not given."""
    clip_frames: int | None = None
    """Frames per clip; longer videos are cut into windows."""
    clip_overlap: int | None = None
    """Frames that neighbouring windows share."""
    top_k: int | None = None
    """(query, class) pairs kept per clip, by score."""
    min_score: float | None = None
    """Pairs below this score are left out; 0 counts all, as published."""
    precision: Precision | None = None
    """Number format of the network, float32 or bf16 (faster where the processor has it); default as recorded, else
    float32."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    quiet: bool = False
    """No progress bar."""


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
    folder = _folder(args)
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
    figures = evaluation.to_json()
    write_json(folder / "config.json", {"run": args.run, "data": to_dict(args.data), "evaluation": to_dict(config)})
    write_json(folder / "metrics.json", figures)
    evaluation.save_results(folder / "results.json")
    if not report_json(args.json, figures):
        return
    print(tables(evaluation))
    print(f"\n{folder / 'metrics.json'}  {folder / 'results.json'}")


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
            [head, *SHOWN], [[name, *(_percent(figures[figure]) for figure in SHOWN)] for name, figures in rows.items()]
        )
        for head, rows in groups
        if rows
    )


def _percent(value: float | None) -> str:
    """One digit; `-` where nothing could be measured."""
    return "-" if value is None else f"{100 * value:.1f}"


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


def _folder(args: Evaluate) -> Path:
    if args.out is None:
        name = BUNDLED if args.run == BUNDLED else Path(args.run).resolve().name
        return numbered_folder(Path("runs") / "evaluate" / name)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{args.out}: cannot be written ({error.strerror}); choose another --out") from error
    return args.out
