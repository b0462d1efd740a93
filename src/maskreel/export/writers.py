"""The files of a traced model, in each format."""

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from maskreel.errors import DataError, UsageError
from maskreel.export.graphs import TracedGraph
from maskreel.runtimes.description import Format, GraphPrecision
from maskreel.runtimes.graphs import first_line, not_installed
from maskreel.runtimes.program import NAMES

OPSET = 18
"""Of ONNX: the one in which the exporter thinks, read by every runtime since 2023."""
PRODUCTS = ("Conv", "MatMul", "Gemm")
"""Nodes of ONNX that multiply with weights."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Where the exporter notes the modules that a node came from."""
PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),
    "torch": (),
}
"""What a format cannot be written and checked without."""
PRECISIONS: dict[Format, tuple[GraphPrecision, ...]] = {
    "onnx": ("float32", "float16", "int8"),
    "openvino": ("float32", "float16", "int8"),
    "torch": ("float32",),
}


def check_installed(form: Format, precision: GraphPrecision) -> None:
    """UsageError for a precision that a format has not, and for packages that are not installed."""
    if precision not in PRECISIONS[form]:
        raise UsageError(f"--precision {precision}: {form} is written in {', '.join(PRECISIONS[form])} alone")
    wanted = {"export": PACKAGES[form], "quantize": ("nncf",) if (form, precision) == ("openvino", "int8") else ()}
    for extra, packages in wanted.items():
        for package in packages:
            if importlib.util.find_spec(package) is None:
                raise UsageError(not_installed(f"--format {form}", package, extra))


def write_program(graph: TracedGraph, path: Path) -> None:
    """A `torch.export` program that knows the names of its inputs and outputs."""
    names = json.dumps({"inputs": graph.inputs, "outputs": graph.outputs})
    with quiet():
        torch.export.save(graph.program, path, extra_files={NAMES: names})


def write_onnx(graph: TracedGraph, path: Path, precision: GraphPrecision = "float32") -> None:
    """One file, weights included; in float16 they are stored so and cast where they are used."""
    try:
        with quiet():
            torch.onnx.export(
                graph.program,
                f=str(path),
                input_names=graph.inputs,
                output_names=graph.outputs,
                opset_version=OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter has errors of its own for every step
        raise DataError(f"PyTorch {torch.__version__} cannot write {path.name} ({first_line(error)})") from error
    forget_origins(path)
    if precision == "float16":
        store_halves(path)


def forget_origins(path: Path) -> None:
    """Leave out of an ONNX graph where in which files its nodes were traced; the names of their modules stay."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    onnx.save(model, path)


def store_halves(path: Path) -> None:
    """Store the weights of products in 16 bits, and cast them where they are used; positions stay as they are."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    weights = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input}
    casts = []
    for tensor in model.graph.initializer:
        if tensor.name in weights and tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def write_openvino(source: Path, path: Path, change: Callable[[Any], Any] | None = None) -> None:
    """An ONNX graph as OpenVINO's two files; `change` makes another model of it first."""
    import openvino

    with quiet():
        model = openvino.convert_model(source)
    model = model if change is None else change(model)
    openvino.save_model(model, path, compress_to_fp16=False)


def with_halves(model: Any) -> Any:
    """As `store_halves`, of an OpenVINO model: its own way to 16 bits takes positions and biases too."""
    import openvino.opset13 as operators

    for node in model.get_ops():
        for port in node.inputs() if node.get_type_name() in ("Convolution", "MatMul") else ():
            weight = port.get_source_output().get_node()
            if weight.get_type_name() == "Constant" and len(weight.get_output_shape(0)) > 1:
                half = operators.constant(weight.data.astype("float16"))
                port.replace_source_output(operators.convert(half, "f32").output(0))
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters report on stdout, stderr, warnings and loggers what concerns nobody but their makers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
