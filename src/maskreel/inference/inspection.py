"""What goes on inside a model while it looks at a clip: encoded maps, queries of objects, and what attention reads.

The clip takes the same way as in `predict`; what is shown are the numbers that the model computed on it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.inference.finding import Finder, ShownFrame
from maskreel.inference.looks import Token, attention_layers, cells_across, looks_of_queries, looks_of_token
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.predictor import VideoPredictor
from maskreel.nn.decoders.box_queries import QueryState
from maskreel.nn.encoders.split_scale import SplitScaleEncoder
from maskreel.nn.layers.recording import Read, recording
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.structures import ClipMemory, Looks
from maskreel.video.files import Frame, FrameSource
from maskreel.video.prepare import show_frame


@dataclass(frozen=True, kw_only=True)
class Place:
    """A pixel of one frame of a video."""

    frame: int
    x: int
    y: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundObject:
    """An object of the clip."""

    label: int
    score: float
    masks: list[rle.Rle | None]
    """Per frame of the clip, at the size of the source."""
    query: int
    """Which of the decoder's queries found it."""
    states: Float[np.ndarray, "t c"]
    """What the decoder's last layer made of that query in each frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection:
    """A clip as one model sees it. Frames are counted from the first of the clip."""

    frames: tuple[int, ...]
    """Where they stand in the video."""
    objects: tuple[FoundObject, ...]
    """Those that reach the score of the options, best first."""
    features: Float[np.ndarray, "t h w"]
    """Mean over channels of the encoder's finest map, cells over the un-padded frame alone."""
    place: Place
    """What was asked for, else a pixel of the best object, else the middle."""
    levels: int
    """Of the encoder's maps."""
    token: Token
    token_looks: dict[str, Looks]
    """Where the encoder's token at the place looks, by the kind of attention."""
    chosen: int | None
    """The object at the place, or the one nearest to it; None where none is found."""
    object_looks: dict[str, Looks]
    """Where the decoder's queries of that object look, the mean over its frames; empty without an object."""


