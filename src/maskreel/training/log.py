"""What a run tells while it goes on: `results.csv`, and a progress bar or plain lines."""

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from maskreel.errors import DataError
from maskreel.files import complete_file

METRICS = ("AP", "AP50", "AP75", "AR1", "AR10")
"""Metrics of a validation that stand in `results.csv`."""
EMA = "ema_"
"""Before the name of a metric of the averaged weights."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of `results.csv`: means over the steps since the line before."""

    step: int
    epoch: float
    time: float
    """Seconds trained."""
    losses: Mapping[str, float]
    metrics: Mapping[str, float | None] | None = None
    """Fractions; None where no validation took place, or the figure cannot be measured."""
    learning_rate: float
    has_average: bool = False
    """Whether averaged weights are measured, too, under names that begin with `EMA`."""


class ResultsTable:
    """`results.csv` of a run, complete after every line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, row: Row) -> None:
        metrics = row.metrics or {}
        values = {
            "step": row.step,
            "epoch": f"{row.epoch:.4f}",
            "time": f"{row.time:.1f}",
            **{f"loss/{name}": f"{value:.6g}" for name, value in row.losses.items()},
            **{f"metrics/{name}": _shown(metrics.get(name)) for name in METRICS},
            **{f"metrics/{EMA}{name}": _shown(metrics.get(EMA + name)) for name in METRICS if row.has_average},
            "learning_rate": f"{row.learning_rate:.6g}",
        }
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(values))
            if is_new:
                writer.writeheader()
            writer.writerow(values)

    def read(self) -> list[dict[str, str]]:
        """Lines as text by column; empty before the first line."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will do again."""
        lines = self.read()
        try:
            kept = [line for line in lines if int(line["step"]) <= step]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.path}: not the table of a run ({error}); move it away to resume") from error
        if not kept:
            self.path.unlink(missing_ok=True)
        elif len(kept) < len(lines):
            with complete_file(self.path) as new, new.open("w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(kept[0]))
                writer.writeheader()
                writer.writerows(kept)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


class TrainingDisplay:
    """A progress bar on a terminal, one line per row of the table elsewhere, nothing when quiet."""

    def __init__(self, *, total: int, done: int, quiet: bool = False, console: Console | None = None) -> None:
        self._console = console or Console(quiet=quiet, soft_wrap=True)
        self._total = total
        self._first = done
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=total, completed=done, loss="")

    def __enter__(self) -> "TrainingDisplay":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, step: int, loss: float) -> None:
        self._bar.update(self._task, completed=step, loss=f"loss {loss:.3f}")

    def row(self, row: Row) -> None:
        """Tell a line of the table; on a terminal only validations, which the bar does not show."""
        measured = (
            ""
            if row.metrics is None
            else "".join(
                f"  {name} {100 * value:.1f}" for name in METRICS if (value := row.metrics.get(name)) is not None
            )
        )
        if self._bar.disable or measured:
            pace = (time.monotonic() - self._start) / max(1, row.step - self._first)
            self.say(
                f"step {row.step}/{self._total}  epoch {row.epoch:.2f}  loss {row.losses.get('total', 0.0):.3f}  "
                f"{pace:.2f} s/step  {_clock(pace * (self._total - row.step))} left{measured}"
            )

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
