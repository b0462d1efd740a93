"""The claims of the papers, tested on rendered video: `python benchmarks/claims.py --plan | --run K/N | --table`.

`--plan` lists every unit of work and what of it is done. `--run K/N` does the K-th of every N units that are missing,
in order: starts (single frames, one per family, kept in `benchmarks/starts`), then a training per variant and seed. A
unit ends within 30 minutes of one core; what is not done by then goes on from its checkpoint. Figures are appended to
`benchmarks/results/claims.csv`, and their resamplings stored beside it, as they come. `--table` judges all of it by the
rule of `claim_verdicts.py` and prints Markdown. Variants and claims: `claim_variants.py`.
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from claim_variants import COMPARISONS, MIXTURE, SEEDS, STARTS, STEPS, VARIANTS, Comparison, Options, Set, Variant
from claim_verdicts import RESAMPLINGS, Judgement, judge

HERE = Path(__file__).parent
RESULTS, STARTS_FOLDER = HERE / "results", HERE / "starts"
COLUMNS = ("variant", "seed", "set", "AP", "AP75", "AssA", "steps", "seconds_a_step")
METRICS = ("AP", "AP75", "AssA")
UNIT_SECONDS = 30 * 60
LAST_MINUTE = 60
KEPT: Options = {"data.workers": 0, "training.checkpoint_every": 50}
TRAIN = "import json, sys, maskreel; maskreel.train(**json.loads(sys.argv[1]))"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A start, or a variant under a seed."""

    name: str
    variant: Variant | None = None
    seed: int = 0


