"""Graphs as `torch.export` programs."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskreel.errors import DataError
from maskreel.runtimes.graphs import Graph, Shape, first_line

NAMES = "names.json"
"""Extra file of a program: what goes in and comes out, by the names that all formats use."""


def open_graph(path: Path) -> Graph:
    """DataError where this version of PyTorch cannot read the program."""
    extra = {NAMES: ""}
    # It would write a traceback of its own.
    logger = logging.getLogger("torch.export")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        program = torch.export.load(path, extra_files=extra)
        names = json.loads(extra[NAMES])
        module = program.module()
    except Exception as error:  # a zip file, JSON and a schema are read on the way, each with errors of its own
        raise DataError(
            f"{path}: PyTorch {torch.__version__} cannot read it ({first_line(error)}); is it damaged, or written by a "
            "newer version?"
        ) from error
    finally:
        logger.disabled = was_disabled
    shapes = {
        node.name: node.meta["val"].shape for node in program.graph.nodes if hasattr(node.meta.get("val"), "shape")
    }
    signature = program.graph_signature

    @torch.inference_mode()
    def run(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        try:
            found = module(*(inputs[name] for name in names["inputs"]))
        except Exception as error:  # guards on shapes are assertions, operators raise RuntimeError
            raise DataError(f"{path}: PyTorch cannot compute it ({first_line(error)})") from error
        return dict(zip(names["outputs"], found if isinstance(found, tuple) else (found,), strict=True))

    return Graph(
        inputs={name: _shape(shapes[own]) for name, own in zip(names["inputs"], signature.user_inputs, strict=True)},
        outputs={name: _shape(shapes[own]) for name, own in zip(names["outputs"], signature.user_outputs, strict=True)},
        run=run,
    )


def _shape(sides: Sequence[Any]) -> Shape:
    return tuple(side if isinstance(side, int) else None for side in sides)
