"""`maskreel bench sampling`: the sampling primitive against its published form, on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from maskreel.bench.protocol import Times, take_turns
from maskreel.bench.sampling import cases
from maskreel.cli.bench_report import claimed_outputs, note, write_report
from maskreel.cli.records.bench import BenchSampling
from maskreel.cli.tables import table
from maskreel.device import choose_device

CASES = ("encoder", "decoder", "neighbour frames", "space-time")
KINDS = {"forward": "forward", "both": "forward+backward"}


def run(args: BenchSampling) -> None:
    """Measure and report."""
    outputs = claimed_outputs(args)
    device = choose_device(args.device)
    rows = sampling_rows(device, args.samples)
    write_report({"sampling": rows}, args.json, device, sampling_table(rows), outputs)


def sampling_rows(device: torch.device, samples: int) -> list[dict[str, Any]]:
    """One row per use and direction."""
    rows = []
    for name, make in cases(device).items():
        if name in CASES:
            times = take_turns(make(), samples=samples, device=device)
            rows += [_row(name, kind, times) for kind in KINDS]
    return rows


def _row(name: str, kind: str, times: dict[str, Times]) -> dict[str, Any]:
    slow, fast = times[f"published {kind}"], times[f"ours {kind}"]
    return {
        "use": name,
        "pass": KINDS[kind],
        "grid_sample_ms": asdict(slow),
        "ours_ms": asdict(fast),
        "ratio": slow.p50 / fast.p50,
    }


def sampling_table(rows: Sequence[dict[str, Any]]) -> str:
    """Medians and ratios, one line per row."""
    head = ["use", "pass", "grid_sample ms", "ours ms", "ours p95", "ratio", "quiet"]
    cells = [
        [
            row["use"],
            row["pass"],
            f"{row['grid_sample_ms']['p50']:.1f}",
            f"{row['ours_ms']['p50']:.1f}",
            f"{row['ours_ms']['p95']:.1f}",
            f"x{row['ratio']:.1f}",
            note(row["ours_ms"]),
        ]
        for row in rows
    ]
    return table(head, cells, num_words=2)
