"""Backbone and linear layers in 8 bits; sampling positions, their weights and the heads stay as they are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskreel.export.writers import PRODUCTS, SCOPES, quiet
from maskreel.runtimes.graphs import Graph
from maskreel.structures import ClipBatch

EXACT = re.compile(
    r"\.(classify|boxes|box_heads|mask_head|sampling_offsets|attention_weights|reference_points|frame_weight)\b"
)
"""Layers whose errors of a few thousandths would move a sample, a box or a score."""


Inputs = Mapping[str, Tensor]


def products(path: Path) -> list[str]:
    """Nodes of an ONNX graph that multiply with weights of layers that bear it."""
    return [node.name for node in _products(path)]


def _products(path: Path) -> list[Any]:
    import onnx

    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in PRODUCTS
        and any(name in weights for name in node.input)
        and not EXACT.search(next((entry.value for entry in node.metadata_props if entry.key == SCOPES), ""))
    ]


def graph_inputs(features: Graph, clips: Sequence[ClipBatch]) -> tuple[list[Inputs], list[Inputs]]:
    """What the features and the clip graph are shown of some clips: every frame, and every clip."""
    frames, whole = [], []
    for batch in clips:
        valid = ~batch.is_padding[0]
        sizes = torch.stack((valid[:, 0].sum(-1), valid[..., 0].sum(-1)), -1).float()
        shown = [
            {"frame": frame[None], "sizes": size[None]} for frame, size in zip(batch.frames[0], sizes, strict=True)
        ]
        found = [features.run(each) for each in shown]
        frames += shown
        whole.append({"sizes": sizes, **{name: torch.cat([each[name] for each in found]) for name in features.outputs}})
    return frames, whole


class Reader:
    """Inputs as ONNX Runtime's quantiser asks for them."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._left: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        inputs = next(self._left, None)
        return None if inputs is None else {name: values.numpy() for name, values in inputs.items()}


def quantize_onnx(path: Path, inputs: Sequence[Inputs]) -> None:
    """Replace a float32 graph by one of 8 bits."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    reader: Any = Reader(inputs)
    with quiet():
        quantize_static(
            path,
            path,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_quantize=products(path),
            per_channel=True,
            # Unsigned ranges beside signed weights overflow on processors without VNNI.
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )


def quantize_openvino(model: Any, source: Path, inputs: Sequence[Inputs]) -> Any:
    """An OpenVINO model of 8 bits of one in float32, made of the ONNX graph `source`. Inputs have equal shapes."""
    import nncf  # pyright: ignore[reportMissingImports]

    # What is calibrated is compiled, and OpenVINO 2026.4 cannot compile a clip graph whose length is open.
    open_shapes = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
    model.reshape({name: list(values.shape) for name, values in inputs[0].items()})
    # A product and its bias are two nodes there, of which the second has the name of both; the last has its output's.
    taken = {name for node in _products(source) for name in (node.name, f"{node.name}/WithoutBiases", node.output[0])}
    left = [
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() not in ("Convolution", "MatMul") or node.get_friendly_name() not in taken
    ]
    arrays = [{name: values.numpy() for name, values in each.items()} for each in inputs]
    with quiet():
        quantised = nncf.quantize(
            model,
            nncf.Dataset(arrays),
            subset_size=len(arrays),
            ignored_scope=nncf.IgnoredScope(names=left, validate=False),
        )
    quantised.reshape(open_shapes)
    return quantised
