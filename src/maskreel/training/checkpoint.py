"""Checkpoints: everything from which a run goes on as if it had never stopped."""

import json
import logging
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from maskreel.config import ConfigError, from_dict, to_dict
from maskreel.data.loading import ClipLoader
from maskreel.errors import DataError, UsageError
from maskreel.files import check_sums, complete_folder, read_json, write_sums
from maskreel.models.folder import read_tensors, write_tensors
from maskreel.models.moved import renamed
from maskreel.training.objective import Objective
from maskreel.training.optimizer import Optimizers
from maskreel.training.progress import Best, LossMeans, Progress
from maskreel.training.random_state import RandomState, capture_random
from maskreel.training.step import Learner

logger = logging.getLogger(__name__)

FORMAT = 2
"""Format 1 differs by names of tensors alone (`models/moved.py`)."""
FOLDER_NAME = re.compile(r"step-(\d{8,})")
AVERAGE = "ema.safetensors"
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What a checkpoint holds besides tensors; `Progress` says what its own fields mean."""

    format: int = FORMAT
    step: int
    is_reported: bool = True
    seconds: float
    sampler: dict[str, int]
    random: RandomState
    others: tuple[RandomState, ...] = ()
    """Random states of the other processes, by rank from 1 on."""
    best: Best | None
    best_average: Best | None = None
    pending: dict[str, float]
    """Sums of the losses since the last row of results.csv."""
    pending_steps: int
    scale: float | None
    """Loss scale of fp16."""
    scale_age: int | None
    """Steps since the loss scale grew."""


def save_checkpoint(
    run: Path,
    learner: Learner,
    loader: ClipLoader,
    progress: Progress,
    *,
    keep: int,
    others: Sequence[RandomState] = (),
) -> Path:
    """Write `checkpoints/step-XXXXXXXX` whole or not at all, and remove all but the `keep` newest.

    `others` are the random states of the other processes.
    """
    folder = run / "checkpoints" / f"step-{progress.step:08d}"
    objective, optimizers = learner.objective, learner.optimizers
    # Two names may share storage (heads shared between layers), which the format refuses; copies do not.
    model = _copies(objective.state_by_name())
    moments = {
        f"{name}.{key}": known[key].detach().cpu().contiguous()
        for name, parameter in objective.parameters_by_name()
        if (known := optimizers.state(parameter))
        for key in OPTIMIZER_STATE
    }
    state = replace(_training_state(learner, loader, progress), others=tuple(others))
    with complete_folder(folder) as new:
        write_tensors(model, new / "model.safetensors", metadata={"format": "pt"})
        write_tensors(moments, new / "optimizer.safetensors", metadata={"format": "pt"})
        if learner.average is not None:
            write_tensors(_copies(learner.average.state), new / AVERAGE, metadata={"format": "pt"})
        (new / "state.json").write_text(json.dumps(to_dict(state)) + "\n")
        write_sums(new)
    for _, old in _checkpoints(run)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def load_checkpoint(folder: Path, learner: Learner, loader: ClipLoader) -> tuple[Progress, tuple[RandomState, ...]]:
    """Fill the learner and put the loader in its place; the caller restores the random state, last of all.

    There is one for every process that trained. Averaged weights begin with the model's where the checkpoint has none.

    Raises DataError when the checkpoint is of another version or another model, ValueError when it is of other data.
    """
    state = _read_state(folder / "state.json")
    model, moments = (read_tensors(folder / f"{part}.safetensors") for part in ("model", "optimizer"))
    if state.format == 1:
        model, moments = renamed(model), renamed(moments)
    _require_same_shapes(learner.objective.state_by_name(), model, folder / "model.safetensors")
    learner.objective.load_state_by_name(model)
    _load_moments(learner.objective, learner.optimizers, moments, folder)
    if learner.average is not None:
        own = learner.objective.model.state_dict()
        stored = read_tensors(folder / AVERAGE) if (folder / AVERAGE).is_file() else own
        _require_same_shapes(own, stored, folder / AVERAGE)
        learner.average.state = {name: stored[name].detach().clone().to(own[name].device) for name in own}
    loader.load_state_dict(state.sampler)
    if learner.scaler.is_enabled() and state.scale is not None:
        fresh = learner.scaler.state_dict()
        learner.scaler.load_state_dict({**fresh, "scale": state.scale, "_growth_tracker": state.scale_age or 0})
    progress = Progress(
        step=state.step,
        is_reported=state.is_reported,
        seconds=state.seconds,
        best=state.best,
        best_average=state.best_average,
        means=LossMeans(sums=dict(state.pending), steps=state.pending_steps),
    )
    return progress, (state.random, *state.others)


def has_checkpoints(run: Path) -> bool:
    """Whether a run has come to its first checkpoint, whole or damaged."""
    return bool(_checkpoints(run))


def newest_checkpoint(run: Path) -> Path:
    """The newest checkpoint whose sums agree; a damaged one is passed over with a warning.

    Raises UsageError when the run has none at all, DataError when every one is damaged.
    """
    found = _checkpoints(run)
    for _, folder in found:
        try:
            check_sums(folder)
        except DataError as error:
            logger.warning("passing over a damaged checkpoint: %s", error)
        else:
            return folder
    if found:
        raise DataError(f"{run / 'checkpoints'}: every checkpoint is damaged; start the run again")
    raise UsageError(
        f"{run}: no checkpoint to resume from; give the folder of a run, such as runs/train/seqformer-tiny"
    )


def _training_state(learner: Learner, loader: ClipLoader, progress: Progress) -> TrainingState:
    scaler = learner.scaler.state_dict()
    return TrainingState(
        step=progress.step,
        is_reported=progress.is_reported,
        seconds=progress.seconds,
        sampler=loader.state_dict(),
        random=capture_random(),
        best=progress.best,
        best_average=progress.best_average,
        pending=dict(progress.means.sums),
        pending_steps=progress.means.steps,
        scale=scaler.get("scale"),
        scale_age=scaler.get("_growth_tracker"),
    )


def _read_state(path: Path) -> TrainingState:
    raw = read_json(path)
    if raw.get("format") not in (1, FORMAT):
        raise DataError(
            f"{path}: format {raw.get('format')!r} is not {FORMAT}; "
            "the checkpoint was written by another version of Maskreel"
        )
    try:
        return from_dict(TrainingState, raw)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def _load_moments(objective: Objective, optimizers: Optimizers, moments: dict[str, Tensor], folder: Path) -> None:
    used = set()
    for name, parameter in objective.parameters_by_name():
        keys = [f"{name}.{key}" for key in OPTIMIZER_STATE]
        if not all(key in moments for key in keys):
            continue
        used.update(keys)
        step, *averages = (moments[key] for key in keys)
        if any(average.shape != parameter.shape for average in averages):
            raise DataError(f"{folder / 'optimizer.safetensors'}: {name} has another shape than in the model")
        on_device = [one.clone().to(parameter.device) for one in (step, *averages)]
        optimizers.set_state(parameter, dict(zip(OPTIMIZER_STATE, on_device, strict=True)))
    if left := sorted(set(moments) - used):
        raise DataError(f"{folder / 'optimizer.safetensors'}: {left[0]} belongs to no parameter of the model")


def _require_same_shapes(own: dict[str, Tensor], stored: dict[str, Tensor], path: Path) -> None:
    different = sorted(
        name
        for name in own.keys() | stored.keys()
        if name not in own or name not in stored or own[name].shape != stored[name].shape
    )
    if different:
        raise DataError(
            f"{path}: {len(different)} tensors do not fit the model of the run's config.json, such as {different[0]}"
        )


def _checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints, newest first. A half-written one has another name and is never seen."""
    found = []
    for path in (run / "checkpoints").glob("step-*"):
        if match := FOLDER_NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)
