"""One object found in a video: its masks over time under one identity, as run-length codes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

if TYPE_CHECKING:
    Masks = Sequence[Rle | None]
else:
    # Some sequences read or parse a mask when it is asked for, so that a check of types at run time must ask for none.
    Masks = Sequence

Box = tuple[float, float, float, float]
"""(x of the left side, y of the top, width, height) in pixels."""


@dataclass(frozen=True, kw_only=True)
class Masklet:
    """One object followed through a video."""

    track_id: int
    """Unique in its video."""
    label: int
    """Position of the class in `Masklets.classes`."""
    category_id: int
    """The class's id in the data that the model was trained on."""
    score: float
    """Confidence in [0, 1]."""
    segmentations: Masks
    """One mask per decoded frame, None where the object is not seen."""

    @property
    def boxes(self) -> list[Box | None]:
        """Tight box (x, y, width, height) in pixels per decoded frame, None where the object is not seen."""
        return [None if mask is None else rle.bounding_box(mask) for mask in self.segmentations]

    def to_youtube_vis(self, video_id: int) -> dict[str, Any]:
        """Entry of a YouTube-VIS results file."""
        return {
            "video_id": video_id,
            "category_id": self.category_id,
            "score": self.score,
            "segmentations": [None if mask is None else mask.to_json() for mask in self.segmentations],
        }

    def to_dict(self) -> dict[str, Any]:
        """The object's entry in the JSON file of its video."""
        return _head(self) | {
            "segmentations": [None if mask is None else mask.to_json() for mask in self.segmentations],
            "boxes": [None if box is None else list(box) for box in self.boxes],
        }


def write_masklet(masklet: Masklet, out: TextIO) -> None:
    """`to_dict` as JSON, one mask in memory at a time."""
    out.write(json_text(_head(masklet))[:-1])
    for key, text in (("segmentations", _mask_text), ("boxes", _box_text)):
        separator = f',"{key}":['
        for mask in masklet.segmentations:
            out.write(separator)
            out.write("null" if mask is None else text(mask))
            separator = ","
        out.write(separator if separator != "," else "")
        out.write("]")
    out.write("}")


def json_text(value: Any) -> str:
    """Compact JSON; a ValueError where a number is none."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _head(masklet: Masklet) -> dict[str, Any]:
    return {
        "track_id": masklet.track_id,
        "category_id": masklet.category_id,
        "label": masklet.label,
        "score": masklet.score,
    }


def _mask_text(mask: Rle) -> str:
    return json_text(mask.to_json())


def _box_text(mask: Rle) -> str:
    return json_text(rle.bounding_box(mask))
