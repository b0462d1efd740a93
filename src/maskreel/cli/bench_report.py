"""What the bench commands share: the report with its record of the machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskreel.bench.protocol import PROTOCOL, hardware
from maskreel.cli.options import outputs_for, report_json
from maskreel.errors import UsageError
from maskreel.outputs import Outputs

MAX_SAMPLES = 1000


def claimed_outputs(args: Any, *inputs: str | Path | None) -> Outputs:
    """The report of a command; UsageError unless it can be written and the number of samples makes sense."""
    if not 1 <= args.samples <= MAX_SAMPLES:
        raise UsageError(f"--samples {args.samples}: must lie between 1 and {MAX_SAMPLES}")
    return outputs_for(args, *inputs)


def write_report(
    figures: Mapping[str, Any], json_path: str | None, device: torch.device, text: str, outputs: Outputs
) -> None:
    """Print the tables, and write or print the figures as JSON with hardware and protocol beside them."""
    machine = hardware(device)
    if report_json(json_path, {"hardware": machine, "protocol": PROTOCOL, **figures}, outputs):
        where = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores"
        print(f"{where}, torch {machine['packages']['torch']}\n\n{text}")


def note(times: Mapping[str, Any]) -> str:
    """Quiet samples over all that stand behind a figure."""
    return f"{times['quiet']}/{times['samples']}"
