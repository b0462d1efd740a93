"""The dials of the rendered set: what is in a video and how hard it is."""

from dataclasses import dataclass, field, fields
from typing import Any

from maskreel.errors import UsageError
from maskreel.rendered.silhouettes import CLASS_NAMES

MOTION_CLASSES = ("rising", "sinking")
"""What the classes are where motion alone tells them apart."""
LEAST_ABSENCE = 5
"""Frames that an object is away at least, where a dial sets the longest absence."""
CHANGES = ("fast", "scale", "aspect", "viewpoint", "shadow", "reflection", "camouflage")
"""Words for what sets a whole video apart; the dial of each is the share of videos."""
EVENT_NAMES = (
    *("lookalike", "occlusion", "crossing", "entry", "exit", "return", "fast", "crowded"),
    *("lookalikes_meet", "dropped", *CHANGES[1:]),
)
"""Words that a video's `dials` list may hold."""


def _dial(default: Any, low: int | float, high: int | float) -> Any:
    """A field with its allowed range, both ends included."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class SyntheticDials:
    """Content and difficulty of rendered videos; the defaults are the project's yardstick and never change."""

    frames: int = _dial(12, 1, 100_000)
    """Frames per video."""
    height: int = _dial(96, 32, 4096)
    """Rows of a frame."""
    width: int = _dial(160, 32, 4096)
    """Columns of a frame."""
    classes: int = _dial(4, 1, len(CLASS_NAMES))
    """Classes in use, in the order disc, star, box, ring, triangle, cross, crescent, arrow."""
    min_objects: int = _dial(1, 1, 16)
    """Fewest objects of a video; events that need two or three objects raise it."""
    max_objects: int = _dial(4, 1, 16)
    """Most objects of a video."""
    min_size: float = _dial(0.32, 0.1, 1.0)
    """Smallest diameter of an object, in shorter sides of the frame."""
    max_size: float = _dial(0.55, 0.1, 1.0)
    """Largest diameter of an object, in shorter sides of the frame."""
    deformation: float = _dial(0.1, 0.0, 0.4)
    """How far outlines bulge and bend, as a fraction of the radius; half of it lasts, half swings."""
    scale_change: float = _dial(1.3, 1.0, 4.0)
    """Ratio of an object's largest to its smallest possible size."""
    aspect_change: float = _dial(1.2, 1.0, 3.0)
    """Ratio of an object's widest to its narrowest possible stretch."""
    speed: float = _dial(0.025, 0.0, 0.5)
    """Typical motion of an object per frame, in shorter sides of the frame."""
    rotation: float = _dial(0.015, 0.0, 0.25)
    """Fastest rotation, in turns per frame."""
    blur: float = _dial(0.0, 0.0, 1.0)
    """Exposure of a frame as a fraction of the frame interval; 0 freezes motion."""
    occlusion_probability: float = _dial(1 / 3, 0.0, 1.0)
    """Share of videos in which one object passes over another."""
    crossing_probability: float = _dial(0.5, 0.0, 1.0)
    """Share of these in which the two swap sides; in the others they touch and part."""
    exit_probability: float = _dial(1 / 3, 0.0, 1.0)
    """Share of videos in which an object is out of the frame for a while."""
    return_probability: float = _dial(0.5, 0.0, 1.0)
    """Share of these in which it leaves and comes back; the others are entries and exits, half and half."""
    lookalike_probability: float = _dial(0.5, 0.0, 1.0)
    """Share of videos with two objects of the same class, texture and size."""
    clutter: float = _dial(0.5, 0.0, 1.0)
    """Amount of patches, lines and specks in the background."""
    lookalikes_meet: float = _dial(0.0, 0.0, 1.0)
    """Share of videos with a meeting whose meeting pair is the look-alike pair; elsewhere the two are drawn apart."""
    passing_distance: float = _dial(0.0, 0.0, 0.9)
    """How far beside each other's centres crossing objects pass, in sums of their radii; up to 0.2 is added."""
    absence: int = _dial(0, 0, 100_000)
    """Longest absence, in frames, of an object that leaves and comes back; the shortest is 5, and where there are
    look-alikes it is one of them. 0: about a seventh of the video, whoever it is."""
    dropped_frames: float = _dial(0.0, 0.0, 0.9)
    """Share of frames that are lost: noise, under which the truth goes on, or the picture and truth of the frame before
    once more. The first frame is never lost."""
    motion_class: bool = _dial(False, False, True)
    """Classes are `rising` and `sinking` instead of silhouettes: no single frame tells them apart. Nothing meets or
    leaves."""
    fast: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects move three times as far per frame as by default."""
    scale: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects grow and shrink by 2.5."""
    aspect: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects are stretched and squeezed by 1.7."""
    viewpoint: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects turn away from the camera, by up to 65 degrees."""
    shadow: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects throw a shadow on what is behind them; it belongs to no mask."""
    reflection: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects are mirrored below themselves; the mirror image belongs to no mask."""
    camouflage: float = _dial(0.0, 0.0, 1.0)
    """Share of videos whose objects wear the texture of the background."""

    def __post_init__(self) -> None:
        """Refuse values out of range, naming the option.

        Raises:
            UsageError: with the option, the value and what is allowed.
        """
        for dial in fields(self):
            value, (low, high) = getattr(self, dial.name), dial.metadata["range"]
            option = "--" + dial.name.replace("_", "-")
            if not low <= value <= high:
                raise UsageError(f"{option} is {value}; allowed is {low:g} to {high:g}.")
        if 0 < self.absence < LEAST_ABSENCE:
            raise UsageError(f"--absence is {self.absence}; allowed is {LEAST_ABSENCE} frames or more, or 0.")
        for least, most in (("min_objects", "max_objects"), ("min_size", "max_size")):
            if getattr(self, least) > getattr(self, most):
                low_option, high_option = least.replace("_", "-"), most.replace("_", "-")
                raise UsageError(
                    f"--{low_option} is {getattr(self, least)}, above --{high_option} {getattr(self, most)}; "
                    f"lower the first or raise the second."
                )
