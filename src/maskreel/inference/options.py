"""How a model is run over a video; torch is not needed to say it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, TypeVar, get_args

from maskreel.config import ConfigError, from_dict, to_dict
from maskreel.errors import OptionError
from maskreel.runtimes.precision import PrecisionChoice

ShortClips = Literal["pad", "repeat"]
"""What fills a clip of fewer frames."""

Duplicates = Literal["merge", "keep"]
"""What becomes of two tracks of one class that lie on each other."""


@dataclass(frozen=True, kw_only=True)
class PredictorOptions:
    """How a model is run over a video. Defaults are those published for SeqFormer."""

    short_side: int = 360
    """Frames are resized to this shortest side, in pixels."""
    long_side: int | None = None
    """Or less, where the longest side would exceed this; default four times the shortest."""
    largest: tuple[int, int] | None = None
    """(height, width) in pixels that frames must fit into, for exported graphs; larger ones are shrunk further."""
    clip_frames: int = 36
    """Frames per clip; longer videos are cut into windows."""
    clip_overlap: int = 6
    """Frames that neighbouring windows share."""
    top_k: int = 10
    """(query, class) pairs kept per clip, by score, where a model votes once per clip."""
    short_clips: ShortClips = "pad"
    """What fills a clip of fewer frames: padding, which nothing reads (so the clip is shown as it is), or its frames
    over and over, as published for VisTR."""
    min_score: float = 0.3
    """Objects below this score are left out of the masklets."""
    max_objects: int | None = 100
    """Objects followed per clip, the best first: those of the top_k pairs, and others that reach min_score. None
    follows those of the pairs alone, as published; average precision is measured so."""
    duplicates: Duplicates = "merge"
    """Two tracks of one class whose masks agree in more than 0.8 of their common frames' pixels are one masklet, or
    two; average precision is measured with both."""
    memory: int | None = None
    """Frames for which an object that left is remembered, to get its id back when it returns; 0 for none. None: as
    measured best in sessions with a latency, none in others."""
    precision: PrecisionChoice = "float32"
    """Number format of the network; bf16 is faster where the processor computes in it, and slightly less exact. auto
    takes it where the processor or GPU is made for it."""

    def __post_init__(self) -> None:
        for name, least in (("short_side", 16), ("clip_frames", 1), ("top_k", 1), ("max_objects", 1), ("memory", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} {value}: must be at least {least}")
        if self.long_side is not None and self.long_side < self.short_side:
            raise OptionError(f"long_side {self.long_side}: must be at least short_side {self.short_side}")
        if not 0 <= self.clip_overlap < self.clip_frames:
            raise OptionError(
                f"clip_overlap {self.clip_overlap}: must be at least 0 and below clip_frames {self.clip_frames}"
            )
        if not 0 <= self.min_score <= 1:
            raise OptionError(f"min_score {self.min_score}: must lie between 0 and 1")
        choices = (("precision", PrecisionChoice), ("short_clips", ShortClips), ("duplicates", Duplicates))
        for name, choice in choices:
            if getattr(self, name) not in get_args(choice):
                raise OptionError(f"{name} {getattr(self, name)!r}: must be one of {', '.join(get_args(choice))}")


Options = TypeVar("Options", bound=PredictorOptions)


class OptionChanges(TypedDict, total=False):
    """Options of `PredictorOptions` by name, any of them."""

    short_side: int
    long_side: int | None
    largest: tuple[int, int] | None
    clip_frames: int
    clip_overlap: int
    top_k: int
    short_clips: ShortClips
    min_score: float
    max_objects: int | None
    duplicates: Duplicates
    memory: int | None
    precision: PrecisionChoice


def recorded_options(inference: Mapping[str, Any], **changes: Any) -> PredictorOptions:
    """Options as a model folder records them, with `changes` that are not None; the defaults for what is unknown.

    A recorded score threshold of 0 is that of an evaluation, where none is wanted, and is left out; one above 0 belongs
    to the model. Raises ConfigError for what is recorded, OptionError for a change.
    """
    known = {field.name for field in fields(PredictorOptions)}
    if not inference.get("min_score"):
        known.discard("min_score")
    recorded = from_dict(
        PredictorOptions, {name: value for name, value in inference.items() if name in known}, "inference"
    )
    return replace(recorded, **{name: value for name, value in changes.items() if value is not None})


def changed_options(options: Options, changes: Mapping[str, Any]) -> Options:
    """Options with some values changed by name; OptionError for a name or a value that is not allowed."""
    try:
        return from_dict(type(options), {**to_dict(options), **changes})
    except ConfigError as error:
        raise OptionError(f"option {error}") from error
