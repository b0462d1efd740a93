"""The switch that all commands share that write files."""

from typing import Annotated

import tyro

Overwrite = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="Also replace files that are not as maskreel wrote them; never one that is read."),
]
