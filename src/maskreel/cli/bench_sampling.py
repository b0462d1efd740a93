"""`maskreel bench sampling`: the sampling primitive against its published form, on this machine."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
import tyro

from maskreel.bench.protocol import Times, take_turns
from maskreel.bench.sampling import cases
from maskreel.cli.bench_report import check_options, note, write_report
from maskreel.cli.tables import table
from maskreel.device import choose_device

CASES = ("encoder", "decoder", "neighbour frames", "space-time")
KINDS = {"forward": "forward", "both": "forward+backward"}


@dataclass(frozen=True, kw_only=True)
class BenchSampling:
    """Time deformable sampling, forward and with backward, beside the published grid_sample forms.

    5 frames of 360x640; encoder (all 24,100 cells are queries), decoder (300 queries a frame), neighbour frames,
    space-time. Both sides take turns in this process, whose allocator is tuned as for every command.
    """

    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Quiet samples wanted of each side; at most twice as many are taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""


def run(args: BenchSampling) -> None:
    """Measure and report."""
    check_options(args.samples, args.json)
    device = choose_device(args.device)
    rows = sampling_rows(device, args.samples)
    write_report({"sampling": rows}, args.json, device, sampling_table(rows))


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
