"""`maskreel predict` of a whole file: wall time, and what its stages cost.

    python benchmarks/predict_file.py                                   # 300 frames, 640x360, the bundled weights
    python benchmarks/predict_file.py --against ../before/src           # beside another tree, in turns

The stages are measured one after the other in one process: seconds of processor time of reading, network (with masks
and linking), drawing with encoding, and writing. The floor is the larger of the network's wall time and the processor
seconds of all stages over the number of cores: no overlap of the stages can be faster.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from maskreel.inference.predictor import VideoPredictor
from maskreel.kernels.allocator import tune_allocator
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import render_video
from maskreel.video.files import VideoFile
from maskreel.visualize.draw import draw
from maskreel.visualize.video import TimedImage, write_video

SOURCE = Path(__file__).parents[1] / "src"
PERIOD = 60
"""Rendered frames; the video plays them forth and back."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Wall time of predict on a whole file, and its floor.")
    parser.add_argument("--run", default="bundled")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 640), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--against", type=Path, default=None, help="src folder of another tree")
    args = parser.parse_args()
    trees = {"this": SOURCE} | ({"other": args.against.resolve()} if args.against else {})
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "video.mp4"
        render(video, args.frames, tuple(args.size))
        walls: dict[str, list[float]] = {tree: [] for tree in trees}
        for turn in range(args.turns + 1):
            for tree, source in trees.items():
                seconds = predict(args.run, video, source, Path(name) / f"{tree}-{turn}")
                if turn:
                    walls[tree].append(seconds)
        best = {tree: min(times) for tree, times in walls.items()}
        stages = measure_stages(args.run, video, Path(name))
    cores = len(os.sched_getaffinity(0))
    floor = max(stages["network wall"], sum(stages[name] for name in STAGES) / cores)
    start = {tree: start_time(source) for tree, source in trees.items()}
    report: dict[str, Any] = {
        "seconds": {tree: [round(one, 2) for one in times] for tree, times in walls.items()},
        "seconds of start": {tree: round(one, 2) for tree, one in start.items()},
        "stages": {name: round(value, 2) for name, value in stages.items()},
        "floor": round(floor, 2),
        "over floor, without start": round((best["this"] - start["this"]) / floor, 2),
    }
    if "other" in best:
        report["times as fast"] = round(best["other"] / best["this"], 2)
    print(json.dumps(report, indent=1))


def predict(run: str, video: Path, source: Path, out: Path) -> float:
    """Seconds of one command in a process of its own."""
    command = [sys.executable, "-m", "maskreel.cli.main", "predict", run, str(video), "--out", str(out), "--quiet"]
    begun = time.perf_counter()
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(source)}, check=True)
    return time.perf_counter() - begun


def start_time(source: Path) -> float:
    """Seconds to import what predict imports."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", "import maskreel.cli.predict"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(source)}, check=True)
    return time.perf_counter() - begun


STAGES = ("reading", "network", "drawing and encoding", "writing")


def measure_stages(run: str, video: Path, folder: Path) -> dict[str, float]:
    """Processor seconds of each stage alone, and the network's wall time."""
    tune_allocator()
    predictor = VideoPredictor.load(run, device="cpu")
    source = VideoFile(video)
    frames = list(source)
    session = predictor.session()
    predictor(frames[:40])  # compiles

    def push() -> None:
        for frame in frames:
            session.push(frame)
        session.finish()

    seconds: dict[str, float] = {}
    seconds["reading"], _ = timed(lambda: [None for _ in source])
    seconds["network"], seconds["network wall"] = timed(push)
    masklets = session.result()
    images = (TimedImage(f.time, draw(f.pixels, masklets, f.index), f.duration) for f in frames)
    overlay = folder / "stages.mp4"
    seconds["drawing and encoding"], _ = timed(lambda: write_video(overlay, images, frame_rate=source.frame_rate))
    seconds["writing"], _ = timed(lambda: masklets.save(folder / "stages.json"))
    return seconds


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(processor seconds of all threads, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def render(path: Path, frames: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    shown = render_video(0, 0, SyntheticDials(frames=min(PERIOD, frames), height=size[0], width=size[1])).frames
    order = [min(index % (2 * PERIOD), 2 * PERIOD - 1 - index % (2 * PERIOD)) for index in range(frames)]
    images = (TimedImage(index / 30, shown[place]) for index, place in enumerate(order))
    write_video(path, images, frame_rate=Fraction(30))


if __name__ == "__main__":
    main()
