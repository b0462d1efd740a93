"""`maskreel bench`: both benchmarks in one report."""

from maskreel.cli.bench_model import BenchModel, model_figures, model_table, named_predictor
from maskreel.cli.bench_report import claimed_outputs, write_report
from maskreel.cli.bench_sampling import sampling_rows, sampling_table
from maskreel.cli.records.bench import Bench
from maskreel.device import choose_device
from maskreel.models.folder import BUNDLED


def run(args: Bench) -> None:
    """Measure and report."""
    outputs = claimed_outputs(args)
    device = choose_device(args.device)
    options = BenchModel(name=BUNDLED, samples=args.samples, device=args.device)
    figures = model_figures(options, named_predictor(options, device))
    rows = sampling_rows(device, args.samples)
    text = f"{sampling_table(rows)}\n\n{model_table(figures)}"
    write_report({"sampling": rows, "model": figures}, args.json, device, text, outputs)
