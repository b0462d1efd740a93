"""Pseudo clips: a still image with its objects becomes a short video, by moving it a little from frame to frame.

Stills come from COCO; a video of one frame in a YouTube-VIS file is one. SeqFormer (arXiv 2112.08275) sets the image
among warped copies of it, TAFormer (arXiv 2301.09416) turns it a little differently for every frame.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maskreel.data.augment import drop_absent, recolour, with_masks
from maskreel.data.clip_runs import ClipRuns
from maskreel.data.config import StillMotion
from maskreel.structures import Clip, ClipTarget

MAX_OBJECTS = 25
"""Stills with more objects are not trained on (SeqFormer)."""
ANGLE = 20.0
"""Degrees to either side."""
PERSPECTIVE = 0.08
"""Standard deviation of how far a corner moves in, as a fraction of the sides."""
SHIFT = 0.1
"""Greatest shift, as a fraction of the sides."""
BRIGHTNESS, HUE, SATURATION = 40.0, 5.0, 0.05
"""Reach in channel values of 0 to 255, in degrees, and as a fraction."""
BLUR_PROBABILITY = 0.25
BLUR_LENGTHS = (9, 11)
"""Pixels along which a moving camera smears a frame."""

YTVIS_2019 = (
    *("person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey"),
    *("hand", "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear"),
    *("motorbike", "giraffe", "leopard", "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra"),
    *("tiger", "elephant", "snowboard", "boat", "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket"),
)
"""Classes of YouTube-VIS 2019; ids count from 1."""
YTVIS_2021 = (
    *("airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck"),
    *("earless_seal", "elephant", "fish", "flying_disc", "fox", "frog", "giant_panda", "giraffe", "horse", "leopard"),
    *("lizard", "monkey", "motorbike", "mouse", "parrot", "person", "rabbit", "shark", "skateboard", "snake"),
    *("snowboard", "squirrel", "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale", "zebra"),
)
"""Classes of YouTube-VIS 2021 and 2022; ids count from 1."""

_IN_BOTH = {
    "person": "person",
    "bicycle": "motorbike",
    "motorcycle": "motorbike",
    "airplane": "airplane",
    "train": "train",
    "truck": "truck",
    "boat": "boat",
    "cat": "cat",
    "dog": "dog",
    "horse": "horse",
    "cow": "cow",
    "elephant": "elephant",
    "bear": "bear",
    "zebra": "zebra",
    "giraffe": "giraffe",
    "snowboard": "snowboard",
    "skateboard": "skateboard",
    "surfboard": "surfboard",
    "tennis racket": "tennis_racket",
}
COCO_TO_2019 = {**_IN_BOTH, "car": "sedan"}
"""COCO classes as SeqFormer maps them to YouTube-VIS 2019, but its slip from computer mouse to fox."""
COCO_TO_2021 = {**_IN_BOTH, "car": "car", "bird": "bird", "mouse": "mouse"}
"""COCO classes as SeqFormer maps them to YouTube-VIS 2021. COCO's mouse belongs to a computer."""


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Which COCO classes are kept, and the list of classes that they become part of."""

    names: tuple[str, ...]
    """Target classes; the id of each is its position, from 1."""
    renamed: dict[str, str]
    """Target class by COCO class; other COCO classes are left out."""


CLASS_MAPS = {
    "ytvis19": ClassMap(names=YTVIS_2019, renamed=COCO_TO_2019),
    "ytvis21": ClassMap(names=YTVIS_2021, renamed=COCO_TO_2021),
}
"""By dataset; YouTube-VIS 2022 has the classes of 2021."""


def is_crowded(objects: ClipTarget | ClipRuns) -> bool:
    """Whether a still has more objects than a pseudo clip is made of."""
    return len(objects.labels) > MAX_OBJECTS


def pseudo_clip(
    clip: Clip, target: ClipTarget, motion: StillMotion, generator: np.random.Generator
) -> tuple[Clip, ClipTarget]:
    """Move a still that `clip` holds once per frame; objects that no frame shows afterwards are dropped.

    Where objects overlap, the later one covers the earlier, so that a pixel belongs to one object at most. With "warp"
    the still itself is one of the frames, at a random place.
    """
    num_frames, _, height, width = clip.frames.shape
    if motion == "repeat" or num_frames == 1:
        return clip, target
    labels = _label_map(target)
    kept = int(generator.integers(num_frames)) if motion == "warp" else -1
    frames = clip.frames.clone()
    maps = labels.repeat(num_frames, 1, 1)
    for t in range(num_frames):
        if t == kept:
            continue
        homography = _warp(height, width, generator) if motion == "warp" else _rotation(height, width, generator)
        frames[t], maps[t] = _moved(clip.frames[t], labels, homography)
        if motion == "warp":
            frames[t] = _recoloured(frames[t], generator)
    masks = maps == rearrange(torch.arange(1, len(target.labels) + 1), "n -> n 1 1 1")
    return replace(clip, frames=frames), drop_absent(with_masks(target, masks))


def _label_map(target: ClipTarget) -> Int[Tensor, "h w"]:
    """Object number (from 1) per pixel of the first frame, 0 for background; later objects cover earlier ones."""
    labels = torch.zeros(target.masks.shape[-2:], dtype=torch.int64)
    for number, mask in enumerate(target.masks[:, 0], start=1):
        labels[mask] = number
    return labels


def _rotation(height: int, width: int, generator: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Where a pixel of the turned image comes from: a turn about the centre."""
    angle = math.radians(generator.uniform(-ANGLE, ANGLE))
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return _about_centre(turn, height, width)


