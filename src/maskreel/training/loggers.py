"""Where a run tells its figures beside `results.csv`: TensorBoard, or whatever follows `RunLogger`.

`results.csv` is always written: a resumed run and its pictures read it.
"""

import json
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

from maskreel.config import suggestion, to_dict
from maskreel.errors import OptionError
from maskreel.training.log import Row
from maskreel.training.recipe import Recipe

CSV = "csv"


@runtime_checkable
class RunLogger(Protocol):
    """Somebody who is told of a run; only the first of several processes tells."""

    def begin(self, folder: Path, recipe: Recipe, *, step: int) -> None:
        """The run in `folder` begins, or goes on after `step`: what was told of later steps comes again."""
        ...

    def row(self, row: Row) -> None:
        """A line of `results.csv`."""
        ...

    def close(self) -> None:
        """The run ends or is interrupted."""
        ...


class TensorBoard:
    """Scalars for TensorBoard in the folder `tensorboard` of the run; needs the extra `track`."""

    def begin(self, folder: Path, recipe: Recipe, *, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        if not step:
            self._writer.add_text("recipe", f"```json\n{json.dumps(to_dict(recipe), indent=1)}\n```", 0)

    def row(self, row: Row) -> None:
        figures = {f"loss/{name}": value for name, value in row.losses.items()}
        figures |= {f"metrics/{name}": value for name, value in (row.metrics or {}).items() if value is not None}
        figures |= {"learning_rate": row.learning_rate, "epoch": row.epoch}
        for name, value in figures.items():
            self._writer.add_scalar(name, value, row.step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


LOGGERS: dict[str, tuple[Callable[[], RunLogger], str]] = {"tensorboard": (TensorBoard, "tensorboard")}
"""By the word that is typed: who makes one, and the package that it needs."""


def named_loggers(words: str) -> list[RunLogger]:
    """Those of a comma-separated list; OptionError, about "log", for an unknown one and a package that is missing."""
    chosen = dict.fromkeys(filter(None, (word.strip() for word in words.split(","))))
    for word in chosen:
        if word != CSV and word not in LOGGERS:
            known = (CSV, *LOGGERS)
            raise OptionError(f"log {word!r}: {suggestion(word, known, 'choose from ' + ', '.join(known))}")
        if word != CSV and find_spec(LOGGERS[word][1]) is None:
            raise OptionError(f"log {word!r}: the package {LOGGERS[word][1]} is missing; pip install 'maskreel[track]'")
    return [LOGGERS[word][0]() for word in chosen if word != CSV]


class Loggers:
    """Several as one; as a context, it closes them."""

    def __init__(self, loggers: Sequence[RunLogger], folder: Path, recipe: Recipe, *, step: int) -> None:
        self._loggers = loggers
        for logger in loggers:
            logger.begin(folder, recipe, step=step)

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, *failure: object) -> None:
        for logger in self._loggers:
            logger.close()

    def row(self, row: Row) -> None:
        for logger in self._loggers:
            logger.row(row)
