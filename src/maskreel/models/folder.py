"""Model folders: `config.json`, `model.safetensors` and `sums.json`, written whole or not at all, checked on load.

Folders of format 1, from before the configs were nested, are read as well.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from maskreel.config import from_dict, to_dict
from maskreel.device import without_values
from maskreel.errors import DataError, UsageError
from maskreel.files import check_sums, complete_folder, model_places, read_json, write_sums
from maskreel.models.catalog import CATALOG, ModelConfig
from maskreel.models.moved import moved, renamed

BUNDLED = "bundled"
"""The word for the weights that come with the package."""
BUNDLED_MODELS = {f"bundled-{kind.replace('_', '-')}": f"{kind.replace('_', '-')}-tiny" for kind in CATALOG}
"""Words for the weights of every model's small recipe, and the recipes; all but SeqFormer's lie in a clone alone."""
FORMAT = 2
PUBLISHED_FRAMES = 5
"""Of the training clips of SeqFormer and the models that grew from it."""
GRAPHS = "graphs.json"
"""What the graphs of an exported folder are."""
UNUSED = "unused.safetensors"
"""What the checkpoint that a model was converted from holds beyond it."""
MODEL_FILES = ("config.json", "model.safetensors", UNUSED, "sums.json")
"""All that may be in a model folder."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in evaluation mode with what is needed to use it."""

    model: nn.Module
    config: ModelConfig
    classes: tuple[tuple[int, str], ...]
    """(category id of the data, name) per class index."""
    inference: dict[str, Any]
    """How the model was evaluated when it was saved, such as `short_side`; empty when unknown."""
    trained_frames: int
    """Frames of the clips that it was trained on; where nobody noted it, what its kind was published with."""


@dataclass(frozen=True, kw_only=True)
class SavedClass:
    """A class as `config.json` lists it, at the position of its index."""

    id: int
    """Category id of the data."""
    name: str


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What `config.json` says, checked."""

    format: int
    config: ModelConfig
    classes: tuple[tuple[int, str], ...]
    inference: dict[str, Any]
    trained_frames: int


def build_model(config: ModelConfig) -> nn.Module:
    return CATALOG[config.kind].model(config)


def build_criterion(config: ModelConfig) -> nn.Module:
    return CATALOG[config.kind].criterion(config)


def save_model(
    folder: Path,
    model: nn.Module,
    config: ModelConfig,
    classes: Iterable[tuple[int, str]],
    *,
    inference: Mapping[str, Any] | None = None,
    trained_frames: int | None = None,
    dtype: torch.dtype | None = None,
    unused: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model folder; an older one of the same name is replaced only when the new one is complete.

    `dtype` casts floating-point tensors, to halve the file. `unused` is what a foreign checkpoint holds beyond the
    model, by its names there; it goes into a file of its own, from which the checkpoint can be written again.
    `trained_frames` is the length of the clips that the model was trained on, where that is known.
    """
    description = _description(folder, config, tuple(classes), inference or {}, trained_frames)
    write_model_folder(folder, description, model, dtype=dtype, unused=unused or {})


def write_description(folder: Path, loaded: LoadedModel, inference: Mapping[str, Any]) -> None:
    """The `config.json` of a model folder for a model that came from another."""
    description = _description(folder, loaded.config, loaded.classes, inference, loaded.trained_frames)
    (folder / "config.json").write_text(json.dumps(description, indent=1) + "\n")


def _description(
    folder: Path,
    config: ModelConfig,
    classes: tuple[tuple[int, str], ...],
    inference: Mapping[str, Any],
    trained_frames: int | None,
) -> dict[str, Any]:
    if len(classes) != config.num_classes:
        raise ValueError(f"{folder}: {len(classes)} class names for a model of {config.num_classes} classes")
    return {
        "format": FORMAT,
        "model": to_dict(config),
        "classes": [{"id": number, "name": name} for number, name in classes],
        "inference": dict(inference),
        **({} if trained_frames is None else {"trained_frames": trained_frames}),
    }


def write_model_folder(
    folder: Path,
    description: Mapping[str, Any],
    module: nn.Module,
    *,
    dtype: torch.dtype | None = None,
    unused: Mapping[str, Tensor],
) -> None:
    """Write the files of a model folder: the description, the tensors of a module, and the sums of both."""
    state = {name: _stored(tensor, dtype) for name, tensor in module.state_dict().items()}
    with complete_folder(folder) as new:
        (new / "config.json").write_text(json.dumps(description, indent=1) + "\n")
        write_tensors(state, new / "model.safetensors", metadata={"format": "pt"})
        if unused:
            write_tensors({name: _stored(tensor, None) for name, tensor in unused.items()}, new / UNUSED)
        write_sums(new)


