"""`maskreel demo`: a first result without data or network, next to its truth."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from maskreel.cli.options import out_folder, report_json, require_json
from maskreel.cli.records.video import Demo
from maskreel.data.annotation_file import read_ground_truth
from maskreel.errors import UsageError
from maskreel.evaluation.average_precision import AveragePrecision, average_precision
from maskreel.evaluation.evaluate import predicted_tracks
from maskreel.evaluation.results import Predictions
from maskreel.geometry.masklets import Masklets
from maskreel.inference.predictor import VideoPredictor
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
    require_json(args.json)
    folder = out_folder(args.out, Path("runs/demo/demo"))
    masklets, figures = show(args.run, folder)
    metrics = {name: figures.to_json()[name] for name in METRICS}
    files = {what: str(folder / name) for name, what in FILES.items()}
    if report_json(args.json, {"out": str(folder), "objects": len(masklets), "metrics": metrics, "files": files}):
        _report(masklets, metrics, files)


def show(weights: str, folder: Path) -> tuple[Masklets, AveragePrecision]:
    """Render the demo clip into a folder, run a model on it, draw what it found, and measure it."""
    predictor = VideoPredictor.load(weights)
    write_dataset(folder, "valid", num_videos=1, seed=DEMO_SEED, dials=DIALS)
    truth = read_ground_truth(folder / "valid.json")
    source = open_video(folder / "valid" / "JPEGImages" / truth.videos[0].name)
    result = predictor.predict(source)
    masklets = result.masklets(predictor.options.min_score)
    found = predicted_tracks(result.pairs())
    figures = average_precision(truth, Predictions(tracks={truth.videos[0].id: found}))
    masklets.save(folder / "demo.json")
    write_overlay(folder / "demo.mp4", source, masklets)
    shown = evenly_spaced(masklets.decoded, SHEET_FRAMES)
    frames = [frame.pixels for frame in source if frame.index in shown]
    overlays = [draw(frame, masklets, index) for frame, index in zip(frames, shown, strict=True)]
    save_picture(folder / "demo.png", contact_sheet([frames, overlays], row_captions=("rendered clip", "found")))
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
