"""`maskreel bench`: both benchmarks in one report."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from maskreel.cli.bench_model import BenchModel, model_figures, model_table, named_predictor
from maskreel.cli.bench_report import check_options, write_report
from maskreel.cli.bench_sampling import sampling_rows, sampling_table
from maskreel.device import choose_device
from maskreel.models.folder import BUNDLED


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Time the sampling primitive and the bundled model on this machine, with a record of the machine.

    `maskreel bench sampling` and `maskreel bench model NAME` measure one of them, with more options.
    """

    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Quiet samples wanted of everything; at most twice as many are taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""


def run(args: Bench) -> None:
    """Measure and report."""
    check_options(args.samples, args.json)
    device = choose_device(args.device)
    options = BenchModel(name=BUNDLED, samples=args.samples, device=args.device)
    figures = model_figures(options, named_predictor(options, device))
    rows = sampling_rows(device, args.samples)
    text = f"{sampling_table(rows)}\n\n{model_table(figures)}"
    write_report({"sampling": rows, "model": figures}, args.json, device, text)