def read_unused(folder: Path) -> dict[str, Tensor]:
    """What the checkpoint that a model folder was converted from holds beyond the model; empty for all other models."""
    return read_tensors(folder / UNUSED) if (folder / UNUSED).is_file() else {}


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def load_model(run: str | Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Build the very model that was saved. `run` is a run folder, a model folder, "bundled" or "bundled-MODEL".

    Raises UsageError when there is no such folder, DataError when its content is damaged or is another model's.
    """
    folder = model_folder(run)
    if is_exported(folder):
        raise DataError(
            f"{folder}: holds exported graphs, which can be run and nothing else; name the model that they came from"
        )
    check_sums(folder, required=("config.json", "model.safetensors"))
    description = read_description(folder)
    with without_values():
        model = build_model(description.config)
    tensors = read_tensors(folder / "model.safetensors")
    load_state(model, renamed(tensors) if description.format == 1 else tensors, folder / "model.safetensors")
    return LoadedModel(
        model=model.to(device).eval(),
        config=description.config,
        classes=description.classes,
        inference=description.inference,
        trained_frames=description.trained_frames,
    )


def read_description(folder: Path) -> ModelDescription:
    """The `config.json` of a model folder; DataError for what cannot be understood."""
    path = folder / "config.json"
    written = read_json(path)
    number = written.get("format")
    if number not in (1, FORMAT):
        raise DataError(
            f"{path}: format {number!r} is not {FORMAT}; the folder was written by another version of Maskreel"
        )
    model = written.get("model")
    config = from_dict(ModelConfig, moved(model) if number == 1 else model, f"{path}: model")
    classes = from_dict(tuple[SavedClass, ...], written.get("classes"), f"{path}: classes")
    if len(classes) != config.num_classes:
        raise DataError(f"{path}: lists {len(classes)} classes for a model of {config.num_classes} classes")
    inference = written.get("inference", {})
    if not isinstance(inference, dict):
        raise DataError(f"{path}: inference: expected an object, got {inference!r}")
    trained_frames = written.get("trained_frames", published_frames(config))
    if type(trained_frames) is not int or trained_frames < 1:
        raise DataError(f"{path}: trained_frames: expected a number of frames from 1 on, got {trained_frames!r}")
    return ModelDescription(
        format=number,
        config=config,
        classes=tuple((entry.id, entry.name) for entry in classes),
        inference=inference,
        trained_frames=trained_frames,
    )


def published_frames(config: ModelConfig) -> int:
    """Frames of a training clip as published: as many as the query table knows, five where there is none."""
    return getattr(config.queries, "frames", PUBLISHED_FRAMES)


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Fill every tensor of a model; anything missing, left over or of another shape is a DataError."""
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or unknown or wrong:
        details = [
            f"{len(names)} tensors {what}, such as {names[0]}"
            for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", wrong))
            if names
        ]
        raise DataError(f"{path}: these weights belong to another model ({'; '.join(details)})")
    model.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()})


def model_folder(run: str | Path) -> Path:
    """The folder that holds the weights that `run` names."""
    if is_bundled(run):
        return _bundled_folder(str(run))
    run = Path(run)
    for folder in model_places(run):
        if (folder / "config.json").is_file() and ((folder / "model.safetensors").is_file() or is_exported(folder)):
            return folder
    if not run.exists():
        raise UsageError(f"{run}: no such folder; give a run folder, a model folder, or the word {BUNDLED!r}")
    raise UsageError(f"{run}: neither a run folder nor a model folder (no config.json with model.safetensors in it)")


def is_bundled(run: str | Path) -> bool:
    """Whether `run` is a word for weights of ours, not a path."""
    return str(run) == BUNDLED or str(run) in BUNDLED_MODELS


def _bundled_folder(word: str) -> Path:
    """In the package, or in `weights/` of the clone that the package stands in; UsageError names what makes them."""
    package = Path(str(files("maskreel")))
    recipe = BUNDLED_MODELS.get(word, "seqformer-tiny")
    for folder in (package / "weights" / recipe, package.parents[1] / "weights" / recipe):
        if (folder / "config.json").is_file():
            return folder
    raise UsageError(
        f"{word}: its weights are not in this installation; make them in a clone with: maskreel train {recipe} "
        f"--data.root DATA --out weights/{recipe}"
    )


def is_exported(folder: Path) -> bool:
    """Whether a model folder holds graphs for other runtimes, which `runtimes/` reads, in place of tensors."""
    return (folder / GRAPHS).is_file()


def write_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """A safetensors file; OSError where the system cannot write it, of which its library makes an error of its own."""
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; a damaged file is a DataError."""
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing") from error
    except Exception as error:  # safetensors raises its own type, not exported in every version
        raise DataError(f"{path}: not a readable safetensors file ({error})") from error
