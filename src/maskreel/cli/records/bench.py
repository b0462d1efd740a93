"""What can be typed after bench.

These modules import nothing heavy, so that help and mistyped options are answered at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from maskreel.cli.records.overwrite import Overwrite
from maskreel.runtimes.precision import PrecisionChoice

Checkpointing = Literal["none", "layers", "stages"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Time the sampling primitive and the bundled model on this machine, with a record of the machine.

    `maskreel bench sampling` and `maskreel bench model NAME` measure one of them, with more options.
    """

    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Quiet samples wanted of everything; at most twice as many are taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class BenchSampling:
    """Time deformable sampling, forward and with backward, beside the published grid_sample forms.

    5 frames of 360x640; encoder (all 24,100 cells are queries), decoder (300 queries a frame), neighbour frames,
    space-time. Both sides take turns in this process, whose allocator is tuned as for every command.
    """

    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Quiet samples wanted of each side; at most twice as many are taken."""
    floor: bool = False
    """Also set forward passes against a floor: the bytes of the rows that all corners of all points read, over the
    bandwidth of a copy within the caches, measured in this run."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """Time a model on a clip: the network alone, with post-processing, and end to end from a video file.

    A recipe's model has random weights: what it costs to turn their masks, which are noise, into codes is more than
    those of a trained model cost.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """A recipe (see maskreel recipes), a run folder, a model folder, or the word bundled."""
    frames: int = 5
    """Frames of the clip."""
    short_side: int | None = None
    """Shortest side in pixels that the network is shown; default as the model was evaluated, else 360."""
    precision: PrecisionChoice = "float32"
    """Number format of the network; auto: as predict would choose."""
    video: Path | None = None
    """Video for the end-to-end times; default a rendered one of 360x640 and as many frames as the clip."""
    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Quiet samples wanted of each stage; at most twice as many are taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""


@dataclass(frozen=True, kw_only=True)
class BenchTrain:
    """Time a step of training and what it consists of: waiting for data, network, matching, losses, backward,
    optimizer; and its peak memory.

    Steps are those that `maskreel train` would take, from fresh weights; nothing is written but the report.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """A recipe (see maskreel recipes)."""
    data: Path | None = None
    """Folder of a data set to train on; default eight rendered videos."""
    size: tuple[int, int] | None = None
    """Rows and columns of the rendered videos, whose clips are then trained on as they are; default the size that the
    recipe is evaluated at, with clips augmented as in training."""
    batch_size: int | None = None
    """Clips per batch; default the recipe's. A step is one batch here, whatever the recipe accumulates."""
    workers: int | None = None
    """Processes that read ahead; 0 shows what reading costs. Default the recipe's."""
    checkpointing: Checkpointing = "none"
    """As --training.checkpointing of train."""
    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Quiet steps wanted; at most twice as many are taken."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    overwrite: Overwrite = False
    json: str | None = None
    """Also write the figures with a record of the machine as JSON here; without a path, JSON alone on stdout."""
