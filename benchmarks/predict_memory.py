"""Peak memory of `maskreel predict` on videos of growing length, one process each.

    python benchmarks/predict_memory.py --frames 200 2000 10000
    python benchmarks/predict_memory.py --run runs/train/x --frames 200 2000 --short-side 360

Every video shows eight discs that move for as long as it lasts. The score threshold is 0, so that whatever the model
finds is followed: a line tells in how many masklets the poorest window had a mask, and whether all frames were decoded.
`--run random` takes random weights of the smallest model, which find noise: the worst case for run-length codes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from maskreel.geometry.masklets import Masklets
from maskreel.models.folder import build_model, save_model
from maskreel.recipes.catalog import RECIPES
from maskreel.visualize.video import TimedImage, write_video

FRAME_RATE = 25
NUM_DISCS = 8
WINDOW = 36


@dataclass(frozen=True, kw_only=True)
class Measurement:
    frames: int
    peak_mib: float
    seconds: float
    is_complete: bool
    """Decoded as many frames as declared, and as were written."""
    masklets: int
    fewest_alive: int
    """Masklets with a mask in the window that has the fewest."""
    json_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of predict on videos of growing length.")
    parser.add_argument("--run", default="bundled", help="run or model folder, bundled, or random")
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--size", type=int, nargs=2, default=[96, 160], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--short-side", type=int, default=None)
    parser.add_argument("--no-overlay", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = _random_model(folder / "random") if args.run == "random" else args.run
        options = [] if args.short_side is None else ["--short-side", str(args.short_side)]
        options += ["--no-overlay"] if args.no_overlay else []
        measurements = []
        for frames in args.frames:
            measurements.append(_measure(run, frames, tuple(args.size), options, folder))
            print(_line(measurements[-1], measurements[0]), flush=True)


def _measure(run: str, frames: int, size: tuple[int, int], options: list[str], folder: Path) -> Measurement:
    video = folder / f"discs_{frames}.mp4"
    write_video(video, _discs(frames, size), frame_rate=Fraction(FRAME_RATE))
    out = folder / f"out_{frames}"
    words = ["predict", run, str(video), "--out", str(out), "--min-score", "0", "--quiet", *options]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "maskreel.cli.main", *words])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"predict failed on {frames} frames with exit code {process.returncode}")
    path = out / f"{video.stem}.json"
    result = Masklets.load(path)
    measurement = Measurement(
        frames=frames,
        peak_mib=usage.ru_maxrss / 1024,
        seconds=time.perf_counter() - start,
        is_complete=result.decoded == result.declared == frames and not result.skipped,
        masklets=len(result),
        fewest_alive=_fewest_alive(result),
        json_mib=path.stat().st_size / 2**20,
    )
    video.unlink()
    path.unlink()
    return measurement


def _fewest_alive(result: Masklets) -> int:
    alive = np.array([[mask is not None for mask in masklet.segmentations] for masklet in result], dtype=bool)
    if not alive.size:
        return 0
    starts = range(0, result.decoded, WINDOW)
    return min(int(alive[:, start : start + WINDOW].any(axis=1).sum()) for start in starts)


def _discs(frames: int, size: tuple[int, int]) -> Iterator[TimedImage]:
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    background = ((rows + columns) % 64 + 80).astype(np.uint8)
    colours = np.random.default_rng(0).integers(0, 256, (NUM_DISCS, 3), dtype=np.uint8)
    radius = height / 10
    for index in range(frames):
        picture = np.repeat(background[..., None], 3, axis=2)
        for n, colour in enumerate(colours):
            row = height * (0.5 + 0.4 * np.sin(index / (40 + 3 * n) + 2.4 * n))
            column = width * (0.5 + 0.4 * np.cos(index / (55 + 2 * n) + 1.7 * n))
            picture[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = colour
        yield TimedImage(index / FRAME_RATE, picture)


def _random_model(folder: Path) -> str:
    recipe = RECIPES["seqformer-tiny"]()
    torch.manual_seed(0)
    model = build_model(recipe.model)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    classes = [(number, f"class {number}") for number in range(1, recipe.model.num_classes + 1)]
    save_model(folder, model, recipe.model, classes, inference={"short_side": 96})
    return str(folder)


def _line(measurement: Measurement, first: Measurement) -> str:
    return json.dumps(
        {
            "frames": measurement.frames,
            "peak_mib": round(measurement.peak_mib, 1),
            "over_first_percent": round(100 * (measurement.peak_mib / first.peak_mib - 1), 1),
            "is_complete": measurement.is_complete,
            "masklets": measurement.masklets,
            "fewest_alive": measurement.fewest_alive,
            "json_mib": round(measurement.json_mib, 1),
            "seconds": round(measurement.seconds, 1),
        }
    )


if __name__ == "__main__":
    main()
