"""An exported folder that takes no time: graphs of a few operations with the inputs and outputs of a tiny SeqFormer.

Features are colours of a frame, mixed and shrunk; what is found depends on the mean of the finest map; each query
weighs its channels in a way of its own; places never change.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from maskreel.config import to_dict
from maskreel.export.writers import write_openvino
from maskreel.files import write_sums
from maskreel.models.folder import FORMAT, GRAPHS
from maskreel.runtimes.description import Format, GraphDescription
from tests.checkpoints.tables import TINY

SIZE = (64, 96)
FRAMES = 3
CLASSES = 3
SCOPES = {"mix": "model.backbone.conv1", "classify": "model.classify", "thin": "model.decoder.linear"}
"""Modules that nodes stand for, as the exporter notes them."""
HEAD = '<ir_version: 10, opset_import: ["" : 18]>'
TEXTS = {
    "features": """features (float[1,3,64,96] frame, float[1,2] sizes)
        => (float[1,8,8,12] map0, float[1,8,4,6] map1, float[1,8,2,3] map2, float[1,8,1,2] map3) {
        [mix] map0 = Conv <strides = [8, 8]> (frame, mix)
        map1 = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (map0)
        map2 = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (map1)
        map3 = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (map2)
    }""",
    "clip": """clip (float[t,2] sizes, float[t,8,8,12] map0, float[t,8,4,6] map1, float[t,8,2,3] map2,
        float[t,8,1,2] map3)
        => (float[10,1,3] class_logits, float[10,t,4] boxes, float[10,32] embedding, float[t,8,8,12] mask_features,
        float[10,8] mask_parameters, float[t,10,2] centres) {
        axes = Constant <value_ints = [0, 2, 3]> ()
        shape = Constant <value_ints = [10, 1, 3]> ()
        ten = Constant <value_ints = [10]> ()
        four = Constant <value_ints = [4]> ()
        two = Constant <value_ints = [2]> ()
        one = Constant <value_ints = [1]> ()
        frames = Shape <end = 1> (sizes)
        mean = ReduceMean <keepdims = 0> (map0, axes)
        mean_row = Unsqueeze (mean, zero)
        [thin] thinned = MatMul (mean_row, thin)
        [classify] logits = MatMul (thinned, classify)
        class_logits = Reshape (logits, shape)
        box_sides = Concat <axis = 0> (ten, frames, four)
        boxes = Expand (places, box_sides)
        centre_sides = Concat <axis = 0> (frames, ten, two)
        centres = Expand (middles, centre_sides)
        embedding = Identity (appearance)
        mask_features = Relu (map0)
        mask_parameters = Identity (weights)
    }""",
    "masks": """masks (float[t,8,h,w] mask_features, float[10,8] mask_parameters, float[t,10,2] centres,
        int64[n] queries)
        => (float[n,t,i,j] masks) {
        chosen = Gather (mask_parameters, queries)
        small = Einsum <equation = "nd,tdhw->nthw"> (chosen, mask_features)
        masks = Resize <mode = "nearest"> (small, , scales)
    }""",
}


def write_plain(folder: Path, form: Format = "onnx", change: Callable[[Any], Any] | None = None) -> Path:
    """A folder complete with its description and sums; in ONNX or, if need be changed, for OpenVINO."""
    folder.mkdir(parents=True)
    config = TINY["seqformer"]
    options = {"short_side": min(SIZE), "largest": list(SIZE), "clip_frames": FRAMES, "clip_overlap": 0}
    description = {
        "format": FORMAT,
        "model": to_dict(config),
        "classes": [{"id": n + 1, "name": f"class {n}"} for n in range(CLASSES)],
        "inference": options,
        "trained_frames": FRAMES,
    }
    (folder / "config.json").write_text(json.dumps(description))
    graphs = GraphDescription(
        format=form, size=SIZE, frames=FRAMES, any_frames=True, strides=(8, 16, 32, 64), votes="per_clip"
    )
    (folder / GRAPHS).write_text(json.dumps(to_dict(graphs)))
    for name in TEXTS:
        source = folder / f"{name}.onnx"
        onnx.save(plain_graph(name), source)
        if form == "openvino":
            write_openvino(source, source.with_suffix(".xml"), change)
            source.unlink()
    write_sums(folder)
    return folder


def plain_graph(name: str) -> onnx.ModelProto:
    draw = np.random.default_rng(0).normal
    tensors = {
        "features": {"mix": draw(0, 0.1, (8, 3, 8, 8))},
        "clip": {
            "zero": np.zeros(1, np.int64),
            "thin": draw(0, 1, (8, 8)),
            "classify": draw(0, 1, (8, 30)),
            "places": draw(0.5, 0.05, (10, 1, 4)),
            "middles": draw(40, 5, (1, 10, 2)),
            "appearance": draw(0, 1, (10, 32)),
            "weights": draw(0, 1, (10, 8)),
        },
        "masks": {"scales": np.array([1, 1, 2, 2])},
    }
    model = parser.parse_model(HEAD + TEXTS[name])
    for key, values in tensors[name].items():
        kept = values if values.dtype == np.int64 and key == "zero" else values.astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(kept, key))
    for node in model.graph.node:
        if node.name in SCOPES:
            scopes = ["", SCOPES[node.name]]
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=str(scopes))
    onnx.checker.check_model(model, full_check=True)
    return model
