"""What many units cost beside the work: time per unit and the driver's memory, with units that do nothing.

`python benchmarks/many_units.py 1000 100000 [--workers 2]`: for each number a driver of its own gives so many units to
worker processes and writes the manifest, as `maskreel predict --workers` does.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from maskreel.manifest import Manifest, UnitLine
from maskreel.spread.processes import ProcessCrew
from maskreel.spread.work import work_through
from maskreel.written import Record


def idle() -> Callable[[int], dict[str, str]]:
    return _nothing


def _nothing(unit: int) -> dict[str, str]:
    return {f"{unit:09d}.json": "0" * 64}


def drive(units: int, workers: int) -> dict[str, float]:
    """Seconds per unit, and megabytes that the driver took at most."""
    with tempfile.TemporaryDirectory() as folder, ProcessCrew(idle) as crew:
        manifest, record = Manifest(Path(folder)), Record(Path(folder))
        manifest.begin({}, ())
        start = time.monotonic()
        with manifest:
            for one in work_through(range(units), crew, workers=workers):
                name = f"{one.unit:09d}"
                line = UnitLine(unit=name, source=f"{name}.mp4", state="done", sums=one.value, worker=one.worker)
                manifest.add(line)
                record.settle(one.value)
        seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"units": units, "milliseconds per unit": 1000 * seconds / units, "driver peak MB": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("units", type=int, nargs="+")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        print(json.dumps(drive(args.units[0], args.workers)))
        return
    for units in args.units:
        words = [sys.executable, __file__, str(units), "--workers", str(args.workers), "--inner"]
        print(subprocess.run(words, check=True, capture_output=True, text=True).stdout, end="")


if __name__ == "__main__":
    main()
