"""What `graphs.json` says of an exported model folder; no runtime is needed to read it."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["onnx", "openvino", "torch"]
"""What graphs are written for: ONNX Runtime, OpenVINO, or PyTorch alone (`torch.export`)."""
GraphPrecision = Literal["float32", "float16", "int8"]
"""Numbers of a graph: as trained; stored in 16 bits and computed in 32; products of 8 bits."""
VERSION = 1
"""Of the interface between the three graphs."""
GRAPH_NAMES = ("features", "clip", "masks")

MULTIPLE = 32
"""Frames are padded to multiples of it."""


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (-(side // -MULTIPLE) * MULTIPLE for side in size)
    return height, width


@dataclass(frozen=True, kw_only=True)
class GraphDescription:
    """How the graphs of a folder were written and what they need."""

    format: Format
    version: int = VERSION
    kind: str | None = None
    """Of the model; None where nobody noted it."""
    precision: GraphPrecision = "float32"
    size: tuple[int, int]
    """(height, width) of frames in pixels, before padding; others are fitted and padded."""
    frames: int
    """Of a clip."""
    any_frames: bool
    """Whether clips of other lengths may be shown."""
    strides: tuple[int, ...]
    """Of the maps that the features graph gives."""
    votes: Literal["per_clip", "per_frame"]
    area: Literal["valid", "padded"] | None = None
    """Cells that a head with attention maps reads; None for dynamic masks."""
