"""`maskreel bench sampling`: the sampling primitive against its published form, on this machine."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from maskreel.bench.protocol import Times, take_turns
from maskreel.bench.sampling import cache_bandwidth, cases, row_bytes
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
    rows = sampling_rows(device, args.samples, with_floor=args.floor)
    write_report({"sampling": rows}, args.json, device, sampling_table(rows), outputs)


def sampling_rows(device: torch.device, samples: int, *, with_floor: bool = False) -> list[dict[str, Any]]:
    """One row per use and direction; those of forward passes may name their floor."""
    rows = []
    for name, make in cases(device).items():
        if name in CASES:
            times = take_turns(make(), samples=samples, device=device)
            rows += [_row(name, kind, times) for kind in KINDS]
            if with_floor:
                # Beside the times that it is compared with: a machine's speed drifts.
                rows[-2] |= _floor(name, rows[-2]["ours_ms"]["p50"], cache_bandwidth(device))
    return rows


def _floor(name: str, milliseconds: float, bandwidth: float) -> dict[str, float]:
    floor = 1e3 * row_bytes(name) / bandwidth
    return {"cache_bytes_per_second": bandwidth, "floor_ms": floor, "over_floor": milliseconds / floor}


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
    has_floor = any("floor_ms" in row for row in rows)
    head += ["floor ms", "over floor"] * has_floor
    cells = [
        [
            row["use"],
            row["pass"],
            f"{row['grid_sample_ms']['p50']:.1f}",
            f"{row['ours_ms']['p50']:.1f}",
            f"{row['ours_ms']['p95']:.1f}",
            f"x{row['ratio']:.1f}",
            note(row["ours_ms"]),
            *([f"{row['floor_ms']:.1f}", f"x{row['over_floor']:.2f}"] if "floor_ms" in row else ["", ""] * has_floor),
        ]
        for row in rows
    ]
    return table(head, cells, num_words=2)
