"""`maskreel bench train RECIPE`: where the time of a training step goes, on this machine."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from maskreel.bench.train import StepTimes, load_training_data, measure_step, render_training_data
from maskreel.cli.bench_report import claimed_outputs, note, write_report
from maskreel.cli.options import refused_as_typed
from maskreel.cli.records.bench import BenchTrain
from maskreel.cli.tables import table
from maskreel.device import choose_device
from maskreel.errors import UsageError
from maskreel.recipes.catalog import find_recipe
from maskreel.training.recipe import Recipe

SIDES = (32, 2160)


def run(args: BenchTrain) -> None:
    """Measure and report."""
    outputs = claimed_outputs(args, args.data)
    if args.size is not None and not all(SIDES[0] <= side <= SIDES[1] for side in args.size):
        raise UsageError(f"--size {args.size[0]} {args.size[1]}: sides must lie between {SIDES[0]} and {SIDES[1]}")
    if args.size is not None and args.data is not None:
        raise UsageError("--size is that of rendered videos; leave it out where --data names a data set")
    device = choose_device(args.device)
    with refused_as_typed():
        recipe = _chosen(args)
    figures = train_figures(args, recipe, device)
    write_report({"train": figures}, args.json, device, train_table(figures), outputs)


def train_figures(args: BenchTrain, recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """What was measured, and of what."""
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            side = recipe.evaluation.predictor.short_side
            render_training_data(Path(folder), recipe, args.size or (side, round(side * 5 / 3)))
        data, recipe = load_training_data(replace(recipe, data=replace(recipe.data, root=args.data or Path(folder))))
        times = measure_step(recipe, data, device, samples=args.samples)
    return {
        "name": args.name,
        "data": "rendered" if args.data is None else str(args.data),
        "clips": times.clips,
        "frames": times.frames,
        "size": list(times.size),
        "workers": recipe.data.workers,
        "precision": recipe.training.precision,
        "checkpointing": recipe.training.checkpointing,
        "step_ms": asdict(times.step),
        "parts_ms": times.parts,
        "shares": _shares(times),
        "peak_memory_mib": times.peak_memory_mib,
    }


def train_table(figures: dict[str, Any]) -> str:
    """One line per part, and the whole step."""
    step = figures["step_ms"]
    cells = [
        [part, f"{figures['parts_ms'][part]:.1f}", f"{100 * share:.0f} %"] for part, share in figures["shares"].items()
    ]
    clips = f"{figures['clips']} clips of {figures['frames']} frames, {figures['size'][0]}x{figures['size'][1]}"
    return (
        f"{figures['name']}: {clips}, data: {figures['data']}\n"
        f"{table(['part', 'mean ms', 'share'], cells)}\n"
        f"step: p50 {step['p50']:.1f} ms, p95 {step['p95']:.1f} ms, best {step['best']:.1f} ms, quiet {note(step)}; "
        f"peak memory {figures['peak_memory_mib']:.0f} MiB"
    )


def _chosen(args: BenchTrain) -> Recipe:
    recipe = find_recipe(args.name)
    given = {"batch_size": args.batch_size, "workers": args.workers}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if args.size is not None:
        changes["augmentation"] = None
    return replace(
        recipe,
        data=replace(recipe.data, joint=(), **changes),
        training=replace(recipe.training, accumulate=1, checkpointing=args.checkpointing),
    )


def _shares(times: StepTimes) -> dict[str, float]:
    whole = sum(times.parts.values())
    return {part: spent / whole for part, spent in times.parts.items()}