class Work:
    """What is done, and how what is missing is done; runs and data lie under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.deadline = time.monotonic() + UNIT_SECONDS - LAST_MINUTE

    def units(self) -> list[Unit]:
        starts = [Unit(name=f"start {name}") for name in STARTS]
        return starts + [
            Unit(name=f"{name} seed {seed}", variant=variant, seed=seed)
            for name, variant in VARIANTS.items()
            for seed in SEEDS
        ]

    def is_done(self, unit: Unit) -> bool:
        if unit.variant is None:
            return (STARTS_FOLDER / unit.name.split()[1] / "config.json").exists()
        return {(unit.variant.name, str(unit.seed), name) for name in unit.variant.sets} <= set(rows())

    def state(self, unit: Unit) -> str:
        if self.is_done(unit):
            return "done"
        checkpoints = sorted((self.folder(unit) / "checkpoints").glob("step-*"))
        return f"{checkpoints[-1].name.lstrip('step-0')} steps" if checkpoints else "missing"

    def folder(self, unit: Unit) -> Path:
        return self.root / unit.name.replace(" ", "-")

    def run(self, unit: Unit) -> bool:
        """Whether the unit is complete now."""
        self.deadline = time.monotonic() + UNIT_SECONDS - LAST_MINUTE
        if unit.variant is None:
            return self._start(unit)
        start = STARTS_FOLDER / unit.variant.start
        if not start.is_dir():
            sys.exit(f"{unit.name}: its start is missing; run the unit 'start {unit.variant.start}' first")
        steps = STEPS * unit.variant.longer
        schedule = {"training.steps": steps, "training.validate_every": steps // 4, "training.warmup": 50}
        options = {**schedule, "training.seed": unit.seed, **unit.variant.options}
        if not self._train(unit, unit.variant.recipe, unit.variant.sets, options, init=str(start)):
            return False
        for name in unit.variant.sets:
            self._measure(unit, unit.variant, name, steps)
        return True

    def _start(self, unit: Unit) -> bool:
        start = STARTS[unit.name.split()[1]]
        if not self._train(unit, start.recipe, MIXTURE, start.options):
            return False
        import torch

        from maskreel.models.folder import load_model, save_model

        model = load_model(self.folder(unit))
        folder, half = STARTS_FOLDER / start.name, torch.bfloat16
        save_model(folder, model.model, model.config, model.classes, inference=model.inference, dtype=half)
        return True

    def _train(
        self, unit: Unit, recipe: str, sets: tuple[Set, ...], options: Options, *, init: str | None = None
    ) -> bool:
        folder, roots = self.folder(unit), [str(self._data(name)) for name in sets]
        if any((folder / "checkpoints").glob("step-*")):
            return self._python("-m", "maskreel.cli.main", "train", "--resume", str(folder), "--quiet")
        shutil.rmtree(folder, ignore_errors=True)
        arguments = {
            "recipe": recipe,
            "data": roots[0],
            "out": str(folder),
            "init": init,
            "options": {**KEPT, "data.joint": roots[1:], **options},
            "quiet": True,
        }
        return self._python("-c", TRAIN, json.dumps(arguments))

    def _data(self, name: Set) -> Path:
        folder = self.root / "data" / name
        for split in ("train", "valid", "test"):
            if not (folder / f"{split}.json").exists():
                self._python(
                    "-m",
                    "maskreel.cli.main",
                    "data",
                    "synth",
                    str(folder),
                    "--set",
                    name,
                    "--split",
                    split,
                    "--workers",
                    "1",
                )
        return folder

    def _measure(self, unit: Unit, variant: Variant, name: Set, steps: int) -> None:
        """Figures over the test videos and over resamplings of them, the same for every variant."""
        from maskreel.data.annotation_file import read_ground_truth
        from maskreel.evaluation.average_precision import AveragePrecisionMeter
        from maskreel.evaluation.hota import HOTAMeter
        from maskreel.evaluation.overlap import measure
        from maskreel.evaluation.results import read_predictions

        data, out = self._data(name), self.folder(unit) / f"test-{name}"
        if not (out / "results.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            words = ["--data.root", str(data), "--data.split", "test", "--out", str(out), "--quiet"]
            self._python("-m", "maskreel.cli.main", "evaluate", str(self.folder(unit)), *words)
        truth = read_ground_truth(data / "test.json")
        meters = AveragePrecisionMeter(truth), HOTAMeter(truth)
        for overlap in measure(truth, read_predictions(out / "results.json", truth)):
            for meter in meters:
                meter.add(overlap)
        weights = resamplings(len(truth.videos))
        found = meters[0].groups(weights)[""] | meters[1].groups(weights)["class_averaged"]
        figures = {metric: 100 * np.nan_to_num(found[metric]) for metric in METRICS}
        RESULTS.mkdir(exist_ok=True)
        samples = _samples(variant.name, unit.seed, name)
        np.savez_compressed(samples, AP=figures["AP"], AP75=figures["AP75"], AssA=figures["AssA"])
        with (self.folder(unit) / "results.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        seconds = float(last["time"]) / steps
        row = (
            variant.name,
            unit.seed,
            name,
            *(f"{figures[metric][0]:.2f}" for metric in METRICS),
            steps,
            f"{seconds:.3f}",
        )
        path = RESULTS / "claims.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, row] if is_new else [row])

    def _python(self, *words: str) -> bool:
        """Whether the command came to its end before the unit's time was over."""
        print("python", *words, file=sys.stderr, flush=True)
        process = subprocess.Popen([sys.executable, *words], env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            code = process.wait(max(1.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait()
            return False
        if code:
            sys.exit(f"python {' '.join(words)}: exit code {code}")
        return True


def resamplings(num_videos: int) -> np.ndarray:
    """ "n v": every video once, then resamplings with replacement; always the same."""
    drawn = np.random.default_rng(0).integers(num_videos, size=(RESAMPLINGS, num_videos))
    weights = [np.bincount(row, minlength=num_videos) for row in drawn]
    return np.stack([np.ones(num_videos, dtype=np.int64), *weights])


def rows() -> dict[tuple[str, str, str], dict[str, str]]:
    """Lines of the table by variant, seed and set."""
    path = RESULTS / "claims.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row["variant"], row["seed"], row["set"]): row for row in csv.DictReader(file)}


def _samples(variant: str, seed: int, name: str) -> Path:
    return RESULTS / f"{variant}-seed{seed}-{name}.npz"


def judgement(comparison: Comparison, name: Set, metric: str) -> Judgement:
    """Of one figure of a claim on one set."""

    def side(variant: str, figure: str) -> dict[int, np.ndarray]:
        paths = {seed: _samples(variant, seed, name) for seed in SEEDS}
        return {seed: np.load(path)[figure] for seed, path in paths.items() if path.exists()}

    worse_ap = {seed: float(values[0]) for seed, values in side(comparison.worse, "AP").items()}
    return judge(
        side(comparison.better, metric),
        side(comparison.worse, metric),
        worse_ap=worse_ap,
        seeds=SEEDS,
        margin=comparison.margin if metric == "AP" else 0.0,
    )


def table() -> Iterator[str]:
    yield "| claim | | set | figure | difference | 95 % | per seed | verdict |"
    yield "|---|---|---|---|---|---|---|---|"
    for comparison in COMPARISONS:
        for name in comparison.sets:
            for metric in comparison.metrics:
                found = judgement(comparison, name, metric)
                cells = ["", "", ""]
                if found.difference is not None:
                    seeds = " ".join(f"{value:+.1f}" for value in found.per_seed)
                    cells = [f"{found.difference:+.1f}", f"{found.low:+.1f} to {found.high:+.1f}", seeds]
                verdict = found.verdict
                if verdict == "undecided":
                    verdict += f", {found.smallest_visible:.1f} could have been seen"
                yield "| " + " | ".join((comparison.name, comparison.claim, name, metric, *cells, verdict)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description="The claims of the papers, tested on rendered video.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="list every unit of work and what of it is done")
    what.add_argument("--run", metavar="K/N", help="do the K-th of every N missing units")
    what.add_argument("--table", action="store_true", help="judge what is done, as Markdown")
    parser.add_argument("--root", type=Path, default=Path("runs/claims"), help="folder of data and runs")
    args = parser.parse_args()
    work = Work(args.root)
    if args.table:
        print("\n".join(table()))
        return
    missing = [unit for unit in work.units() if not work.is_done(unit)]
    if args.plan:
        for unit in work.units():
            print(f"{work.state(unit):12s} {unit.name}")
        print(f"{len(missing)} units missing, {STEPS} steps for each variant and seed")
        return
    share, _, parts = args.run.partition("/")
    if not (share.isdecimal() and parts.isdecimal() and 1 <= int(share) <= int(parts)):
        parser.error(f"--run {args.run}: expected K/N with K from 1 to N, such as 1/1")
    for unit in missing[int(share) - 1 :: int(parts)]:
        while not work.run(unit):
            print(f"{unit.name}: goes on from its checkpoint", file=sys.stderr)


if __name__ == "__main__":
    main()
