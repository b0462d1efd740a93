"""Everything that needs a CUDA device, in one call: `python benchmarks/gpu_session.py --out FILE [--minutes 8]`.

1. The Triton kernels against the reference in float64: outputs and all gradients, bfloat16 tables, repeated bits.
2. Sampling forward and backward at 5 and 36 frames of 360x640, and the share of the copy bandwidth that their least
   traffic is.
3. The published R50 row of every system (Twins for TT-SPN) from a video file to run-length codes: frames per second and
   peak memory in float32, TF32 and bf16, as it is and compiled.
4. A training step of SeqFormer R50.
5. For the time left, a learning ladder: seqformer-tiny for four times the steps at every rung.

Every result is a line of JSON that is appended at once, so a session that is cut off goes on where it stopped: what the
file holds is not measured again, and an item is begun only where its time is left. `--dry-run` goes through every line
on a CPU in less than a minute: tiny models and shapes, Triton's interpreter. Exit code 1 when anything failed, such
as what could not be run; 3 when time ran out.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Session:
    """Items with a name and the seconds that each may take, measured once, in order, within a time."""

    def __init__(self, out: Path, *, seconds: float) -> None:
        self.out, self.end = out, time.monotonic() + seconds
        self.failed: list[str] = []
        self.left_out: list[str] = []
        lines = out.read_text().splitlines() if out.exists() else []
        # The last line of a session that was cut off may be half a line.
        rows = [row for line in lines if (row := _whole(line)) is not None]
        self.done = {row["item"] for row in rows if "failed" not in row}
        out.write_text("".join(json.dumps(row) + "\n" for row in rows))

    @property
    def seconds_left(self) -> float:
        return self.end - time.monotonic()

    def measure(self, items: Iterable[tuple[str, float, Callable[[], Row]]]) -> None:
        for name, needed, step in items:
            if name in self.done:
                continue
            if self.seconds_left < needed:
                self.left_out.append(name)
                continue
            start = time.monotonic()
            try:
                row = step()
            except Exception as error:  # whatever it is, the items after it still have their minutes
                row = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
                self.failed.append(name)
            self._append({"item": name, **row, "took_s": round(time.monotonic() - start, 2)})

    def _append(self, row: Row) -> None:
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(json.dumps(row), flush=True)


def _whole(line: str) -> Row | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Everything that needs a CUDA device, in one call.")
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines, appended to")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--dry-run", action="store_true", help="every line of it on a CPU, in less than a minute")
    args = parser.parse_args()
    if args.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported
    # Not before the arguments are read: this takes seconds.
    from gpu_items import dry_scale, every_item, full_scale, ladder

    scale = dry_scale() if args.dry_run else full_scale()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    # A dry run may take what it takes: on a busy machine that is no fault.
    session = Session(args.out, seconds=float("inf") if args.dry_run else 60 * args.minutes)
    session.measure(every_item(scale))
    session.measure(ladder(scale, lambda: session.seconds_left))
    for word, names in (("failed", session.failed), ("no time left for", session.left_out)):
        if names:
            print(f"{word}: {', '.join(names)}", file=sys.stderr)
    sys.exit(1 if session.failed else 3 if session.left_out else 0)


if __name__ == "__main__":
    main()
