"""Random changes to a clip: geometry is drawn once for all its frames, colour anew for each (SeqFormer's recipe).

Every draw comes from the generator that the caller passes. Masks follow the frames, boxes are drawn around the changed
masks, and an object that no frame shows any more is dropped.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from maskreel.errors import OptionError
from maskreel.geometry.masks import PixelPlaces, boxes_from_masks
from maskreel.structures import Clip, ClipTarget
from maskreel.video.prepare import fit_size, resize_frames

PHOTOMETRIC_PROBABILITY = 0.5
"""Chance of each single distortion: brightness, contrast, saturation, hue, swapped channels."""
BRIGHTNESS_REACH = 32.0
"""Added to or taken from channel values of 0 to 255."""
CONTRAST_RANGE = SATURATION_RANGE = (0.5, 1.5)
HUE_REACH = 18.0
"""Degrees on the colour circle."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Sizes and chances of the random changes; the defaults are those of the published SeqFormer runs."""

    flip_probability: float = 0.5
    """Chance that a clip is mirrored left to right."""
    photometric: Literal["none", "per_frame", "per_clip"] = "per_frame"
    """Colour distortion: none, drawn anew for every frame, or once for the clip."""
    scales: tuple[int, ...] = (288, 320, 352, 392, 416, 448, 480, 512)
    """Shortest side of the result in pixels; one is drawn."""
    max_size: int = 768
    """Longest side of the result in pixels; it wins over the shortest."""
    crop_probability: float = 0.5
    """Chance that a window is cut out before the last resize."""
    crop_scales: tuple[int, ...] = (400, 500, 600)
    """Shortest side to which a clip is resized before a window is cut out; one is drawn."""
    crop_sides: tuple[int, int] = (384, 600)
    """Least and greatest side of the window in pixels, within the resized clip."""

    def __post_init__(self) -> None:
        for name in ("scales", "crop_scales", "crop_sides"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise OptionError(f"{name} {getattr(self, name)}: expected at least one size, all of 1 pixel or more")
        if self.crop_sides[0] > self.crop_sides[1]:
            raise OptionError(f"crop_sides {self.crop_sides}: the least side comes first")
        if self.max_size < 1:
            raise OptionError(f"max_size {self.max_size}: must be at least 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """What was drawn for one clip: mirrored or not, resized, a window perhaps cut out and resized again, recoloured.

    Frames may be smaller than the masks, and of the same aspect; sizes are those of the masks.
    """

    size: tuple[int, int]
    """(height, width) of the masks before."""
    is_mirrored: bool
    resized: tuple[int, int]
    """The size that they get first."""
    window: "_Window | None"
    """What is cut out of them then."""
    last: tuple[int, int]
    """The size that they get at the end; `resized` without a window."""
    colours: "tuple[_Distortion, ...]"
    """One per frame; none where colours stay."""

    @property
    def places(self) -> PixelPlaces:
        """The pixels of the clip that the changed one shows."""
        whole = PixelPlaces.whole(*self.size)
        resized = (whole.mirrored() if self.is_mirrored else whole).resized(self.resized)
        if (cut := self.window) is None:
            return resized
        return resized.window(top=cut.top, left=cut.left, size=cut.size).resized(self.last)

    def moved(self, frames: UInt8[Tensor, "t 3 _ _"]) -> UInt8[Tensor, "t 3 new_h new_w"]:
        """Frames, all or some of them, mirrored, resized and cut."""
        frames = resize_frames(frames.flip(-1) if self.is_mirrored else frames, self.resized)
        if (cut := self.window) is None:
            return frames
        (height, width), top, left = cut.size, cut.top, cut.left
        return resize_frames(frames[..., top : top + height, left : left + width], self.last)

    def recoloured(self, frames: UInt8[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 3 h w"]:
        """All frames with other colours.

        Colour comes last although the published code changes it first: it acts on single pixels, and there are fewer
        of them after the resize.
        """
        return _distorted(frames, self.colours) if self.colours else frames


def draw_changes(
    size: tuple[int, int], settings: Augmentation, generator: np.random.Generator, *, num_frames: int
) -> Changes:
    """Draw the changes of a clip whose masks are of `size` (height, width)."""
    is_mirrored = bool(generator.random() < settings.flip_probability)
    window = resized = None
    if generator.random() < settings.crop_probability:
        resized = fit_size(*size, shortest=int(generator.choice(settings.crop_scales)))
        window = _draw_window(resized, settings.crop_sides, generator)
    last = fit_size(
        *(window.size if window else size), shortest=int(generator.choice(settings.scales)), longest=settings.max_size
    )
    colours = ()
    if settings.photometric != "none":
        colours = _draw_distortions(num_frames, generator, is_shared=settings.photometric == "per_clip")
    return Changes(
        size=size,
        is_mirrored=is_mirrored,
        resized=resized or last,
        window=window,
        last=last,
        colours=colours,
    )


def augment(
    clip: Clip, target: ClipTarget, settings: Augmentation, generator: np.random.Generator
) -> tuple[Clip, ClipTarget]:
    """Mirror, crop, resize and recolour a clip; objects that it does not show any more are dropped."""
    height, width = target.masks.shape[-2:]
    changes = draw_changes((height, width), settings, generator, num_frames=len(clip.frames))
    frames = changes.recoloured(changes.moved(clip.frames))
    return replace(clip, frames=frames), drop_absent(with_masks(target, changes.places.of(target.masks)))


def resize_clip(
    clip: Clip, target: ClipTarget, *, shortest: int, longest: int | None = None
) -> tuple[Clip, ClipTarget]:
    """The clip at the size for evaluation; objects are kept even where the smaller masks lose them."""
    height, width = target.masks.shape[-2:]
    size = fit_size(height, width, shortest=shortest, longest=longest)
    masks = PixelPlaces.whole(height, width).resized(size).of(target.masks)
    return replace(clip, frames=resize_frames(clip.frames, size)), with_masks(target, masks)


def with_masks(target: ClipTarget, masks: Bool[Tensor, "n t h w"]) -> ClipTarget:
    """The target with changed masks, and boxes drawn around them."""
    boxes = boxes_from_masks(masks)
    return replace(target, masks=masks, boxes=boxes, is_visible=boxes[..., 2] > 0)


def drop_absent(target: ClipTarget) -> ClipTarget:
    """The objects that at least one frame shows."""
    kept = target.is_visible.any(dim=-1)
    if bool(kept.all()):
        return target
    return ClipTarget(
        labels=target.labels[kept],
        boxes=target.boxes[kept],
        masks=target.masks[kept],
        is_visible=target.is_visible[kept],
        track_id=target.track_id[kept],
    )


def recolour(
    frame: UInt8[Tensor, "3 h w"], *, brightness: float = 0.0, saturation: float = 1.0, hue: float = 0.0
) -> Float[Tensor, "3 h w"]:
    """Add to all channels, scale the saturation, turn the hue by degrees; not rounded, may leave 0 to 255."""
    colours = frame.contiguous().float().add_(brightness)
    return _turn_colours(colours, saturation=saturation, hue=hue) if hue or saturation != 1 else colours


@dataclass(frozen=True, kw_only=True)
class _Distortion:
    """Draws for one frame; the defaults change nothing."""

    brightness: float = 0.0
    early_contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    late_contrast: float = 1.0
    channels: tuple[int, ...] = (0, 1, 2)


def _draw_distortions(num_frames: int, generator: np.random.Generator, *, is_shared: bool) -> tuple[_Distortion, ...]:
    """Brightness, contrast, saturation, hue and channel order, each with probability one half (SSD, arXiv 1512.02325).

    Contrast comes before saturation and hue or after them. Each frame has draws of its own unless `is_shared`.
    """
    shared = _draw_distortion(generator) if is_shared else None
    return tuple(shared or _draw_distortion(generator) for _ in range(num_frames))


def _draw_distortion(generator: np.random.Generator) -> _Distortion:
    def draw(low: float, high: float, neutral: float) -> float:
        is_applied = generator.random() < PHOTOMETRIC_PROBABILITY
        return float(generator.uniform(low, high)) if is_applied else neutral

    contrast = draw(*CONTRAST_RANGE, 1.0)
    is_early = generator.random() < 0.5
    return _Distortion(
        brightness=draw(-BRIGHTNESS_REACH, BRIGHTNESS_REACH, 0.0),
        early_contrast=contrast if is_early else 1.0,
        saturation=draw(*SATURATION_RANGE, 1.0),
        hue=draw(-HUE_REACH, HUE_REACH, 0.0),
        late_contrast=1.0 if is_early else contrast,
        channels=tuple(generator.permutation(3).tolist())
        if generator.random() < PHOTOMETRIC_PROBABILITY
        else (0, 1, 2),
    )


def _distorted(frames: Tensor, draws: tuple[_Distortion, ...]) -> Tensor:
    distorted = torch.empty(frames.shape, dtype=torch.uint8)
    # One frame at a time: many passes over few pixels stay in the cache.
    for frame, result, drawn in zip(frames, distorted, draws, strict=True):
        result.copy_(_distort(frame, drawn).round_().clamp_(0, 255))
    return distorted


def _distort(frame: Tensor, draws: _Distortion) -> Tensor:
    colours = frame.contiguous().float().add_(draws.brightness).mul_(draws.early_contrast)
    if draws.hue or draws.saturation != 1:
        colours = _turn_colours(colours, saturation=draws.saturation, hue=draws.hue)
    return colours.mul_(draws.late_contrast)[list(draws.channels)]


def _turn_colours(colours: Tensor, *, saturation: float, hue: float) -> Tensor:
    """Scale the saturation and turn the hue by degrees, as in the (hue, saturation, value) form of a colour.

    That form says channel = value - chroma * darkening(hue), and chroma is proportional to the saturation.
    """
    value = colours.amax(dim=0)
    if not hue:
        return value - (value - colours) * saturation
    red, green, blue = colours
    chroma = value - colours.amin(dim=0)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    # The hue in sixths of the circle: 0 is red, 2 green, 4 blue, and between them the other two channels decide.
    sixths = torch.where(green == value, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
    sixths = torch.where(red == value, (green - blue) / divisor, sixths) + hue / 60
    offsets = torch.tensor([3.0, 1.0, -1.0]).view(3, 1, 1)
    # Distance on a circle of six from the place where the channel is darkest; the darkening falls from 1 to 0 between
    # distances of one and two.
    distance = (sixths + offsets).abs_().sub_(3).abs_().sub_(3).abs_()
    return value - distance.neg_().add_(2).clamp_(0, 1).mul_(chroma * saturation)


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A part of a clip that is cut out."""

    top: int
    left: int
    size: tuple[int, int]
    """(height, width)"""


def _draw_window(available: tuple[int, int], sides: tuple[int, int], generator: np.random.Generator) -> _Window:
    least, greatest = sides
    height, width = (int(generator.integers(min(least, side), min(greatest, side) + 1)) for side in available)
    top = int(generator.integers(available[0] - height + 1))
    left = int(generator.integers(available[1] - width + 1))
    return _Window(top=top, left=left, size=(height, width))
