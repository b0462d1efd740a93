"""The three graphs of a model: what one frame says, what frames say together, masks of chosen queries.

| graph | takes | gives |
|---|---|---|
| features | frame "1 3 H W", sizes "1 2" | map0, map1 ... "1 c h w", fine to coarse |
| clip | sizes "t 2", map0 ... "t c h w" | class_logits "q v k", boxes "q t 4", embedding, made_from |
| masks | made_from, queries "n" | masks "n t h w": logits at stride 4 of the padded frame |

`sizes` are (width, height) of the un-padded frames in pixels; (0, 0) is an absent frame. H and W, multiples of 32, are
fixed, so that a runtime can plan ahead; t and n are open. Dynamic masks are made from mask_features "t d h w",
mask_parameters "q e" and centres "t q 2". Masks from attention maps are made from states "t n c" of chosen queries, the
maps up to stride 16 and the memory at stride 32, "t c h w", all cut to the cells that are decoded, whose sides are
open, and is_padding "t h w" of the last.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from maskreel.errors import DataError
from maskreel.export.forms import graph_form
from maskreel.kernels.backend import use_backend
from maskreel.models.catalog import ModelConfig
from maskreel.models.deformable_vistr import DeformableVisTRConfig
from maskreel.nn.heads.attention_masks import Area, AttentionMaskDecoder, AttentionMasks
from maskreel.nn.heads.dynamic_masks import DynamicMaskDecoder
from maskreel.runtimes.graphs import MASK_INPUTS, first_line
from maskreel.structures import ClipBatch, ClipPrediction, FeatureMap, FrameFeatures, VideoModel


@dataclass(frozen=True, kw_only=True)
class TracedGraph:
    """A part of a model as a program, with the names of what goes in and comes out."""

    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TracedModel:
    """The three graphs, and what is to be known of them."""

    graphs: dict[str, TracedGraph]
    """features, clip and masks."""
    strides: tuple[int, ...]
    any_frames: bool
    votes: Literal["per_clip", "per_frame"]
    area: Area | None
    """Cells that a head with attention maps reads; None for dynamic masks."""


class FeaturesGraph(nn.Module):
    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame: Float[Tensor, "1 3 h w"], sizes: Float[Tensor, "1 2"]) -> tuple[Tensor, ...]:
        height, width = frame.shape[-2:]
        is_padding = lies_outside(torch.arange(height), torch.arange(width), sizes)
        batch = ClipBatch(frames=frame[None], is_padding=is_padding[None])
        return tuple(level.values[0] for level in self.model.frame_features(batch).maps)


class ClipGraph(nn.Module):
    """`strides` are those of the model's frame features."""

    def __init__(self, model: VideoModel, strides: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.strides = tuple(strides)

    def forward(self, sizes: Float[Tensor, "t 2"], *maps: Float[Tensor, "t c _ _"]) -> tuple[Tensor, ...]:
        return outputs(self.predict(sizes, *maps))

    def predict(self, sizes: Float[Tensor, "t 2"], *maps: Float[Tensor, "t c _ _"]) -> ClipPrediction:
        height, width = (self.strides[0] * side for side in maps[0].shape[-2:])
        levels = tuple(
            FeatureMap(
                values=values[None],
                is_padding=lies_outside(
                    taken_from(height, values.shape[-2]), taken_from(width, values.shape[-1]), sizes[None]
                ),
                stride=stride,
            )
            for values, stride in zip(maps, self.strides, strict=True)
        )
        return self.model.clip(FrameFeatures(maps=levels, sizes=sizes[None]))


def outputs(prediction: ClipPrediction) -> tuple[Tensor, ...]:
    """What the clip graph gives of one clip; from the fourth on, what its masks are made from."""
    final, masks = prediction.final, prediction.final.masks
    if isinstance(masks, DynamicMaskDecoder):
        made_from = (masks.features, masks.parameters, masks.centres)
    else:
        assert isinstance(masks, AttentionMaskDecoder), f"{type(masks).__name__}: no graph is known for it"
        made_from = (masks.states, masks.maps[-1].values)
    assert prediction.appearance is not None, "a model in evaluation says by what an object is known again"
    return tuple(each[0] for each in (final.class_logits, final.boxes, prediction.appearance, *made_from))


def taken_from(pixels: int, cells: int) -> Int[Tensor, " c"]:
    """The pixel that each cell of a map takes its padding from, as `shrink_padding` does."""
    return torch.arange(cells) * pixels // cells


def lies_outside(
    rows: Int[Tensor, " h"], columns: Int[Tensor, " w"], sizes: Float[Tensor, "*b 2"]
) -> Bool[Tensor, "*b h w"]:
    """Whether pixels lie outside frames of the given (width, height)."""
    return (rows[:, None] >= sizes[..., 1, None, None]) | (columns >= sizes[..., 0, None, None])


class DynamicMasksGraph(nn.Module):
    def __init__(self, is_relative: bool) -> None:
        super().__init__()
        self.is_relative = is_relative

    def forward(
        self,
        features: Float[Tensor, "t d h w"],
        parameters: Float[Tensor, "q e"],
        centres: Float[Tensor, "t q 2"],
        queries: Int[Tensor, " n"],
    ) -> Float[Tensor, "n t i j"]:
        decoder = DynamicMaskDecoder(
            features=features[None], parameters=parameters[None], centres=centres[None], is_relative=self.is_relative
        )
        return decoder.select(0, queries)


class AttentionMasksGraph(nn.Module):
    def __init__(self, head: AttentionMasks) -> None:
        super().__init__()
        self.head = head

    def forward(
        self, states: Float[Tensor, "t n c"], is_padding: Bool[Tensor, "t h w"], *maps: Float[Tensor, "t _ _ _"]
    ) -> Float[Tensor, "n t i j"]:
        return self.head.decode(states, maps, is_padding)


def takes_any_frames(config: ModelConfig) -> bool:
    """Whether one graph can serve clips of different lengths: frames as levels are as many tables as frames."""
    return not (isinstance(config, DeformableVisTRConfig) and config.encoder_attention == "frames_as_levels")


@torch.no_grad()
def trace(model: nn.Module, config: ModelConfig, *, size: tuple[int, int], frames: int) -> TracedModel:
    """The graphs of a model, traced with frames of `size`, (height, width) with padding, for clips of `frames`."""
    form = graph_form(model)
    assert isinstance(form, VideoModel), f"{type(model).__name__} does not have the three calls of VideoModel"
    with use_backend("reference"), _plain_attention():
        return _trace(form, config, size, frames)


def _trace(form: VideoModel, config: ModelConfig, size: tuple[int, int], frames: int) -> TracedModel:
    is_open = takes_any_frames(config) and frames > 1
    # The lengths that are traced only have to be longer than one.
    t = min(frames, 3) if is_open else frames
    time: Any = Dim("t", max=getattr(config.queries, "frames", None)) if is_open else Dim.STATIC
    frame, sizes = torch.randn(1, 3, *size), torch.tensor([[float(size[1]), size[0]]])
    levels = form.frame_features(
        ClipBatch(frames=frame[None], is_padding=torch.zeros(1, 1, *size, dtype=torch.bool))
    ).maps
    maps = [torch.randn(t, *level.values.shape[2:]) for level in levels]
    names, strides = tuple(f"map{level}" for level in range(len(maps))), tuple(level.stride for level in levels)
    clips, clip_inputs = ClipGraph(form, strides), (sizes.repeat(t, 1), *maps)
    prediction = clips.predict(*clip_inputs)
    masks, made = prediction.final.masks, outputs(prediction)[3:]
    if isinstance(masks, DynamicMaskDecoder):
        area, made_from, masks_graph = None, MASK_INPUTS, _dynamic_masks(masks, made, time)
    else:
        assert isinstance(masks, AttentionMaskDecoder), f"{type(masks).__name__}: no graph is known for it"
        area, made_from = masks.head.area, ("states", "memory")
        masks_graph = _attention_masks(masks, made, maps, time)
    graphs = {
        "features": TracedGraph(
            program=_program(FeaturesGraph(form), (frame, sizes), None),
            inputs=("frame", "sizes"),
            outputs=names,
        ),
        "clip": TracedGraph(
            program=_program(clips, clip_inputs, ({0: time}, ({0: time},) * len(maps))),
            inputs=("sizes", *names),
            outputs=("class_logits", "boxes", "embedding", *made_from),
        ),
        "masks": masks_graph,
    }
    return TracedModel(graphs=graphs, strides=strides, any_frames=is_open, votes=prediction.votes, area=area)


def _dynamic_masks(masks: DynamicMaskDecoder, made: Sequence[Tensor], time: Any) -> TracedGraph:
    inputs = (*made, torch.arange(2))
    dims = ({0: time}, {}, {0: time}, {0: Dim("n")})
    return TracedGraph(
        program=_program(DynamicMasksGraph(masks.is_relative), inputs, dims),
        inputs=(*MASK_INPUTS, "queries"),
        outputs=("masks",),
    )


def _attention_masks(
    masks: AttentionMaskDecoder, made: Sequence[Tensor], maps: Sequence[Tensor], time: Any
) -> TracedGraph:
    head = masks.head
    assert isinstance(head, AttentionMasks), "what is traced are layers"
    states, memory = made[0][:, :2].contiguous(), made[1]
    levels = [*maps[:-1], memory]
    is_padding = torch.zeros(memory.shape[0], *memory.shape[2:], dtype=torch.bool)
    sides = [(Dim(f"h{level}", min=1), Dim(f"w{level}", min=1)) for level in range(len(levels))]
    dims = (
        {0: time, 1: Dim("n")},
        {0: time, 1: sides[-1][0], 2: sides[-1][1]},
        tuple({0: time, 2: height, 3: width} for height, width in sides),
    )
    return TracedGraph(
        program=_program(AttentionMasksGraph(head), (states, is_padding, *levels), dims),
        inputs=("states", "is_padding", *(f"map{level}" for level in range(len(levels) - 1)), "memory"),
        outputs=("masks",),
    )


def _program(graph: nn.Module, inputs: tuple[Tensor, ...], dims: Any) -> ExportedProgram:
    try:
        return torch.export.export(graph.eval(), inputs, dynamic_shapes=dims)
    except Exception as error:  # guards, operators and PyTorch's own checks have no common base
        raise DataError(
            f"PyTorch {torch.__version__} cannot trace this model's {type(graph).__name__} ({first_line(error)})"
        ) from error


@contextmanager
def _plain_attention() -> Iterator[None]:
    """PyTorch's fast path of attention is one operator that no other runtime knows."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)
