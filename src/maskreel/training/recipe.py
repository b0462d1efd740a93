"""A recipe: everything that decides the outcome of a training run, as one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from maskreel.config import in_new_places
from maskreel.data import config as data
from maskreel.data.config import DataConfig
from maskreel.errors import OptionError
from maskreel.evaluation import options as evaluation
from maskreel.evaluation.options import EvaluationConfig
from maskreel.models import moved as models
from maskreel.models.catalog import ModelConfig

Arithmetic = Literal["float32", "bf16", "fp16"]
Checkpointing = Literal["none", "layers", "stages"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how fast to learn, and what to write on the way. Defaults are those published for SeqFormer."""

    steps: int = 46_000
    """Optimizer steps."""
    accumulate: int = 1
    """Batches per optimizer step; the gradient is their mean. Several processes share them out, see data.batch_size."""
    learning_rate: float = 2e-4
    backbone_factor: float = 0.1
    """Learning rate of the backbone, relative to `learning_rate`."""
    sampling_factor: float = 0.1
    """Learning rate of reference points and sampling offsets, relative to `learning_rate`."""
    weight_decay: float = 1e-4
    schedule: Literal["step", "cosine"] = "step"
    """After the warm-up: a tenth at every drop, or half a cosine down to zero."""
    drops: tuple[int, ...] = ()
    """Steps after which the learning rate is multiplied by 0.1 (schedule step)."""
    warmup: int = 0
    """Steps of linear warm-up."""
    cells: float = 0.0
    """Weight of a further loss: every cell of the coarsest map of a frame names the object in it. For backbones that
    learn from nothing; 0 leaves it out."""
    clip_norm: float = 0.1
    """Largest norm of the gradient of all parameters together; 0 switches clipping off."""
    precision: Arithmetic = "float32"
    """Arithmetic of the forward pass; weights stay float32. fp16 needs CUDA."""
    checkpointing: Checkpointing = "none"
    """What is computed again in the backward pass instead of being kept, for less memory and more time: every layer of
    backbone and transformer, or the backbone's stages alone."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, such as 0.999; it is measured at every validation
    (`metrics/ema_AP` ...) and stands beside the weights (`weights/ema-last`, `weights/ema-best`)."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..., or auto: CUDA where there is one."""
    seed: int = 0
    log_every: int = 20
    """Steps between rows of results.csv."""
    validate_every: int = 5000
    """Steps between validations; the last step always validates. 0 never validates."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; the last step always writes one."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay on disk."""

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "log_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} {getattr(self, name)} must be at least 1")
        rates = ("learning_rate", "backbone_factor", "sampling_factor", "weight_decay", "warmup", "cells", "clip_norm")
        for name in rates:
            if getattr(self, name) < 0:
                raise OptionError(f"{name} {getattr(self, name)} must not be negative")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise OptionError(f"ema {self.ema} must be at least 0 and below 1, such as 0.999")
        if self.validate_every < 0:
            raise OptionError(f"validate_every {self.validate_every} must not be negative; 0 never validates")
        if self.schedule == "cosine" and self.drops:
            raise OptionError(f"drops {self.drops} belong to schedule step, not to cosine")


@dataclass(frozen=True, kw_only=True)
class SingleFrames:
    """A first stage on single frames, at a constant learning rate; clips then start from its weights.

    Queries that look at a whole clip part late when they learn from nothing; on single frames they part sooner.
    """

    kind: Literal["single_frames"] = "single_frames"
    steps: int = 1800
    """Optimizer steps; 0 leaves the stage out."""
    batch_size: int = 16
    """Frames per step."""
    learning_rate: float = 1e-3
    warmup: int = 200
    """Steps of linear warm-up."""
    cells: float = 0.0
    """As `training.cells`, of this stage."""
    heads: Literal["own", "mlp"] = "own"
    """`mlp` gives TT-SPN VisTR's heads in this stage, as the weights of DETR have that its paper starts from."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"batch_size {self.batch_size} must be at least 1")
        for name in ("steps", "learning_rate", "warmup", "cells"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} {getattr(self, name)} must not be negative")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run: model, data, training, evaluation."""

    name: str
    """As typed after `maskreel train`."""
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    first: SingleFrames | None = None
    """What is learnt before, from which the run starts."""


def moved_options(kind: str) -> dict[str, str]:
    """Old path to new path of every option of a recipe that has moved, for one kind of model."""
    tables = {"model": models.MOVED.get(kind, {}), "evaluation": evaluation.MOVED, "data": data.MOVED}
    return {f"{part}.{old}": f"{part}.{new}" for part, table in tables.items() for old, new in table.items()}


def in_todays_places(description: Any) -> Any:
    """A recipe as `config.json` holds it, with options that have moved where they stand today; nothing is checked."""
    model = description.get("model") if isinstance(description, Mapping) else None
    kind = model.get("kind") if isinstance(model, Mapping) else None
    description = in_new_places(description, moved_options(str(kind)))
    if isinstance(description, dict) and isinstance(description.get("data"), dict):
        description["data"] |= {"on_bad": "stop"} if description["data"].get("on_bad") == "error" else {}
    return description
