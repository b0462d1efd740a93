"""A model folder as something that runs: a module, or its exported graphs."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskreel.config import from_dict
from maskreel.errors import DataError
from maskreel.files import check_sums, read_json
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import GRAPHS, is_exported, load_model, model_folder, read_description
from maskreel.runtimes import onnx, openvino, program
from maskreel.runtimes.description import GRAPH_NAMES, VERSION, Format, GraphDescription
from maskreel.runtimes.graphs import Graph, GraphRuntime, Graphs, check_graphs, longest_clip
from maskreel.runtimes.protocol import Runtime


@dataclass(frozen=True, kw_only=True)
class Opener:
    """How the graphs of one format are read."""

    endings: tuple[str, ...]
    """Of the files of a graph, the one that is opened first."""
    open: Callable[[Path], Graph]


OPENERS: dict[Format, Opener] = {
    "onnx": Opener(endings=(".onnx",), open=onnx.open_graph),
    "openvino": Opener(endings=(".xml", ".bin"), open=openvino.open_graph),
    "torch": Opener(endings=(".pt2",), open=program.open_graph),
}
"""By format."""


@dataclass(frozen=True, kw_only=True)
class RunnableModel:
    """What a predictor needs of a folder."""

    model: nn.Module | Runtime
    config: ModelConfig
    classes: tuple[tuple[int, str], ...]
    """(category id of the data, name) per class index."""
    inference: dict[str, Any]
    """How the model was evaluated when it was saved; empty when unknown."""
    trained_frames: int
    """Frames of the clips that it was trained on."""


def load_runnable(run: str | Path, device: str | torch.device = "cpu") -> RunnableModel:
    """What is in a run folder, a model folder, an exported one, or "bundled"; graphs compute on the CPU.

    Raises UsageError where there is no such folder or a package is not installed, DataError where what stands in it is
    damaged, contradicts itself or comes from a newer version.
    """
    folder = model_folder(run)
    if not is_exported(folder):
        loaded = load_model(run, device)
        return RunnableModel(
            model=loaded.model,
            config=loaded.config,
            classes=loaded.classes,
            inference=loaded.inference,
            trained_frames=loaded.trained_frames,
        )
    check_sums(folder, required=("config.json", GRAPHS))
    description = read_description(folder)
    return RunnableModel(
        model=open_runtime(folder, description.config),
        config=description.config,
        classes=description.classes,
        inference=description.inference,
        trained_frames=description.trained_frames,
    )


def open_runtime(folder: Path, config: ModelConfig) -> GraphRuntime:
    """The graphs of an exported folder, whose sums are right. Raises as `load_runnable` does."""
    path = folder / GRAPHS
    written = read_json(path)
    if written.get("version") != VERSION:
        raise DataError(
            f"{path}: version {written.get('version')!r} is not {VERSION}; the graphs were exported by another version "
            "of Maskreel, which is needed to run them"
        )
    description = from_dict(GraphDescription, written, str(path))
    opener = OPENERS[description.format]
    for name in GRAPH_NAMES:
        for ending in opener.endings:
            if not (folder / f"{name}{ending}").is_file():
                raise DataError(f"{path}: says {description.format}, but there is no {name}{ending} beside it")
    features, clip, masks = (opener.open(folder / f"{name}{opener.endings[0]}") for name in GRAPH_NAMES)
    opened = Graphs(features=features, clip=clip, masks=masks)
    check_graphs(opened, description, config, str(folder))
    return GraphRuntime(
        opened,
        description,
        fingerprint=hashlib.sha256((folder / "sums.json").read_bytes()).hexdigest()[:16],
        longest=longest_clip(config),
    )
