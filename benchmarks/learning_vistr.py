"""Learning curves of the small twins on rendered video: dense against deformable, sine against MLP heads.

    python benchmarks/learning_vistr.py --out runs/learning_vistr --minutes 8
    python benchmarks/learning_vistr.py --out runs/look --steps 4 --videos 4 --valid-videos 2 --validations 1   # a look

One run after another, so that none disturbs another. A short run first times a step, and the number of steps follows
from the minutes; `--steps` gives all runs the same number instead. Validations come on top of the minutes. The
validation videos have seeds from 10000 on and are never trained on. Runs that are complete are not done again. Writes
`curves.md` and `curves.png` into the folder.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

RECIPES = ("vistr-tiny", "deformable-vistr-tiny", "tt-spn-tiny", "tt-spn-tiny-mlp")
TIMED_STEPS = 12
FIGURES = ("AP", "AP50", "AP75", "AR10")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one run left in its table."""

    name: str
    lines: list[dict[str, str]]

    @property
    def measured(self) -> list[dict[str, str]]:
        return [line for line in self.lines if line["metrics/AP"]]

    def loss(self, line: dict[str, str]) -> float:
        return sum(float(value) for name, value in line.items() if name.startswith("loss/") and name != "loss/total")


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning curves of the small twins.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--steps", type=int, default=None, help="the same number for all, instead of minutes")
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--valid-videos", type=int, default=40)
    parser.add_argument("--validations", type=int, default=5)
    args = parser.parse_args()
    data = rendered(args.out / "data", args.videos, args.valid_videos)
    curves = []
    for name in args.recipes:
        steps = args.steps or int(args.minutes * 60 / seconds_per_step(name, data, args.out / "timing"))
        curves.append(trained(name, data, args.out / name, steps, args.validations))
        (args.out / "curves.md").write_text(text(curves))
        plot(curves, args.out / "curves.png")
    print(text(curves))


def rendered(folder: Path, videos: int, valid_videos: int) -> Path:
    for split, count, seed in (("train", videos, 0), ("valid", valid_videos, 10000)):
        if not (folder / f"{split}.json").exists():
            words = ["data", "synth", str(folder), "--split", split, "--videos", str(count), "--seed", str(seed)]
            maskreel(*words)
    return folder


def seconds_per_step(name: str, data: Path, folder: Path) -> float:
    """Mean over the second half of a short run, without the start."""
    shutil.rmtree(folder, ignore_errors=True)
    half = TIMED_STEPS // 2
    options = [
        "--training.steps",
        str(TIMED_STEPS),
        "--training.log-every",
        str(half),
        "--training.validate-every",
        "0",
    ]
    maskreel("train", name, "--data.root", str(data), "--out", str(folder), "--quiet", *options)
    first, last = read(folder)[-2:]
    shutil.rmtree(folder)
    return (float(last["time"]) - float(first["time"])) / half


def trained(name: str, data: Path, folder: Path, steps: int, validations: int) -> Curve:
    lines = read(folder)
    if not lines or not lines[-1]["metrics/AP"]:
        shutil.rmtree(folder, ignore_errors=True)
        every = max(1, steps // validations)
        options = ["--training.steps", str(steps), "--training.validate-every", str(every)]
        options += ["--training.log-every", str(max(1, steps // 40))]
        maskreel("train", name, "--data.root", str(data), "--out", str(folder), "--quiet", *options)
    return Curve(name=name, lines=read(folder))


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
    lines = [f"| recipe | step | epoch | minutes | loss | {' | '.join(FIGURES)} |", "|---" * (5 + len(FIGURES)) + "|"]
    for curve in curves:
        for line in curve.measured:
            figures = " | ".join(f"{100 * float(line[f'metrics/{name}']):.1f}" for name in FIGURES)
            lines.append(
                f"| {curve.name} | {line['step']} | {float(line['epoch']):.2f} | {float(line['time']) / 60:.1f} | "
                f"{curve.loss(line):.2f} | {figures} |"
            )
    return "\n".join(lines) + "\n"


def plot(curves: list[Curve], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    by_time, by_epoch, losses = figure.subplots(1, 3)
    for curve in curves:
        ap = [100 * float(line["metrics/AP"]) for line in curve.measured]
        by_time.plot([float(line["time"]) / 60 for line in curve.measured], ap, "o-", label=curve.name)
        by_epoch.plot([float(line["epoch"]) for line in curve.measured], ap, "o-", label=curve.name)
        losses.plot([int(line["step"]) for line in curve.lines], [curve.loss(line) for line in curve.lines])
    for axes, label in ((by_time, "minutes of training"), (by_epoch, "epochs")):
        axes.set_xlabel(label)
        axes.set_ylabel("AP of unseen videos, percent")
    losses.set_xlabel("steps")
    losses.set_ylabel("training loss")
    by_time.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
