"""A training step beside that of another tree: seconds of the clock and peak memory of `maskreel train`.

    python benchmarks/training_step.py                                  # steps of seqformer-tiny
    python benchmarks/training_step.py --against ../before/src          # beside another tree, in turns

Processes of both trees take turns on the same rendered videos. Between two lines of `results.csv` lie ten steps,
reading and everything else included; the first ten do not count. `maskreel bench train RECIPE` shows what a step
consists of.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import write_dataset

SOURCE = Path(__file__).parents[1] / "src"
BLOCK = 10
"""Steps between two lines, which tell the time to a tenth of a second."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of a training step, and its peak memory.")
    parser.add_argument("--recipe", default="seqformer-tiny")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--against", type=Path, default=None, help="src folder of another tree")
    args = parser.parse_args()
    trees = {"this": SOURCE} | ({"other": args.against.resolve()} if args.against else {})
    steps: dict[str, list[float]] = {tree: [] for tree in trees}
    peaks: dict[str, float] = dict.fromkeys(trees, 0.0)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_dataset(root / "data", "train", num_videos=16, seed=0, dials=SyntheticDials())
        for turn in range(args.turns):
            for tree, source in trees.items():
                taken, peak = train(args.recipe, source, root / "data", root / f"{tree}-{turn}", args.steps)
                steps[tree] += taken
                peaks[tree] = max(peaks[tree], peak)
    for tree, taken in steps.items():
        print(f"{tree}: per step min {min(taken):.3f} s, median {median(taken):.3f} s; peak {peaks[tree]:.0f} MiB")
    if "other" in trees:
        least, middle = (of(steps["other"]) / of(steps["this"]) for of in (min, median))
        print(f"times as fast: {least:.2f} by the least, {middle:.2f} by the median")


def train(recipe: str, source: Path, data: Path, out: Path, steps: int) -> tuple[list[float], float]:
    """Seconds of the steps that count, and the peak of the process in MiB."""
    words = ["train", recipe, "--data.root", str(data), "--out", str(out), "--training.steps", str(steps)]
    words += ["--training.log-every", str(BLOCK), "--training.checkpoint-every", str(steps)]
    process = subprocess.Popen(
        [sys.executable, "-m", "maskreel.cli.main", *words],
        env=os.environ | {"PYTHONPATH": str(source)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"maskreel {' '.join(words)} failed")
    with (out / "results.csv").open() as file:
        times = [float(row["time"]) for row in csv.DictReader(file)]
    return [(after - before) / BLOCK for before, after in pairwise(times)], usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
