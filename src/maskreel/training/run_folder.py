"""The folder of a run: what was asked for, on which data, by which software."""

import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import maskreel
from maskreel.config import ConfigError, from_dict, to_dict
from maskreel.data.config import DataConfig
from maskreel.data.joint import JointSets
from maskreel.errors import DataError, UsageError
from maskreel.files import UNFINISHED, numbered_folder, read_json, remove_unfinished, write_json
from maskreel.models.folder import save_model
from maskreel.training.recipe import Recipe, in_todays_places
from maskreel.training.run_data import RunData

REPORTED_PACKAGES = ("maskreel", "torch", "numpy", "scipy", "numba", "pillow", "av", "safetensors")


def new_run_folder(out: Path | None, name: str) -> Path:
    """Make the folder of a new run: `out`, or runs/train/NAME, then NAME-2 and so on.

    `out` must be empty but for files that a killed process was still writing.
    """
    if out is None:
        return numbered_folder(Path("runs") / "train" / name)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: a file of that name exists; choose another --out")
    if out.is_dir() and not all(UNFINISHED.fullmatch(entry.name) for entry in out.iterdir()):
        raise UsageError(f"{out}: the folder is not empty; choose another --out, or go on with --resume {out}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    return out


def write_recipe(folder: Path, recipe: Recipe) -> None:
    write_json(folder / "config.json", to_dict(recipe))


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a run; UsageError when the folder is not one, DataError when its `config.json` does not fit."""
    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(f"{folder}: not the folder of a run (it has no config.json)")
    try:
        return from_dict(Recipe, in_todays_places(read_json(path)))
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def describe_run(folder: Path, recipe: Recipe, data: RunData, device: torch.device) -> None:
    """Write what is run, on what and by what; what a killed process left unfinished is removed."""
    for place in (folder, folder / "checkpoints", folder / "weights"):
        remove_unfinished(place)
    write_recipe(folder, recipe)
    write_environment(folder, device)
    write_dataset(folder, recipe.data, data)


def write_weights(folder: Path, model: nn.Module, recipe: Recipe, classes: tuple[tuple[int, str], ...]) -> None:
    """A model folder of the model as it is now, to be used as it is evaluated in training."""
    inference = to_dict(recipe.evaluation.predictor)
    save_model(folder, model, recipe.model, classes, inference=inference, trained_frames=recipe.data.num_frames)


def write_dataset(folder: Path, config: DataConfig, data: RunData) -> None:
    """What the data was: counts and the hash of the annotation file per split; of joint sets also the union of classes.

    The union gives each class its id in every set: `root` first, then the sets of `joint` in their order.
    """
    training, validation = data.training, data.validation
    own, *further = training.sets if isinstance(training, JointSets) else (training,)
    splits = {config.train_split: own} | ({} if validation is None else {config.valid_split: validation})
    content: dict[str, Any] = {
        "root": str(config.root),
        "splits": {name: asdict(dataset.fingerprint()) for name, dataset in splits.items()},
    }
    if isinstance(training, JointSets):
        pairs = zip(config.joint or (), further, strict=True)
        content["joint"] = [{"root": str(place), **asdict(dataset.fingerprint())} for place, dataset in pairs]
        content["classes"] = training.classes_to_json()
    write_json(folder / "dataset.json", content)


def write_environment(folder: Path, device: torch.device) -> None:
    """Versions, machine and state of the source tree."""
    write_json(
        folder / "environment.json",
        {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor_threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "cuda": torch.version.cuda if device.type == "cuda" else None,
            "packages": {name: _version(name) for name in REPORTED_PACKAGES},
            "git": _git_state(),
        },
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Commit of the source tree that this package runs from, and whether it was changed; None outside a clone."""
    source = Path(maskreel.__file__ or ".").resolve().parent
    if not (source.parents[1] / ".git").exists():
        return None
    try:
        commit = _git(source, "rev-parse", "HEAD")
        is_changed = bool(_git(source, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "is_changed": is_changed}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
