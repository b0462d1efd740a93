"""`maskreel export RUN OUT --format onnx|openvino|torch`: a model as graphs, with proof that they say the same."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from maskreel.checkpoints.class_names import numbered
from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.models import Export
from maskreel.errors import UsageError
from maskreel.export.calibration import calibration_clips
from maskreel.export.graphs import takes_any_frames
from maskreel.export.model import EXPORTED_FILES, ExportOptions, export_model
from maskreel.export.proof import BOUNDS, VIDEOS, Difference, Proof, knows_rendered
from maskreel.export.writers import check_installed
from maskreel.inference.options import recorded_options
from maskreel.models.folder import LoadedModel, build_model, load_model, model_folder
from maskreel.recipes.catalog import RECIPES
from maskreel.rendered.dials import SyntheticDials
from maskreel.runtimes.graphs import longest_clip
from maskreel.structures import ClipBatch

ASPECT = (16, 9)
"""Width to height of frames, where only their shortest side is known."""
SHORT_CLIP = 6
"""Frames of a clip from which ranges are taken: they follow from what is in frames, hardly from how many there are."""
DEVIATION = 0.02
"""Of the weights of a recipe."""


def run(args: Export) -> None:
    """Check what was typed, write, prove, tell."""
    check_installed(args.format, args.precision)
    _check(args)
    is_recipe = args.run in RECIPES and not Path(args.run).exists()
    outputs = outputs_for(args, None if is_recipe else model_folder(args.run), args.calibrate)
    out = outputs.claim_whole_folder(args.out.absolute(), EXPORTED_FILES, "OUT")
    loaded = loaded_model(args.run)
    options = _options(args, loaded)
    clips = _clips(args, loaded, options)
    with outputs.writing_folder(out) as new:
        proof = export_model(loaded, new, options, clips)
    size = sum(path.stat().st_size for path in out.iterdir())
    if report_json(args.json, _report(args, options, proof, size), outputs):
        print(_text(args, options, proof, size))


def _check(args: Export) -> None:
    if args.size is not None and not all(32 <= side <= 4096 for side in args.size):
        raise UsageError(f"--size {args.size[0]} {args.size[1]}: both must lie between 32 and 4096")
    if args.frames is not None and args.frames < 1:
        raise UsageError(f"--frames {args.frames}: must be at least 1")
    if args.calibrate is not None and args.precision != "int8":
        raise UsageError(f"--calibrate {args.calibrate}: only --precision int8 takes ranges from videos")


def loaded_model(run: str) -> LoadedModel:
    """A folder's model, or that of a recipe with every parameter drawn: of a fresh one some outputs never change."""
    if run not in RECIPES or Path(run).exists():
        return load_model(run)
    recipe = RECIPES[run]()
    torch.manual_seed(0)
    model = build_model(recipe.model).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=DEVIATION)
    return LoadedModel(
        model=model,
        config=recipe.model,
        classes=tuple(numbered(recipe.model.num_classes)),
        inference={"short_side": recipe.evaluation.predictor.short_side},
        trained_frames=recipe.data.num_frames,
    )


def _options(args: Export, loaded: LoadedModel) -> ExportOptions:
    evaluated = recorded_options(loaded.inference)
    longest = longest_clip(loaded.config)
    frames = args.frames or min(evaluated.clip_frames, longest or evaluated.clip_frames)
    if longest is not None and frames > longest:
        raise UsageError(f"--frames {frames}: this model has queries for {longest}")
    size = args.size or _usual_size(loaded, evaluated.short_side)
    return ExportOptions(format=args.format, precision=args.precision, size=size, frames=frames)


def _clips(args: Export, loaded: LoadedModel, options: ExportOptions) -> list[ClipBatch]:
    """What int8 takes its ranges from."""
    if options.precision != "int8":
        return []
    frames = min(options.frames, SHORT_CLIP) if takes_any_frames(loaded.config) else options.frames
    return calibration_clips(
        args.calibrate, size=options.size, frames=frames, is_rendered=knows_rendered(loaded.classes)
    )


def _usual_size(loaded: LoadedModel, short_side: int) -> tuple[int, int]:
    """(height, width) of what the model was evaluated on, as far as is known."""
    dials = SyntheticDials()
    if knows_rendered(loaded.classes) and short_side == dials.height:
        return dials.height, dials.width
    return short_side, short_side * ASPECT[0] // ASPECT[1]


def _report(args: Export, options: ExportOptions, proof: Proof, size: int) -> dict[str, Any]:
    return {
        "out": str(args.out),
        "format": options.format,
        "precision": options.precision,
        "size": list(options.size),
        "frames": options.frames,
        "bytes": size,
        "bound": BOUNDS.get(options.precision),
        "random": asdict(proof.random),
        "rendered": asdict(proof.rendered),
        "agreement": asdict(proof.agreement),
        "ap": None if proof.ap is None else {"model": proof.ap[0], "graphs": proof.ap[1]},
    }


def _text(args: Export, options: ExportOptions, proof: Proof, size: int) -> str:
    height, width = options.size
    lines = [
        f"{args.out}: three graphs for {options.format} in {options.precision}, {size / 1e6:.1f} MB, checked at "
        f"{options.frames} frames of {height}x{width}",
        f"largest relative difference of random clips: {_numbers(proof.random)}",
        f"largest relative difference of a rendered clip: {_numbers(proof.rendered)}",
        f"objects of the rendered clip: {proof.agreement.kept}, "
        f"{'the same' if proof.agreement.same_ids else 'other'} ids, mean IoU {proof.agreement.mean_iou:.4f}",
    ]
    if proof.ap is not None:
        lines.append(f"AP of {VIDEOS} rendered videos: {100 * proof.ap[1]:.2f}, of the model {100 * proof.ap[0]:.2f}")
    return "\n".join(lines)


def _numbers(difference: Difference) -> str:
    return f"logits {difference.logits:.1e}, boxes {difference.boxes:.1e}, masks {difference.masks:.1e}"
