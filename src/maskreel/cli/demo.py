"""`maskreel demo`: a first result without data or network, next to its truth."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.video import Demo
from maskreel.data.annotation_file import read_ground_truth
from maskreel.errors import UsageError
from maskreel.evaluation.average_precision import AveragePrecision, average_precision
from maskreel.evaluation.evaluate import predicted_tracks
from maskreel.evaluation.results import Predictions
from maskreel.geometry.masklets import Masklets
from maskreel.inference.predictor import VideoPredictor
from maskreel.models.folder import model_folder
from maskreel.outputs import Outputs
from maskreel.rendered.synthetic import DEMO_SEED, SyntheticDials, write_dataset
from maskreel.video.sources import open_video
from maskreel.visualize.draw import contact_sheet, draw, evenly_spaced, save_picture
from maskreel.visualize.video import write_overlay

DIALS = SyntheticDials(frames=16, height=288, width=480, min_objects=4)
SHEET_FRAMES = 5
METRICS = ("AP", "AP50", "AP75")
FILES = {"demo.mp4": "overlay", "demo.png": "contact sheet", "demo.json": "masklets"}
"""What is written beside the clip."""


def run(args: Demo) -> None:
    """Write clip, overlay, masklets and contact sheet; print the score and where they are."""
    if args.out is not None and (args.out / "valid.json").exists():
        raise UsageError(f"{args.out}: holds an earlier demo; choose another folder or leave --out away")
    with outputs_for(args, args.run, model_folder(args.run)) as outputs:
        folder = outputs.claim_folder(args.out, Path("runs/demo/demo"))
        for name in FILES:
            outputs.claim(folder / name)
        masklets, figures = show(args.run, folder, outputs)
        metrics = {name: figures.to_json()[name] for name in METRICS}
        files = {what: str(folder / name) for name, what in FILES.items()}
        report = {"out": str(folder), "objects": len(masklets), "metrics": metrics, "files": files}
        if report_json(args.json, report, outputs):
            _report(masklets, metrics, files)


def show(weights: str, folder: Path, outputs: Outputs) -> tuple[Masklets, AveragePrecision]:
    """Render the demo clip into a folder, run a model on it, draw what it found, and measure it."""
    predictor = VideoPredictor.load(weights)
    write_dataset(folder, "valid", num_videos=1, seed=DEMO_SEED, dials=DIALS)
    truth = read_ground_truth(folder / "valid.json")
    source = open_video(folder / "valid" / "JPEGImages" / truth.videos[0].name)
    result = predictor.predict(source)
    masklets = result.masklets(predictor.options.min_score)
    found = predicted_tracks(result.pairs())
    figures = average_precision(truth, Predictions(tracks={truth.videos[0].id: found}))
    with outputs.writing(folder / "demo.json") as new:
        masklets.save(new)
    with outputs.writing(folder / "demo.mp4") as new:
        write_overlay(new, source, masklets)
    shown = evenly_spaced(masklets.decoded, SHEET_FRAMES)
    frames = [frame.pixels for frame in source if frame.index in shown]
    overlays = [draw(frame, masklets, index) for frame, index in zip(frames, shown, strict=True)]
    with outputs.writing(folder / "demo.png") as new:
        save_picture(new, contact_sheet([frames, overlays], row_captions=("rendered clip", "found")))
    return masklets, figures


def _report(masklets: Masklets, metrics: Mapping[str, float], files: Mapping[str, str]) -> None:
    console = Console()
    table = Table("track", "class", "score", "frames", title=f"{len(masklets)} objects in {masklets.decoded} frames")
    for masklet in masklets:
        seen = sum(mask is not None for mask in masklet.segmentations)
        table.add_row(str(masklet.track_id), masklets.name(masklet), f"{masklet.score:.2f}", str(seen))
    console.print(table)
    print("against the truth: " + ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items()))
    for what, path in files.items():
        print(f"{what}: {path}")
