"""A model as three graphs that were written by `maskreel export`, whatever computes them.

`export/graphs.py` says what goes in and comes out. Frames are shown one by one and masks of models with attention maps
are decoded query by query, so that memory stays that of one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maskreel.errors import DataError, UsageError
from maskreel.models.catalog import ModelConfig
from maskreel.nn.heads.attention_masks import Area, AttentionMaskDecoder
from maskreel.nn.layers.position import shrink_padding
from maskreel.runtimes.description import GraphDescription, padded_size
from maskreel.structures import (
    ClipBatch,
    ClipPrediction,
    FeatureMap,
    FrameFeatures,
    LayerPrediction,
    MaskDecoder,
    select_masks,
)

Shape = tuple[int | None, ...]
"""Sides of a tensor; None is an open one."""
MASK_INPUTS = ("mask_features", "mask_parameters", "centres")
"""What dynamic masks are made from, as the clip graph names it."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One graph of a model, opened."""

    inputs: Mapping[str, Shape]
    """By name, in order."""
    outputs: Mapping[str, Shape]
    run: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
    """Tensors by name, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """All graphs of a model."""

    features: Graph
    clip: Graph
    masks: Graph


class GraphRuntime:
    """The three calls of a model, computed by its graphs on the CPU."""

    def __init__(
        self, graphs: Graphs, description: GraphDescription, *, fingerprint: str, longest: int | None = None
    ) -> None:
        """`fingerprint` tells these graphs from all others; `longest` is the longest clip that they know."""
        self.longest = longest
        self.graphs = graphs
        self.description = description
        self.fingerprint = fingerprint
        self.device = torch.device("cpu")

    def frame_features(self, frames: ClipBatch) -> FrameFeatures:
        """Frames are padded to the size of the graphs; UsageError for larger ones."""
        frames = pad_to(frames, self.description.size)
        valid = ~frames.is_padding
        sizes = torch.stack((valid[:, :, 0].sum(-1), valid[..., 0].sum(-1)), -1).float()
        found = [
            self.graphs.features.run({"frame": frame[None], "sizes": size[None]})
            for frame, size in zip(frames.frames.flatten(0, 1), sizes.flatten(0, 1), strict=True)
        ]
        levels = []
        for level, stride in enumerate(self.description.strides):
            values = torch.cat([each[f"map{level}"] for each in found]).unflatten(0, sizes.shape[:2])
            is_padding = shrink_padding(frames.is_padding, (values.shape[-2], values.shape[-1]))
            levels.append(FeatureMap(values=values, is_padding=is_padding, stride=stride))
        return FrameFeatures(maps=tuple(levels), sizes=sizes)

    def clip(self, features: FrameFeatures) -> ClipPrediction:
        """UsageError for a number of frames that the graphs were not written for."""
        num_frames = features.sizes.shape[1]
        if num_frames != self.description.frames and not self.description.any_frames:
            raise UsageError(
                f"a clip of {num_frames} frames: the graphs of this model take {self.description.frames}; export it "
                f"with --frames {num_frames}"
            )
        if self.longest is not None and num_frames > self.longest:
            raise UsageError(
                f"a clip of {num_frames} frames, but this model has queries for {self.longest}; cut the video into "
                f"clips of at most {self.longest} frames (--clip-frames {self.longest})"
            )
        clips = [self._clip(features, clip) for clip in range(len(features.sizes))]
        found = {name: torch.stack([clip[name] for clip in clips]) for name in self.graphs.clip.outputs}
        masks: MaskDecoder
        if self.description.area is None:
            masks = DynamicGraphMasks(graph=self.graphs.masks, made_from={name: found[name] for name in MASK_INPUTS})
        else:
            coarse = FeatureMap(
                values=found["memory"],
                is_padding=features.maps[-1].is_padding,
                stride=2 * features.maps[-2].stride,
            )
            head = MapDecodingGraph(graph=self.graphs.masks, area=self.description.area)
            masks = AttentionMaskDecoder(head=head, states=found["states"], maps=(*features.maps[:-1], coarse))
        layer = LayerPrediction(class_logits=found["class_logits"], boxes=found["boxes"], masks=masks)
        return ClipPrediction(layers=(layer,), votes=self.description.votes, appearance=found["embedding"])

    def _clip(self, features: FrameFeatures, clip: int) -> Mapping[str, Tensor]:
        maps = {f"map{level}": each.values[clip] for level, each in enumerate(features.maps)}
        return self.graphs.clip.run({"sizes": features.sizes[clip], **maps})

    masks = staticmethod(select_masks)


def pad_to(frames: ClipBatch, size: tuple[int, int]) -> ClipBatch:
    """Clips padded as graphs for frames of `size` want them; UsageError for larger ones."""
    (height, width), (h, w) = padded_size(size), frames.frames.shape[-2:]
    if h > height or w > width:
        raise UsageError(
            f"frames of {h}x{w} pixels, padded: the graphs of this model take {height}x{width}; show smaller frames or "
            "export the model with a larger --size"
        )
    around = (0, width - w, 0, height - h)
    return ClipBatch(frames=F.pad(frames.frames, around), is_padding=F.pad(frames.is_padding, around, value=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class DynamicGraphMasks:
    """Masks by dynamic layers."""

    graph: Graph
    made_from: Mapping[str, Tensor]

    def select(self, clip: int, queries: Int[Tensor, " n"]) -> Float[Tensor, "n t h w"]:
        inputs = {name: values[clip] for name, values in self.made_from.items()}
        # A graph is never asked for nothing.
        asked = queries if len(queries) else queries.new_zeros(1)
        return self.graph.run({**inputs, "queries": asked})["masks"][: len(queries)]


@dataclass(frozen=True, kw_only=True, eq=False)
class MapDecodingGraph:
    """Masks from attention maps, for an `AttentionMaskDecoder`."""

    graph: Graph
    area: Area

    def decode(
        self,
        states: Float[Tensor, "t n c"],
        maps: Sequence[Float[Tensor, "t _ _ _"]],
        is_padding: Bool[Tensor, "t h w"],
    ) -> Float[Tensor, "n t i j"]:
        levels = {f"map{level}": values for level, values in enumerate(maps[:-1])} | {"memory": maps[-1]}
        asked = states.unbind(1)
        masks = [
            self.graph.run({"states": state[:, None], "is_padding": is_padding, **levels})["masks"] for state in asked
        ]
        return torch.cat(masks)


def longest_clip(config: ModelConfig) -> int | None:
    """Frames that a model has queries for; None where any number may be shown."""
    return getattr(config.queries, "frames", None)


def check_graphs(graphs: Graphs, description: GraphDescription, config: ModelConfig, where: str) -> None:
    """Raise DataError where what graphs take and give is not what the configuration says; `where` names the folder."""
    for graph, found, wanted in _wanted(graphs, description, config):
        for name, sides in wanted.items():
            if name not in found:
                raise DataError(f"{where}: the {graph} graph has no {name!r}: the graph and graphs.json disagree")
            last = found[name][-len(sides) :] if sides else ()
            if len(last) != len(sides) or any(
                None not in pair and len(set(pair)) > 1 for pair in zip(last, sides, strict=True)
            ):
                raise DataError(
                    f"{where}: {name!r} of the {graph} graph ends in {last}, the folder's JSON says {sides}: they "
                    "disagree"
                )
        if found is not getattr(graphs, graph).outputs and (more := sorted(set(found) - set(wanted))):
            raise DataError(f"{where}: the {graph} graph wants {more[0]!r} as well: the graph and graphs.json disagree")
    frames = graphs.clip.inputs["sizes"][0]
    if frames != description.frames and (frames is not None or not description.any_frames):
        raise DataError(
            f"{where}: the clip graph takes {frames or 'any number of'} frames, graphs.json says "
            f"{'any number' if description.any_frames else description.frames}: they disagree"
        )
    area, longest = getattr(config.mask_head, "area", None), longest_clip(config)
    for name, said, wanted in (
        ("kind", description.kind or config.kind, config.kind),
        ("area", description.area, area),
        ("votes", description.votes, "per_clip" if area is None else "per_frame"),
        ("frames", description.frames, min(description.frames, longest or description.frames)),
    ):
        if said != wanted:
            raise DataError(f"{where}: graphs.json says {name} {said!r}, config.json {wanted!r}: they disagree")


def _wanted(
    graphs: Graphs, description: GraphDescription, config: ModelConfig
) -> Iterator[tuple[str, Mapping[str, Shape], Mapping[str, Shape]]]:
    """Of every graph what goes in and what comes out: how it is, and with which last sides it should be."""
    queries, classes = config.queries.count, config.num_classes + (description.votes == "per_frame")
    height, width = padded_size(description.size)
    names = [f"map{level}" for level in range(len(description.strides))]
    maps: dict[str, Shape] = {
        name: (-(height // -stride), -(width // -stride))
        for name, stride in zip(names, description.strides, strict=True)
    }
    yield "features", graphs.features.inputs, {"frame": (1, 3, height, width), "sizes": (1, 2)}
    yield "features", graphs.features.outputs, maps
    yield "clip", graphs.clip.inputs, {name: graphs.features.outputs[name][-3:] for name in names} | {"sizes": (2,)}
    is_dynamic = description.area is None
    made_from = MASK_INPUTS if is_dynamic else ("states", "memory")
    found: dict[str, Shape] = {
        "class_logits": (queries, None, classes),
        "boxes": (queries, None, 4),
        **dict.fromkeys(("embedding", *made_from), ()),
    }
    yield "clip", graphs.clip.outputs, found
    asked = (*MASK_INPUTS, "queries") if is_dynamic else ("states", "is_padding", *names[:-1], "memory")
    yield "masks", graphs.masks.inputs, dict.fromkeys(asked, ())
    yield "masks", graphs.masks.outputs, {"masks": ()}


def first_line(error: Exception) -> str:
    """What a library says, short enough for a sentence of ours; where it was thrown in C++ says nothing to a person."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception from ")] or lines
    return lines[0][:200] if lines else type(error).__name__


def not_installed(what: object, package: str, extra: str = "export") -> str:
    """The sentence about a package that something needs."""
    return (
        f"{what}: needs {package}, which is not installed; pip install --constraint constraints.txt 'maskreel[{extra}]'"
    )
