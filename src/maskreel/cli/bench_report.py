"""What the bench commands share: the report with its record of the machine."""

from collections.abc import Mapping
from typing import Any

import torch

from maskreel.bench.protocol import PROTOCOL, hardware
from maskreel.cli.options import report_json, require_json
from maskreel.errors import UsageError

MAX_SAMPLES = 1000


def check_options(samples: int, json_path: str | None) -> None:
    """UsageError unless the number of samples makes sense and the report can be written."""
    require_json(json_path)
    if not 1 <= samples <= MAX_SAMPLES:
        raise UsageError(f"--samples {samples}: must lie between 1 and {MAX_SAMPLES}")


def write_report(figures: Mapping[str, Any], json_path: str | None, device: torch.device, text: str) -> None:
    """Print the tables, and write or print the figures as JSON with hardware and protocol beside them."""
    machine = hardware(device)
    if report_json(json_path, {"hardware": machine, "protocol": PROTOCOL, **figures}):
        where = machine.get("gpu") or f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores"
        print(f"{where}, torch {machine['packages']['torch']}\n\n{text}")


def note(times: Mapping[str, Any]) -> str:
    """Quiet samples over all that stand behind a figure."""
    return f"{times['quiet']}/{times['samples']}"
