"""What many units cost beside the work: time per unit, and the memory of the command that has them shared.

    python benchmarks/many_units.py --bare 1000 100000      # units that do nothing and have no names, and a manifest
    python benchmarks/many_units.py --units 1000 100000     # as many sources of a command, for which nothing is done
    python benchmarks/many_units.py --videos 1000           # tiny videos: `maskreel predict` beside the bare library

Each line is a process of its own; but for the bare units it is `maskreel predict --list`, manifest and all. Sources for
which nothing is done have a stand-in for the worker, nothing else is replaced. `--ray` has actors of a cluster of this
machine do it. Milliseconds per video are those of a worker: wall time without what the same command takes for a single
video, times the number of workers.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

import maskreel
from maskreel.cli import predict, predict_many
from maskreel.cli.predict_job import Job, Outcome
from maskreel.cli.records.video import Predict
from maskreel.manifest import Manifest, UnitLine
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import work_through
from maskreel.visualize.video import TimedImage, write_video
from maskreel.written import Record

FRAMES, HEIGHT, WIDTH = 2, 64, 96


def measure_bare(number: int, workers: int) -> dict[str, float]:
    """As `measure`, of what gives units to processes and notes them."""
    with tempfile.TemporaryDirectory() as name, ProcessCrew(Bare()) as crew:
        manifest, record = Manifest(Path(name)), Record(Path(name))
        manifest.begin({}, ())
        start = time.monotonic()
        with manifest:
            for one in work_through(range(number), crew, workers=workers):
                manifest.add(UnitLine(unit=str(one.unit), source=f"{one.unit}.mp4", state="done", sums=one.value))
                record.settle(one.value)
        seconds = time.monotonic() - start
    return {"seconds": seconds, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


class Bare:
    def __call__(self) -> Callable[[int], dict[str, str]]:
        return _sums


def _sums(unit: int) -> dict[str, str]:
    return {f"{unit}.json": "0" * 64}


class Idle:
    """In place of `WorkerOfMany`."""

    def __init__(self, args: Predict, threads: int) -> None: ...

    def __call__(self) -> Callable[[Job], Outcome]:
        return _nothing


def _nothing(job: Job) -> Outcome:
    return Outcome(summary={}, sums={job.masklets.name: "0" * 64})


def command(folder: Path, number: int, workers: int | None, *, has_ray: bool) -> Predict:
    """To predict `number` copies of a tiny video that lies in the folder."""
    video, listed = folder / "video.mp4", folder / "videos.txt"
    copies = [folder / f"{one:07d}.mp4" for one in range(number)]
    for copy in copies:
        copyfile(video, copy)
    listed.write_text("".join(f"{copy}\n" for copy in copies))
    out = str(folder / "out")
    return Predict(
        run="bundled", sources=(), list=listed, out=out, workers=workers, ray=has_ray, overlay=False, quiet=True
    )


def measure(number: int, workers: int | None, *, is_idle: bool, has_ray: bool) -> dict[str, float]:
    """Seconds of one command, and the most megabytes that this process took."""
    if is_idle:
        predict_many.WorkerOfMany = Idle  # type: ignore[assignment, misc]
    with tempfile.TemporaryDirectory() as name:
        write_tiny(Path(name) / "video.mp4")
        args = command(Path(name), number, workers, has_ray=has_ray)
        start = time.monotonic()
        predict.run(args)
        seconds = time.monotonic() - start
    return {"seconds": seconds, "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure_library(number: int) -> float:
    """Seconds per video of a loop that reads, finds and saves, and does nothing else."""
    predictor = maskreel.load("bundled")
    with tempfile.TemporaryDirectory() as name:
        video = Path(name) / "video.mp4"
        write_tiny(video)
        predictor(video)
        start = time.monotonic()
        for one in range(number):
            predictor(video).save(Path(name) / f"{one}.json")
        return (time.monotonic() - start) / number


def write_tiny(path: Path) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[16:48, 24:72] = 255
    write_video(path, [TimedImage(one / 25, image) for one in range(FRAMES)], frame_rate=Fraction(25))


def apart(*words: str) -> Any:
    """What this script prints with further words, in a process of its own."""
    return json.loads(subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="What many units cost beside the work.")
    parser.add_argument("--bare", type=int, nargs="*", default=[], help="units without names")
    parser.add_argument("--units", type=int, nargs="*", default=[], help="sources for which nothing is done")
    parser.add_argument("--videos", type=int, default=0, help="tiny videos")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--inner", choices=("bare", "idle", "videos", "library"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    workers, how = str(args.workers), ["--ray"] * args.ray
    if args.inner == "library":
        print(measure_library(args.videos))
        return
    if args.inner == "bare":
        print(json.dumps(measure_bare(args.videos, args.workers)))
        return
    if args.inner:
        is_idle = args.inner == "idle"
        found = measure(args.videos, args.workers or None, is_idle=is_idle, has_ray=args.ray)
        print(json.dumps(found))
        return
    for kind, units in (*(("bare", one) for one in args.bare), *(("idle", one) for one in args.units)):
        words = ["--inner", kind, "--workers", workers, *(how if kind == "idle" else [])]
        found, start = (apart(*words, "--videos", str(number)) for number in (units, 1))
        milliseconds = 1000 * (found["seconds"] - start["seconds"]) / units
        print(f"{units} {kind} units, {workers} workers: {milliseconds:.2f} ms each, driver {found['MB']:.0f} MB")
    if args.videos:
        print(
            f"{args.videos} tiny videos, library: {1000 * apart('--inner', 'library', '--videos', '200'):.1f} ms each"
        )
        for number in (0, args.workers):
            words = ["--inner", "videos", "--workers", str(number), *(how if number else [])]
            found, start = (apart(*words, "--videos", str(count)) for count in (args.videos, 1))
            milliseconds = 1000 * (found["seconds"] - start["seconds"]) / (args.videos - 1) * max(number, 1)
            print(f"{args.videos} tiny videos, {number or 'no'} workers: {milliseconds:.1f} ms each, worker's time")


if __name__ == "__main__":
    main()
