"""Graphs by OpenVINO, on the CPU."""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskreel.errors import DataError, UsageError
from maskreel.runtimes.graphs import Graph, Shape, first_line, not_installed

KEPT = 32
"""Compiled forms of a graph, one per combination of shapes that it was shown."""


def open_graph(path: Path) -> Graph:
    """UsageError where OpenVINO is not installed, DataError where it cannot read the graph.

    A graph is compiled for the shapes that it is shown, when it is first shown them: its plans are better where nothing
    is open, and version 2026.4 cannot compile every graph in which something is.
    """
    try:
        import openvino
        from openvino.frontend import FrontEndManager
    except ImportError as error:
        raise UsageError(not_installed(path, "openvino")) from error
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    core = the_core()
    doubt = "is it damaged, or written by a newer version?"
    try:
        # Its readers of other formats would say on stderr what they think of the file.
        is_known = FrontEndManager().load_by_framework("ir").supported(str(path))
        model = core.read_model(path) if is_known else None
    except Exception as error:  # RuntimeError and failures of its own, with no common base
        raise DataError(
            f"{path}: OpenVINO {openvino.__version__} cannot read it ({first_line(error)}); {doubt}"
        ) from error
    if model is None:
        raise DataError(f"{path}: not a graph of OpenVINO {openvino.__version__}; {doubt}")
    names = [output.get_any_name() for output in model.outputs]

    @lru_cache(maxsize=KEPT)
    def compiled(*shapes: tuple[str, tuple[int, ...]]) -> Any:
        form = model.clone()
        form.reshape({name: list(shape) for name, shape in shapes})
        return core.compile_model(form, "CPU", settings)

    def run(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        arrays = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
        try:
            found = compiled(*((name, array.shape) for name, array in arrays.items()))(arrays)
        except Exception as error:  # as above
            raise DataError(f"{path}: OpenVINO cannot compute it ({first_line(error)})") from error
        return {name: torch.from_numpy(found[name].copy()) for name in names}

    return Graph(
        inputs={each.get_any_name(): _shape(each) for each in model.inputs},
        outputs={each.get_any_name(): _shape(each) for each in model.outputs},
        run=run,
    )


@cache
def the_core() -> Any:
    """OpenVINO's entry, one for the life of the process.

    On processors with AMX each gives the thread another stack for signals, and on its end the stack before it, whether
    that is still there or not: of two that end in the order in which they began, a stack stays that has been freed, and
    the next signal, Ctrl-C too, is the end of the process (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def _shape(port: Any) -> Shape:
    return tuple(side.get_length() if side.is_static else None for side in port.get_partial_shape())
