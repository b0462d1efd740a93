"""A command that fails in the way it is asked to."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from maskreel.errors import DataError, OptionError, PartialFailure, UsageError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.rate == 0.13:
            raise ValueError("thirteen")
        if self.rate > 1:
            raise OptionError(f"rate {self.rate} must be at most 1")


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Fail."""

    fault: Annotated[
        Literal["usage", "data", "partial", "interrupt", "library", "bug", "file", "invariant", "option", "none"],
        tyro.conf.Positional,
    ]
    """What to raise."""
    num_queries: int = 3
    limit: float | None = None
    size: tuple[int, int] = (1, 1)
    inner: Inner = Inner()
    quiet: bool = False
    json: str | None = None

    def __post_init__(self) -> None:
        if self.num_queries == 13:
            raise ValueError("thirteen")
        if self.num_queries < 1:
            raise OptionError(f"num_queries {self.num_queries} must be at least 1")


def run(args: Faulty) -> None:
    match args.fault:
        case "usage":
            raise UsageError("out.txt: a file of that name exists")
        case "data":
            raise DataError("a.json: two\nlines")
        case "partial":
            raise PartialFailure("1 of 2 videos failed")
        case "interrupt":
            raise KeyboardInterrupt("interrupted after step 3")
        case "library":
            np.zeros(3) + np.zeros(4)
        case "bug":
            raise RuntimeError("the impossible")
        case "invariant":
            raise ValueError("three maps for four levels")
        case "option":
            raise OptionError("sampling backend 'gpu' is unknown; choose cpu")
        case "file":
            Path("/no/such/file").read_text()
        case "none":
            sys.stdout.write(repr(args))
