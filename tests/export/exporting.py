"""Exports tiny models in a process of its own: run-time type checks of shapes cannot be traced.

`python -m tests.export.exporting FOLDER NAME FRAMES FORMAT...` writes FOLDER/FORMAT for the tiny model NAME, and
FOLDER/proofs.json with what was compared, by format. Then it tries FOLDER/refused with a bound that nothing holds; what
is said stands in FOLDER/refusal.txt.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

import maskreel.export.model
import maskreel.export.proof
from maskreel.errors import DataError
from maskreel.export.graphs import TracedGraph
from maskreel.export.model import ExportOptions, export_model
from maskreel.models.folder import LoadedModel
from tests.checkpoints.tables import TINY
from tests.models.test_contract import drawn

FORMATS = ("onnx", "openvino", "torch")
SIZE = (64, 96)
FRAMES = 3
"""Of a clip. Graphs for clips of a single frame are traced and written in half the time: their length is not open."""


def tiny_model(name: str) -> LoadedModel:
    """Drawn so that no output is constant, with as few layers as there can be."""
    config = TINY[name]
    layers = {"encoder_layers": 1, "decoder_layers": 1 if name == "seqformer" else 2}
    config = replace(config, transformer=replace(config.transformer, **layers))
    model = drawn(config, 0.1).eval()
    classes = tuple((n + 1, f"class {n}") for n in range(config.num_classes))
    return LoadedModel(
        model=model, config=config, classes=classes, inference={"short_side": SIZE[0]}, trained_frames=FRAMES
    )


def exported_once(factory: pytest.TempPathFactory, name: str, *formats: str, frames: int = FRAMES) -> Path:
    """The folder of a tiny model's exports, written once for all workers of a test run; without formats in ONNX."""
    formats = formats or ("onnx",)
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "-".join(("exported", name, str(frames), *formats))
    if not folder.exists():
        mine = factory.mktemp(name)
        exported(mine, name, *formats, frames=frames)
        # Of several workers the first one wins.
        with contextlib.suppress(OSError):
            mine.rename(folder)
    return folder


def exported(folder: Path, name: str, *formats: str, frames: int) -> None:
    command = [sys.executable, "-m", "tests.export.exporting", str(folder), name, str(frames), *formats]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]


def main(folder: str, name: str, frames: str, *formats: str) -> None:
    loaded, proofs = tiny_model(name), {}
    # What is traced and written for one format serves the others.
    maskreel.export.model.trace = lru_cache(maskreel.export.model.trace)
    maskreel.export.model.write_onnx = once(maskreel.export.model.write_onnx)
    for form in formats:
        chosen: Any = form
        proof = export_model(loaded, Path(folder) / form, ExportOptions(format=chosen, size=SIZE, frames=int(frames)))
        proofs[form] = asdict(proof)
    (Path(folder) / "proofs.json").write_text(json.dumps(proofs))
    # The same once more, with a bound that nothing holds.
    maskreel.export.proof.BOUNDS["float32"] = 0.0
    try:
        export_model(loaded, Path(folder) / "refused", ExportOptions(format=chosen, size=SIZE, frames=int(frames)))
    except DataError as error:
        (Path(folder) / "refusal.txt").write_text(str(error))


def once(write: Callable[[TracedGraph, Path, str], None]) -> Callable[[TracedGraph, Path, str], None]:
    """A writer that copies what it has written before."""
    written: dict[Any, bytes] = {}

    def write_once(graph: TracedGraph, path: Path, precision: str = "float32") -> None:
        key = id(graph), precision
        if key not in written:
            write(graph, path, precision)
            written[key] = path.read_bytes()
        path.write_bytes(written[key])

    return write_once


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
