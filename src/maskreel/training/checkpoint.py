"""Checkpoints: everything from which a run goes on as if it had never stopped."""

import json
import logging
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskreel.config import ConfigError, from_dict, to_dict
from maskreel.errors import DataError, UsageError
from maskreel.files import check_sums, complete_folder, read_json, write_sums
from maskreel.models.folder import read_tensors
from maskreel.training.objective import Objective
from maskreel.training.optimizer import Optimizers

logger = logging.getLogger(__name__)

FORMAT = 1
FOLDER_NAME = re.compile(r"step-(\d{8,})")
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best validation so far."""

    ap: float
    step: int


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """State of the three random number generators that training code may draw from (torch's on CUDA as well)."""

    torch: str
    """Bytes in hexadecimal."""
    cuda: tuple[str, ...]
    numpy: tuple[int, ...]
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float
    python_version: int
    python: tuple[int, ...]
    python_gauss: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """What a checkpoint holds besides tensors."""

    format: int = FORMAT
    step: int
    """Optimizer steps done."""
    is_reported: bool = True
    """Whether the validation and the line of results.csv that the step asks for are done."""
    seconds: float
    """Time trained, over all resumptions."""
    sampler: dict[str, int]
    random: RandomState
    best: Best | None
    pending: dict[str, float]
    """Sums of the losses since the last row of results.csv."""
    pending_steps: int
    scale: float | None
    """Loss scale of fp16."""
    scale_age: int | None
    """Steps since the loss scale grew."""


def capture_random() -> RandomState:
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  the global generator is what is saved
    version, internal, python_gauss = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(
        torch=_to_hex(torch.get_rng_state()),
        cuda=tuple(_to_hex(state) for state in cuda),
        numpy=tuple(int(key) for key in keys),
        numpy_position=int(position),
        numpy_has_gauss=int(has_gauss),
        numpy_gauss=float(gauss),
        python_version=version,
        python=internal,
        python_gauss=python_gauss,
    )


def restore_random(state: RandomState) -> None:
    torch.set_rng_state(_from_hex(state.torch))
    if torch.cuda.is_available() and len(state.cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_from_hex(each) for each in state.cuda])
    keys = np.array(state.numpy, dtype=np.uint32)
    gauss = (state.numpy_position, state.numpy_has_gauss, state.numpy_gauss)
    np.random.set_state(("MT19937", keys, *gauss))  # noqa: NPY002
    random.setstate((state.python_version, state.python, state.python_gauss))


def seed_random(seed: int, rank: int = 0) -> None:
    """Start every generator; processes that train together draw different numbers."""
    torch.manual_seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)  # noqa: NPY002
    random.seed(seed + rank)


def save_checkpoint(
    run: Path, objective: Objective, optimizers: Optimizers, state: TrainingState, *, keep: int
) -> Path:
    """Write `checkpoints/step-XXXXXXXX` whole or not at all, and remove all but the `keep` newest."""
    folder = run / "checkpoints" / f"step-{state.step:08d}"
    # Two names may share storage (heads shared between layers), which the format refuses; copies do not.
    model = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in objective.state_by_name().items()}
    moments = {
        f"{name}.{key}": known[key].detach().cpu().contiguous()
        for name, parameter in objective.parameters_by_name()
        if (known := optimizers.state(parameter))
        for key in OPTIMIZER_STATE
    }
    with complete_folder(folder) as new:
        save_file(model, new / "model.safetensors", metadata={"format": "pt"})
        save_file(moments, new / "optimizer.safetensors", metadata={"format": "pt"})
        (new / "state.json").write_text(json.dumps(to_dict(state)) + "\n")
        write_sums(new)
    for _, old in _checkpoints(run)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


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


def load_checkpoint(folder: Path, objective: Objective, optimizers: Optimizers) -> TrainingState:
    """Fill the weights and the optimizers; the caller restores the sampler and, last of all, `random`."""
    raw = read_json(folder / "state.json")
    if raw.get("format") != FORMAT:
        raise DataError(
            f"{folder / 'state.json'}: format {raw.get('format')!r} is not {FORMAT}; "
            "the checkpoint was written by another version of Maskreel"
        )
    try:
        state = from_dict(TrainingState, raw)
    except ConfigError as error:
        raise DataError(f"{folder / 'state.json'}: {error}") from error
    model = read_tensors(folder / "model.safetensors")
    _require_same_shapes(objective.state_by_name(), model, folder / "model.safetensors")
    objective.load_state_by_name(model)
    _load_moments(objective, optimizers, read_tensors(folder / "optimizer.safetensors"), folder)
    return state


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
        on_device = [average.clone().to(parameter.device) for average in averages]
        optimizers.set_state(parameter, dict(zip(OPTIMIZER_STATE, (step.clone(), *on_device), strict=True)))
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


def _to_hex(state: Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _from_hex(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