def _warp(height: int, width: int, generator: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Where a pixel of the warped image comes from: a change of perspective, then a turn and a shift."""
    moved_in = np.abs(generator.normal(0, PERSPECTIVE, (4, 2))).clip(max=0.4)
    shift = np.eye(3)
    shift[:2, 2] = generator.uniform(-SHIFT, SHIFT, 2) * (width, height)
    return _perspective(moved_in, height, width) @ _rotation(height, width, generator) @ shift


def _perspective(moved_in: Float[np.ndarray, "4 2"], height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """Homography from the corners of the frame to points inside it, each corner moved in by fractions of the sides."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
    inside = (corners + moved_in * (1 - 2 * corners)) * (width, height)
    corners *= (width, height)
    rows = []
    for (x, y), (u, v) in zip(corners, inside, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), inside.reshape(-1)), 1.0).reshape(3, 3)


def _about_centre(matrix: Float[np.ndarray, "3 3"], height: int, width: int) -> Float[np.ndarray, "3 3"]:
    to_centre, back = np.eye(3), np.eye(3)
    to_centre[:2, 2] = (-width / 2, -height / 2)
    back[:2, 2] = (width / 2, height / 2)
    return back @ matrix @ to_centre


def _moved(
    frame: UInt8[Tensor, "3 h w"], labels: Int[Tensor, "h w"], homography: Float[np.ndarray, "3 3"]
) -> tuple[UInt8[Tensor, "3 h w"], Int[Tensor, "h w"]]:
    """A frame (bilinear) and its label map (nearest) sampled where the homography points; black outside."""
    height, width = labels.shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    u, v, w = (float(a) * x + float(b) * y + float(c) for a, b, c in homography)
    grid = torch.stack((2 * u / (w * width) - 1, 2 * v / (w * height) - 1), dim=-1)[None]
    pixels = F.grid_sample(frame[None].float(), grid, align_corners=False)[0]
    numbers = F.grid_sample(labels[None, None].float(), grid, mode="nearest", align_corners=False)[0, 0]
    return pixels.round_().clamp_(0, 255).byte(), numbers.long()


def _recoloured(frame: UInt8[Tensor, "3 h w"], generator: np.random.Generator) -> UInt8[Tensor, "3 h w"]:
    """Another brightness, hue and saturation, and now and then the smear of a moving camera."""
    colours = recolour(
        frame,
        brightness=generator.uniform(-BRIGHTNESS, BRIGHTNESS),
        saturation=1 + generator.uniform(-SATURATION, SATURATION),
        hue=generator.uniform(-HUE, HUE),
    )
    if generator.random() < BLUR_PROBABILITY:
        colours = _smeared(colours, int(generator.choice(BLUR_LENGTHS)), generator.uniform(0, math.pi))
    return colours.round().clamp(0, 255).byte()


def _smeared(colours: Float[Tensor, "3 h w"], length: int, angle: float) -> Float[Tensor, "3 h w"]:
    """The mean along a line of `length` pixels, across the frame's border its outermost pixels repeated."""
    steps = torch.arange(length) - length // 2
    kernel = torch.zeros(length, length)
    rows = (steps * math.sin(angle)).round().long() + length // 2
    columns = (steps * math.cos(angle)).round().long() + length // 2
    kernel[rows, columns] = 1
    kernel /= kernel.sum()
    padded = F.pad(colours[:, None], (length // 2,) * 4, mode="replicate")
    return F.conv2d(padded, kernel[None, None])[:, 0]
