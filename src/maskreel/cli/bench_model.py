"""`maskreel bench model NAME`: times of the network alone, with post-processing, and end to end from a video file."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from maskreel.bench.model import measure_model, render_clip
from maskreel.checkpoints.class_names import numbered
from maskreel.cli.bench_report import claimed_outputs, note, write_report
from maskreel.cli.options import refused_as_typed
from maskreel.cli.records.bench import BenchModel
from maskreel.cli.tables import table
from maskreel.config import suggestion
from maskreel.device import choose_device
from maskreel.errors import UsageError
from maskreel.inference.predictor import PredictorOptions, VideoPredictor, recorded_options
from maskreel.models.folder import BUNDLED, build_model, is_bundled
from maskreel.recipes.catalog import RECIPES
from maskreel.runtimes.folder import load_runnable
from maskreel.runtimes.pytorch import PyTorchRuntime

MAX_FRAMES = 1000


def run(args: BenchModel) -> None:
    """Measure and report."""
    outputs = claimed_outputs(args, args.video)
    if not 1 <= args.frames <= MAX_FRAMES:
        raise UsageError(f"--frames {args.frames}: must lie between 1 and {MAX_FRAMES}")
    device = choose_device(args.device)
    predictor = named_predictor(args, device)
    figures = model_figures(args, predictor)
    write_report({"model": figures}, args.json, device, model_table(figures), outputs)


def named_predictor(args: BenchModel, device: torch.device) -> VideoPredictor:
    """The model that was named, ready to predict; UsageError where there is none of that name."""
    if args.name in RECIPES:
        recipe = RECIPES[args.name]()
        torch.manual_seed(0)
        model = build_model(recipe.model)
        classes = numbered(recipe.model.num_classes)
        recorded: dict[str, Any] = {"short_side": recipe.evaluation.predictor.short_side}
    elif is_bundled(args.name) or Path(args.name).exists():
        loaded = load_runnable(args.name, device)
        model, classes, recorded = loaded.model, loaded.classes, loaded.inference
    else:
        hint = suggestion(args.name, [*RECIPES, BUNDLED], "maskreel recipes lists them.")
        raise UsageError(f"{args.name}: neither a recipe nor a folder; {hint}")
    with refused_as_typed():
        options: PredictorOptions = recorded_options(recorded, short_side=args.short_side, precision=args.precision)
        options = replace(options, clip_frames=args.frames, clip_overlap=0)
        return VideoPredictor(model, classes, options, device=device)


def model_figures(args: BenchModel, predictor: VideoPredictor) -> dict[str, Any]:
    """What was measured, and of which model."""
    runtime = predictor.runtime
    tensors = runtime.model.state_dict().values() if isinstance(runtime, PyTorchRuntime) else ()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or Path(folder) / "rendered.mp4"
        if args.video is None:
            render_clip(video, frames=args.frames, size=(360, 640))
        stages = measure_model(predictor, video, samples=args.samples)
    return {
        "name": args.name,
        "elements": sum(tensor.numel() for tensor in tensors) or None,
        "short_side": predictor.options.short_side,
        "precision": predictor.options.precision,
        "video": "rendered, 360x640" if args.video is None else str(args.video),
        "stages": [asdict(stage) for stage in stages],
    }


def model_table(figures: dict[str, Any]) -> str:
    """One line per stage."""
    head = ["stage", "frames", "p50 ms", "p95 ms", "frames/s", "peak MiB", "quiet"]
    stages: Sequence[dict[str, Any]] = figures["stages"]
    cells = [
        [
            stage["stage"],
            str(stage["frames"]),
            f"{stage['p50_ms']:.1f}",
            f"{stage['p95_ms']:.1f}",
            f"{stage['frames_per_second']:.2f}",
            f"{stage['peak_memory_mib']:.0f}",
            note(stage),
        ]
        for stage in stages
    ]
    title = f"{figures['name']}, shortest side {figures['short_side']}, {figures['precision']}"
    return f"{title}; video: {figures['video']}\n{table(head, cells)}"
