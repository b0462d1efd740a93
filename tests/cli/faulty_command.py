"""A command that fails in the way it is asked to."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from maskreel.errors import DataError, PartialFailure, UsageError


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """Fail."""

    fault: Annotated[
        Literal["usage", "data", "partial", "interrupt", "library", "bug", "file", "none"], tyro.conf.Positional
    ]
    num_queries: int = 3
    json: str | None = None


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
        case "file":
            Path("/no/such/file").read_text()
        case "none":
            sys.stdout.write(repr(args))
