"""Frames per second and delay of live sessions: `python benchmarks/live.py [--models RECIPE ...] [--json FILE]`.

Every model has random weights and is shown 360x640 frames of noise that move, with windows of 5 frames: at latency 1
and 4, with and without keeping the features of frames that windows share, and offline, clip by clip. All sessions of a
model take turns in one process, `--frames` frames each, after two frames that do not count. What is printed per frame:

- milliseconds of `push`, over all frames of a turn (the median of the turns), and frames per second;
- processor milliseconds, and their factor over the same frame offline, which a busy machine changes less;
- delay: from a frame's push to the end of the push that hands it out, where the next frame comes when the one before is
  done (p50 and p95).

Every turn is also printed as it ends, so that a run that is cut off is not lost.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from maskreel.bench.protocol import hardware
from maskreel.inference.options import PredictorOptions
from maskreel.inference.predictor import VideoPredictor
from maskreel.inference.session import Session
from maskreel.kernels.allocator import tune_allocator
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES

SIZE = (360, 640)
WINDOW = 5
MODELS = ("seqformer-r50-ytvis19", "ms-sts-r50-ytvis19", "taformer-r50-ytvis19", "vistr-r50-ytvis19")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to run one model."""

    model: str
    way: str
    ms_per_frame: float
    frames_per_second: float
    cpu_ms_per_frame: float
    factor: float
    """Of processor time, over the same frame offline."""
    delay_p50_ms: float
    delay_p95_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and delay of live sessions.")
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="RECIPE")
    parser.add_argument("--frames", type=int, default=10, help="frames of a turn, and of a clip offline")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fast", action="store_true", help="only latency 1 with reuse, and offline")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tune_allocator()
    rows = []
    for name in args.models:
        for row in measure(name, args.frames, args.turns, tuple(args.size), is_fast=args.fast):
            rows.append(row)
            print(json.dumps(asdict(row)), flush=True)
    if args.json:
        args.json.write_text(
            json.dumps({"hardware": hardware(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
        )


def measure(name: str, frames: int, turns: int, size: tuple[int, int], *, is_fast: bool) -> Iterator[Row]:
    torch.manual_seed(0)
    config = RECIPES[name]().model
    model = build_model(config).eval()
    options = PredictorOptions(short_side=size[0], clip_frames=frames, clip_overlap=0)
    classes = [(number, str(number)) for number in range(1, config.num_classes + 1)]
    predictor = VideoPredictor(model, classes, options, trained_frames=WINDOW)
    ways = {"offline": (None, True), "latency 1": (1, True)}
    if not is_fast:
        ways |= {"latency 4": (4, True), "latency 4, no reuse": (4, False), "latency 1, no reuse": (1, False)}
    pictures = noise(frames, size)
    times: dict[str, list[float]] = {way: [] for way in ways}
    work: dict[str, list[float]] = {way: [] for way in ways}
    delays: dict[str, list[float]] = {way: [] for way in ways}
    run(predictor.session(latency=1, keep=False), pictures[:2])
    for _ in range(turns):
        for way, (latency, reuse) in ways.items():
            session = predictor.session(latency=latency, keep=False, reuse=reuse)
            before = time.process_time()
            total, waited = run(session, pictures)
            work[way].append(1000 * (time.process_time() - before) / frames)
            times[way].append(1000 * total / frames)
            delays[way] += waited
            print(
                f"# {name}, {way}: {times[way][-1]:.0f} ms, {work[way][-1]:.0f} ms of processors per frame", flush=True
            )
    offline = float(np.median(work["offline"]))
    for way in ways:
        per_frame = float(np.median(times[way]))
        p50, p95 = np.percentile(delays[way], [50, 95])
        yield Row(
            model=name,
            way=way,
            ms_per_frame=round(per_frame, 1),
            frames_per_second=round(1000 / per_frame, 2),
            cpu_ms_per_frame=round(float(np.median(work[way])), 1),
            factor=round(float(np.median(work[way])) / offline, 2),
            delay_p50_ms=round(1000 * p50, 1),
            delay_p95_ms=round(1000 * p95, 1),
        )


def run(session: Session, pictures: Sequence[np.ndarray]) -> tuple[float, list[float]]:
    """Seconds in all, and those that each frame waited."""
    pushed: list[float] = []
    waited: list[float] = []
    begun = time.perf_counter()
    for picture in pictures:
        pushed.append(time.perf_counter())
        final = session.push(picture)
        waited += [time.perf_counter() - pushed[frame.index] for frame in final]
    final = session.finish()
    end = time.perf_counter()
    return end - begun, waited + [end - pushed[frame.index] for frame in final]


def noise(frames: int, size: tuple[int, int]) -> list[np.ndarray]:
    field = np.random.default_rng(0).integers(0, 256, (size[0], size[1] + 8 * frames, 3), dtype=np.uint8)
    return [np.ascontiguousarray(field[:, 8 * index : 8 * index + size[1]]) for index in range(frames)]


if __name__ == "__main__":
    main()