def read_clip(source: FrameSource, length: int, frame: int | None) -> list[Frame]:
    """Up to `length` frames of a video with `frame` in the middle, or nearest to it; the first ones without a frame.

    Raises UsageError for a frame that there is not, DataError where none can be read.
    """
    held: deque[Frame] = deque(maxlen=length)
    first = 0 if frame is None else max(0, frame - length // 2)
    for each in source:
        held.append(each)
        if len(held) == length and held[0].index >= first:
            break
    if not held:
        raise DataError(f"{source.name}: there is no frame to look at")
    if frame is not None and frame not in {each.index for each in held}:
        raise UsageError(f"--at {frame}: the last frame of {source.name} is {held[-1].index}, counted from 0")
    return list(held)


def inspect_clip(
    predictor: VideoPredictor,
    frames: Sequence[Frame],
    place: Place | None = None,
    *,
    layer: int | None = None,
    level: int = 0,
) -> Inspection:
    """Show frames to a model and keep what its layers with the number `layer` read, from 1; None is the last.

    `place` has the number of a frame in the video. `level` is that of the token, 0 the finest. Raises UsageError for
    exported graphs, and for layers, levels and pixels that there are not.
    """
    if not isinstance(predictor.runtime, PyTorchRuntime):
        raise UsageError("exported graphs show nothing of what is inside; name the model that they came from")
    model: Any = predictor.runtime.model
    in_encoder, in_decoder = encoder_attention(model.encoder, layer), decoder_attention(model.decoder, layer)
    passed = _Passed(model)
    with recording([*in_encoder, *in_decoder]) as reads, passed:
        detections = _find(predictor, frames)
    memory, size = passed.memory, frames[0].pixels.shape[:2]
    objects = _objects(detections, passed.states, predictor.options.min_score, len(frames))
    at = _pixel(place, frames, objects)
    token = _token(at, level, memory, size)
    chosen = _object_at(objects, at)
    rows = [] if chosen is None else [t * passed.states.shape[1] + objects[chosen].query for t in range(len(frames))]
    return Inspection(
        frames=tuple(frame.index for frame in frames),
        objects=objects,
        features=_features(memory, len(frames)),
        place=at,
        levels=len(memory.level_sizes),
        token=token,
        token_looks={
            name: _in_clip(
                looks_of_token(one, reads_of_pass(reads[one], model.encoder, layer), token, memory), memory, len(frames)
            )
            for one, name in in_encoder.items()
            if reads[one]
        },
        chosen=chosen,
        object_looks={
            name: _in_clip(looks_of_queries(one, reads[one][0], rows, memory), memory, len(frames))
            for one, name in in_decoder.items()
            if rows
        },
    )


class _Passed:
    """What leaves encoder and decoder of a model within the context."""

    memory: ClipMemory
    states: Float[Tensor, "t q c"]
    """Of the last layer."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __enter__(self) -> None:
        self._hooks = [
            self._model.encoder.register_forward_hook(self._keep_memory),
            self._model.decoder.register_forward_hook(self._keep_states),
        ]

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _keep_memory(self, module: nn.Module, inputs: Any, output: ClipMemory) -> None:
        self.memory = output

    def _keep_states(self, module: nn.Module, inputs: Any, output: Any) -> None:
        last = output[-1]
        states = last.box_queries if isinstance(last, QueryState) else last
        self.states = states[0].float().cpu()


def encoder_attention(encoder: Any, layer: int | None) -> dict[nn.Module, str]:
    """What can be looked at in one layer of an encoder; UsageError where there is no such layer."""
    found = attention_layers(encoder.layers[_position(encoder, layer, "encoder")])
    if isinstance(encoder, SplitScaleEncoder):
        found |= attention_layers(encoder.split[_position(encoder, layer, "encoder") % len(encoder.split)])
    return found


def decoder_attention(decoder: Any, layer: int | None) -> dict[nn.Module, str]:
    """What the objects' queries read of the clip in one layer of a decoder; UsageError where there is no such layer."""
    return attention_layers(decoder.layers[_position(decoder, layer, "decoder")].cross_attention)


def _position(stage: Any, layer: int | None, name: str) -> int:
    count = len(stage.layers)
    if layer is not None and not 1 <= layer <= count:
        raise UsageError(f"--layer {layer}: the {name} has layers 1 to {count}")
    return (count if layer is None else layer) - 1


def reads_of_pass(reads: list[Read], encoder: Any, layer: int | None) -> list[Read]:
    """Of all that a layer read, what belongs to one pass: split attention may be shared by all layers."""
    shared = len(encoder.layers) if isinstance(encoder, SplitScaleEncoder) and len(encoder.split) == 1 else 1
    if len(reads) < shared:
        return reads
    per_pass = len(reads) // shared
    first = per_pass * (_position(encoder, layer, "encoder") if shared > 1 else 0)
    return reads[first : first + per_pass]


def _find(predictor: VideoPredictor, frames: Sequence[Frame]) -> ClipDetections:
    options = predictor.options
    shown = [
        ShownFrame(pixels=show_frame(frame.pixels, options.short_side, options.long_side, options.largest))
        for frame in frames
    ]
    find = Finder(predictor.runtime, options, clip_frames=options.clip_frames, reuse=False)
    return find(shown, frames[0].pixels.shape[:2])


def _objects(
    detections: ClipDetections, states: Float[Tensor, "t q c"], min_score: float, num_frames: int
) -> tuple[FoundObject, ...]:
    """Best first, without those below the score."""
    probability, votes, query = detections.probability, detections.votes, detections.query
    assert query is not None, "what was found in a clip has queries"
    score, label = probability.max(1), probability.argmax(1)
    if votes is not None:
        score, label = votes.score.mean(1), votes.majority(probability.shape[1])
    found = [
        FoundObject(
            label=int(label[n]),
            score=float(score[n]),
            masks=detections.masks[n],
            query=int(query[n]),
            states=states[:num_frames, query[n]].numpy(),
        )
        for n in np.argsort(-score, kind="stable")
        if score[n] >= min_score
    ]
    return tuple(found)


def _features(memory: ClipMemory, num_frames: int) -> Float[np.ndarray, "t h w"]:
    height, width = memory.level_sizes[0]
    columns, rows = np.ceil(cells_across(memory)[0].numpy() - 1e-4).astype(int)
    tokens = memory.tokens[0, :num_frames, : height * width].float().mean(-1)
    return rearrange(tokens, "t (h w) -> t h w", h=height)[:, :rows, :columns].cpu().numpy()


def _pixel(place: Place | None, frames: Sequence[Frame], objects: Sequence[FoundObject]) -> Place:
    """The place by its frame in the clip; without one the middle of the best object, in a frame where it is seen."""
    height, width = frames[0].pixels.shape[:2]
    if place is not None:
        if not (0 <= place.x < width and 0 <= place.y < height):
            raise UsageError(
                f"--at {place.frame},{place.x},{place.y}: frames have {width}x{height} pixels, from 0,0 on"
            )
        return replace(place, frame=[frame.index for frame in frames].index(place.frame))
    middle = len(frames) // 2
    for one in objects:
        seen = [t for t, mask in enumerate(one.masks) if mask is not None]
        frame = min(seen, key=lambda t: abs(t - middle))
        mask = one.masks[frame]
        assert mask is not None, "it is seen there"
        pixels = np.argwhere(rle.decode(mask))
        y, x = pixels[np.square(pixels - pixels.mean(0)).sum(1).argmin()]
        return Place(frame=frame, x=int(x), y=int(y))
    return Place(frame=middle, x=width // 2, y=height // 2)


def _token(place: Place, level: int, memory: ClipMemory, size: tuple[int, int]) -> Token:
    """The cell over a pixel."""
    if not 0 <= level < len(memory.level_sizes):
        raise UsageError(f"--level {level}: the encoder has the levels 0 to {len(memory.level_sizes) - 1}")
    columns, rows = cells_across(memory)[level].tolist()
    return Token(
        frame=place.frame,
        level=level,
        row=int((place.y + 0.5) / size[0] * rows),
        column=int((place.x + 0.5) / size[1] * columns),
    )


def _object_at(objects: Sequence[FoundObject], place: Place) -> int | None:
    """The best object there, else the one whose mask in that frame is nearest, else the best."""
    distances = []
    for one in objects:
        mask = one.masks[place.frame]
        if mask is None:
            distances.append(np.inf)
            continue
        distances.append(np.square(np.argwhere(rle.decode(mask)) - (place.y, place.x)).sum(1).min())
    return int(np.argmin(distances)) if distances else None


def _in_clip(looks: Looks, memory: ClipMemory, num_frames: int) -> Looks:
    """Frames of a clip that was shown over and over are one."""
    return replace(looks, frame=looks.frame % num_frames) if memory.tokens.shape[1] > num_frames else looks
