"""How well small recipes learn rendered video in the same time: AP of unseen videos, by recipe and seed.

    python benchmarks/learning.py --out runs/temporal --recipes seqformer-tiny ms-sts-tiny taformer-tiny --seeds 0 1 \
        --dials --lookalike-probability 1 --deformation 0.25
    python benchmarks/learning.py --out runs/sequence --recipes vistr-tiny deformable-vistr-tiny tt-spn-tiny

One run after another, so that none disturbs another. A short run first times a step of every recipe, and its number of
steps follows from the minutes (validations and first stages come on top); `--steps` gives all of them the same number
instead. The videos validated on have seeds from 10000 on and are never trained on. Complete runs are not done again.
Writes `learning.md` and `learning.png` into the folder.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from maskreel.recipes.catalog import RECIPES

TIMED_STEPS = 16
FIGURES = ("AP", "AP50", "AP75", "AR10")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one run left in its table."""

    recipe: str
    seed: int
    lines: list[dict[str, str]]

    @property
    def validated(self) -> list[dict[str, str]]:
        return [line for line in self.lines if line["metrics/AP"]]

    def loss(self, line: dict[str, str]) -> float:
        return sum(float(value) for name, value in line.items() if name.startswith("loss/") and name != "loss/total")


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning curves of small recipes on rendered video.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=None, help="the same number for all, instead of minutes")
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--valid-videos", type=int, default=40)
    parser.add_argument("--validations", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="processes that decode clips")
    parser.add_argument("--dials", nargs=argparse.REMAINDER, default=[], help="options of `maskreel data synth`, last")
    args = parser.parse_args()
    data = rendered(args.out / "data", args.videos, args.valid_videos, args.dials)
    common = ["--data.root", str(data), "--data.workers", str(args.workers), "--quiet"]
    steps = {
        name: args.steps or int(args.minutes * 60 / seconds_per_step(name, args.out / f"timing-{name}", common))
        for name in args.recipes
    }
    curves = []
    for seed in args.seeds:
        for name in args.recipes:
            folder = args.out / f"{name}-seed{seed}"
            curves.append(
                Curve(recipe=name, seed=seed, lines=run(name, seed, folder, steps[name], args.validations, common))
            )
            (args.out / "learning.md").write_text(text(curves))
            plot(curves, args.out / "learning.png")
    print(text(curves))


def rendered(folder: Path, videos: int, valid_videos: int, dials: list[str]) -> Path:
    for split, count, seed in (("train", videos, 0), ("valid", valid_videos, 10000)):
        if not (folder / f"{split}.json").exists():
            words = ["data", "synth", str(folder), "--split", split, "--videos", str(count), "--seed", str(seed)]
            maskreel(*words, *dials)
    return folder


def seconds_per_step(name: str, folder: Path, common: list[str]) -> float:
    """Mean over the second half of a short run, without the start; kept in a file, so that all seeds share it."""
    path = folder.with_suffix(".json")
    if not path.exists():
        shutil.rmtree(folder, ignore_errors=True)
        half = TIMED_STEPS // 2
        options = ["--training.steps", str(TIMED_STEPS), "--training.log-every", str(half)]
        options += ["--first.steps", "0"] if RECIPES[name]().first is not None else []
        maskreel("train", name, "--out", str(folder), "--training.validate-every", "0", *options, *common)
        first, last = read(folder)[-2:]
        shutil.rmtree(folder)
        path.write_text(json.dumps((float(last["time"]) - float(first["time"])) / half))
    return json.loads(path.read_text())


def run(name: str, seed: int, folder: Path, steps: int, validations: int, common: list[str]) -> list[dict[str, str]]:
    """Train, unless the folder holds the complete run; returns the lines of its table."""
    lines = read(folder)
    if not lines or not lines[-1]["metrics/AP"]:
        shutil.rmtree(folder, ignore_errors=True)
        options = ["--training.steps", str(steps), "--training.seed", str(seed)]
        options += ["--training.validate-every", str(-(-steps // validations))]
        options += ["--training.log-every", str(max(1, steps // 40))]
        maskreel("train", name, "--out", str(folder), *options, *common)
    return read(folder)


def maskreel(*words: str) -> None:
    print("maskreel", *words, file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "maskreel.cli.main", *words], check=True, stdout=subprocess.DEVNULL)


def read(folder: Path) -> list[dict[str, str]]:
    path = folder / "results.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def text(curves: list[Curve]) -> str:
    names = " | ".join(FIGURES)
    lines = [f"| recipe | seed | step | epoch | minutes | loss | {names} |", "|---" * (6 + len(FIGURES)) + "|"]
    for curve in curves:
        for line in curve.validated:
            figures = " | ".join(f"{100 * float(line[f'metrics/{name}']):.1f}" for name in FIGURES)
            lines.append(
                f"| {curve.recipe} | {curve.seed} | {line['step']} | {float(line['epoch']):.2f} | "
                f"{float(line['time']) / 60:.1f} | {curve.loss(line):.2f} | {figures} |"
            )
    return "\n".join(lines) + "\n"


def plot(curves: list[Curve], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    by_time, by_epoch, losses = figure.subplots(1, 3)
    recipes = list(dict.fromkeys(curve.recipe for curve in curves))
    for curve in curves:
        look = {"color": f"C{recipes.index(curve.recipe)}", "alpha": 1.0 if curve.seed == curves[0].seed else 0.5}
        label = f"{curve.recipe}, seed {curve.seed}"
        ap = [100 * float(line["metrics/AP"]) for line in curve.validated]
        by_time.plot([float(line["time"]) / 60 for line in curve.validated], ap, "o-", label=label, **look)
        by_epoch.plot([float(line["epoch"]) for line in curve.validated], ap, "o-", **look)
        losses.plot([int(line["step"]) for line in curve.lines], [curve.loss(line) for line in curve.lines], **look)
    for axes, label in ((by_time, "minutes, validations included"), (by_epoch, "epochs")):
        axes.set_xlabel(label)
        axes.set_ylabel("AP of unseen videos, percent")
    losses.set_xlabel("steps")
    losses.set_ylabel("training loss")
    losses.set_yscale("log")
    by_time.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
