"""What can be typed after inspect.

This module imports nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.cli.records.rate import Rate


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Look into one model, or into two side by side, while they look at a video.

    Writes token.png, what the encoder's token at a place reads; object.png, what the decoder's queries of the object
    there read; features.png, the encoder's finest map; queries.png, the queries of all objects in the plane; and beside
    each the numbers that it was drawn from.
    """

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN_B] VIDEO")]
    """One model or two (run folders, model folders, or the word bundled), then a video file or folder of frames."""
    at: str | None = None
    """The place: FRAME,X,Y, frames counted from 0, X and Y in pixels; default the middle of the best object."""
    layer: int | None = None
    """Layer of encoder and decoder that is looked at, counted from 1; default the last."""
    level: int = 0
    """Level of the encoder's token, 0 the finest."""
    clip_frames: int | None = None
    """Frames that are shown at once, with FRAME in the middle; default as many as the first model takes in predict."""
    columns: int = 5
    """Frames on a sheet."""
    every: int = 1
    """Columns are every so many frames, FRAME in the middle."""
    min_score: float | None = None
    """Leave out objects below this score; default as in predict."""
    short_side: int | None = None
    """Shortest side in pixels that the network is shown; default as the model was evaluated."""
    frame_rate: Rate = 10.0
    """Frames per second of folders and patterns of pictures, which know no time."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    out: Path | None = None
    """Folder for the pictures; default runs/inspect/VIDEO, then VIDEO-2 and so on."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write place, objects and names of the files as JSON here; without a path, JSON alone on stdout."""
