"""A model folder of graphs, proven before it takes its name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from maskreel.config import to_dict
from maskreel.errors import DataError
from maskreel.export.graphs import TracedModel, trace
from maskreel.export.proof import Proof, prove
from maskreel.export.quantize import Inputs, graph_inputs, quantize_onnx, quantize_openvino
from maskreel.export.writers import with_halves, write_onnx, write_openvino, write_program
from maskreel.files import complete_folder, write_sums
from maskreel.inference.options import recorded_options
from maskreel.models.folder import GRAPHS, LoadedModel, write_description
from maskreel.runtimes.description import GRAPH_NAMES, Format, GraphDescription, GraphPrecision, padded_size
from maskreel.runtimes.folder import OPENERS, open_runtime
from maskreel.runtimes.onnx import open_graph
from maskreel.structures import ClipBatch

EXPORTED_FILES = (
    "config.json",
    GRAPHS,
    "sums.json",
    *(f"{name}{ending}" for name in GRAPH_NAMES for opener in OPENERS.values() for ending in opener.endings),
)
"""All that may be in an exported folder."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is written, and what it is checked with."""

    format: Format
    precision: GraphPrecision = "float32"
    size: tuple[int, int]
    """(height, width) of frames, in pixels."""
    frames: int
    """Of a clip."""


def export_model(loaded: LoadedModel, folder: Path, options: ExportOptions, clips: Sequence[ClipBatch] = ()) -> Proof:
    """Write the graphs of a model into a new folder and compare them with the model; `clips` calibrate int8.

    Raises DataError, and leaves nothing behind, where they differ by more than `proof` allows.
    """
    inference = {**loaded.inference, "short_side": min(options.size), "precision": "float32"}
    inference["largest"] = options.size
    inference["clip_frames"] = options.frames
    inference["clip_overlap"] = min(inference.get("clip_overlap", options.frames // 6), options.frames - 1)
    traced = trace(loaded.model, loaded.config, size=padded_size(options.size), frames=options.frames)
    if not traced.any_frames:
        # Clips and windows of a session have this one length, short ones too.
        inference["short_clips"] = "repeat"
        loaded = replace(loaded, trained_frames=options.frames)
    with complete_folder(folder) as new:
        write_description(new, loaded, inference)
        (new / GRAPHS).write_text(json.dumps(to_dict(describe(traced, options, loaded.config.kind)), indent=1) + "\n")
        write_graphs(traced, new, options, clips)
        write_sums(new)
        runtime = open_runtime(new, loaded.config)
        proof = prove(loaded.model, runtime, loaded.classes, recorded_options(inference))
        failure = proof.failure(options.precision)
        if failure is not None:
            raise DataError(f"nothing was written, because the graphs do not say what the model says: {failure}")
    return proof


def describe(traced: TracedModel, options: ExportOptions, kind: str) -> GraphDescription:
    return GraphDescription(
        kind=kind,
        format=options.format,
        precision=options.precision,
        size=options.size,
        frames=options.frames,
        any_frames=traced.any_frames,
        strides=traced.strides,
        votes=traced.votes,
        area=traced.area,
    )


def write_graphs(traced: TracedModel, folder: Path, options: ExportOptions, clips: Sequence[ClipBatch]) -> None:
    """The files of all graphs in the format of the options; int8 takes its ranges from `clips`."""
    if options.format == "torch":
        for name, graph in traced.graphs.items():
            write_program(graph, folder / f"{name}.pt2")
        return
    is_onnx = options.format == "onnx"
    sources = {name: folder / f"{name}.onnx" for name in traced.graphs}
    for name, graph in traced.graphs.items():
        write_onnx(graph, sources[name], options.precision if is_onnx else "float32")
    inputs: dict[str, list[Inputs]] = {}
    if options.precision == "int8":
        inputs["features"], inputs["clip"] = graph_inputs(open_graph(sources["features"]), clips)
    for name, source in sources.items():
        if is_onnx and name in inputs:
            quantize_onnx(source, inputs[name])
        if not is_onnx:
            change = with_halves if options.precision == "float16" else None
            if name in inputs:
                change = partial(quantize_openvino, source=source, inputs=inputs[name])
            write_openvino(source, folder / f"{name}.xml", change)
            source.unlink()
