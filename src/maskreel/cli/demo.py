"""`maskreel demo`: a first result without data or network, next to its truth."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.table import Table

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.video import Demo
from maskreel.cli.tables import table
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.tracks import GroundTruth
from maskreel.errors import UsageError
from maskreel.evaluation.average_precision import AveragePrecision, average_precision
from maskreel.evaluation.evaluate import predicted_tracks
from maskreel.evaluation.results import Predictions
from maskreel.geometry.masklets import Masklets
from maskreel.inference.predictor import VideoPredictor
from maskreel.models.folder import BUNDLED, BUNDLED_MODELS, model_folder
from maskreel.outputs import Outputs
from maskreel.rendered.synthetic import DEMO_SEED, SyntheticDials, write_dataset
from maskreel.video.files import FrameSource
from maskreel.video.sources import open_video
from maskreel.visualize.draw import contact_sheet, draw, evenly_spaced, save_picture
from maskreel.visualize.video import write_overlay

DIALS = SyntheticDials(frames=16, height=288, width=480, min_objects=4)
SHEET_FRAMES = 5
METRICS = ("AP", "AP50", "AP75")
FILES = {"demo.mp4": "overlay", "demo.png": "contact sheet", "demo.json": "masklets"}
"""What is written beside the clip."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The rendered clip and what is true of it."""

    source: FrameSource
    truth: GroundTruth


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one model makes of the clip."""

    masklets: Masklets
    figures: AveragePrecision
    seconds: float
    """From the first frame to the last masklet, weights loaded."""

    def metrics(self) -> dict[str, float | None]:
        return {name: self.figures.to_json()[name] for name in METRICS}


def run(args: Demo) -> None:
    """Write clip, overlay, masklets and contact sheet; print the score and where they are."""
    if args.out is not None and (args.out / "valid.json").exists():
        raise UsageError(f"{args.out}: holds an earlier demo; choose another folder or leave --out away")
    if args.all and args.run != BUNDLED:
        raise UsageError(f"--run {args.run} and --all: the one shows a model of your choice, the other all of ours")
    if args.all:
        _run_all(args)
        return
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
    scene = _render(folder)
    shown = _find(predictor, scene)
    with outputs.writing(folder / "demo.json") as new:
        shown.masklets.save(new)
    with outputs.writing(folder / "demo.mp4") as new:
        write_overlay(new, scene.source, shown.masklets)
    with outputs.writing(folder / "demo.png") as new:
        save_picture(new, _sheet(scene, {"found": shown}))
    return shown.masklets, shown.figures


def _run_all(args: Demo) -> None:
    """One clip, every model whose weights are there; those that are not are named with what makes them."""
    there, absent = _weights()
    with outputs_for(args, *there.values()) as outputs:
        folder = outputs.claim_folder(args.out, Path("runs/demo/demo"))
        picture = folder / "demo.png"
        for path in (picture, *(folder / f"{name}.json" for name in there)):
            outputs.claim(path)
        scene = _render(folder)
        shown = {name: _find(VideoPredictor.load(weights), scene) for name, weights in there.items()}
        for name, each in shown.items():
            with outputs.writing(folder / f"{name}.json") as new:
                each.masklets.save(new)
        with outputs.writing(picture) as new:
            save_picture(new, _sheet(scene, shown))
        models = {
            name: {"objects": len(each.masklets), "seconds": each.seconds, "metrics": each.metrics()}
            for name, each in shown.items()
        }
        report = {"out": str(folder), "models": models, "absent": absent, "picture": str(picture)}
        if report_json(args.json, report, outputs):
            rows = [_row(name, each) for name, each in shown.items()]
            print(table(["system", "objects", *METRICS, "seconds"], rows))
            print(*absent.values(), f"side by side: {picture}", sep="\n")


def _weights() -> tuple[dict[str, Path], dict[str, str]]:
    """Model folders by the name of the system, and for those without one what makes it."""
    there, absent = {}, {}
    for word in BUNDLED_MODELS:
        name = word.removeprefix(f"{BUNDLED}-")
        try:
            there[name] = model_folder(word)
        except UsageError as error:
            absent[name] = str(error)
    return there, absent


def _row(name: str, shown: Shown) -> list[str]:
    metrics = [f"{100 * (value or 0):.1f}" for value in shown.metrics().values()]
    return [name, str(len(shown.masklets)), *metrics, f"{shown.seconds:.1f}"]


def _render(folder: Path) -> Scene:
    write_dataset(folder, "valid", num_videos=1, seed=DEMO_SEED, dials=DIALS)
    truth = read_ground_truth(folder / "valid.json")
    return Scene(source=open_video(folder / "valid" / "JPEGImages" / truth.videos[0].name), truth=truth)


def _find(predictor: VideoPredictor, scene: Scene) -> Shown:
    start = time.monotonic()
    result = predictor.predict(scene.source)
    masklets = result.masklets(predictor.options.min_score)
    seconds = time.monotonic() - start
    found = Predictions(tracks={scene.truth.videos[0].id: predicted_tracks(result.pairs())})
    return Shown(masklets=masklets, figures=average_precision(scene.truth, found), seconds=seconds)


def _sheet(scene: Scene, shown: Mapping[str, Shown]) -> UInt8[np.ndarray, "h w 3"]:
    """The clip above, what each model found in it below."""
    chosen = evenly_spaced(sum(1 for _ in scene.source), SHEET_FRAMES)
    frames = [frame.pixels for frame in scene.source if frame.index in chosen]
    rows = [frames]
    for each in shown.values():
        rows.append([draw(frame, each.masklets, index) for frame, index in zip(frames, chosen, strict=True)])
    return contact_sheet(rows, row_captions=("rendered clip", *shown))


def _report(masklets: Masklets, metrics: Mapping[str, float | None], files: Mapping[str, str]) -> None:
    console = Console()
    table = Table("track", "class", "score", "frames", title=f"{len(masklets)} objects in {masklets.decoded} frames")
    for masklet in masklets:
        seen = sum(mask is not None for mask in masklet.segmentations)
        table.add_row(str(masklet.track_id), masklets.name(masklet), f"{masklet.score:.2f}", str(seen))
    console.print(table)
    print("against the truth: " + ", ".join(f"{name} {100 * (value or 0):.1f}" for name, value in metrics.items()))
    for what, path in files.items():
        print(f"{what}: {path}")
