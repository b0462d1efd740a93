"""Graphs by ONNX Runtime, on the CPU."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from maskreel.errors import DataError, UsageError
from maskreel.runtimes.graphs import Graph, Shape, first_line, not_installed


def open_graph(path: Path) -> Graph:
    """UsageError where ONNX Runtime is not installed, DataError where it cannot read the graph."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(not_installed(path, "onnxruntime")) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Its arena grows by doubling: without it R50 takes 60 % of the memory, and no longer where malloc keeps memory.
    options.enable_cpu_mem_arena = False
    try:
        # It would say on stdout that it falls back from the CPU to the CPU.
        session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        inputs, outputs = (
            {each.name: _shape(each.shape) for each in ends} for ends in (session.get_inputs(), session.get_outputs())
        )
    except Exception as error:  # onnxruntime has an exception of its own for every status, with no common base
        raise DataError(
            f"{path}: ONNX Runtime {onnxruntime.__version__} cannot read it ({first_line(error)}); is it damaged, or "
            "written by a newer version?"
        ) from error

    def run(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        arrays = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
        try:
            found = session.run(list(outputs), arrays)
        except Exception as error:  # as above
            raise DataError(f"{path}: ONNX Runtime cannot compute it ({first_line(error)})") from error
        return {name: torch.from_numpy(array) for name, array in zip(outputs, found, strict=True)}

    return Graph(inputs=inputs, outputs=outputs, run=run)


def _shape(sides: list[int | str | None]) -> Shape:
    return tuple(side if isinstance(side, int) else None for side in sides)
