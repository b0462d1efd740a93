"""Draws one video of the rendered set: frames, true visible masks, and the names of what happens in it.

A video depends on (seed, index, dials) only, so that videos may be drawn in any order and in any process.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from maskreel.rendered.dials import CHANGES, SyntheticDials
from maskreel.rendered.draws import Draws, direction, wave
from maskreel.rendered.events import Events, changed_dials, choose_events
from maskreel.rendered.lost_frames import LostFrames, lose_frames
from maskreel.rendered.silhouettes import REACH, extent, is_inside
from maskreel.rendered.textures import (
    TILE,
    Colour,
    Image,
    Palette,
    Texture,
    background,
    camouflaged,
    object_palette,
    object_texture,
    sample_tile,
    shift_image,
)
from maskreel.rendered.trajectories import Pose, plan_poses

SUPERSAMPLING = 3
"""Sub-pixels per side that decide how much of a pixel an object covers."""
EXPOSURES = 5
"""Moments of a frame that a blurred picture averages."""
LEAST_PIXELS_IN_VIDEO = 16
"""An object that never shows this many pixels is left out."""
LEAST_PIXELS_IN_FRAME = 4
"""Below this an object counts as absent from the frame."""
OCCLUDED_SHARE = 0.2
"""An object that loses more than this share of itself to others in some frame counts as occluded."""
LEAST_PIXELS_TO_JUDGE = 64
"""Smaller remains at the frame's border say nothing about occlusion."""
LOBE_STRENGTH = 0.7
"""Relative change of the radius per unit of bulge."""
PAN_REACH = 0.25
"""Farthest camera shift, in shorter sides."""
PAN_RATE = 0.008
"""Camera swings per frame."""


SHADOW, REFLECTION = 0.45, 0.4
"""How much of what is behind them a shadow and a mirror image hide."""
SHADOW_SHIFT = 0.45
"""Radii between an object and its shadow."""

_EVENTS, _BACKGROUND, _OBJECTS, _MOTION, _CHANGES, _DROPPED = range(6)
"""Last key of a video's random streams: a dial of one leaves the others as they are."""

Coordinates = Float[np.ndarray, "..."]
Points = Float[np.ndarray, " points"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderedVideo:
    """Frames with their truth; an object that is hidden or away has an empty mask."""

    frames: UInt8[np.ndarray, "t h w 3"]
    masks: Bool[np.ndarray, "n t h w"]
    """Visible pixels only: where the object in front covers at least half of the pixel."""
    labels: Int[np.ndarray, " n"]
    """Position of the class in `silhouettes.CLASS_NAMES`, or in `dials.MOTION_CLASSES` where motion makes the class."""
    dials: tuple[str, ...]
    """Events that happen in this video, out of `dials.EVENT_NAMES`."""
    noise_frames: tuple[int, ...]
    """Frames that show noise; their masks are those of the scene beneath."""
    frozen_frames: tuple[int, ...]
    """Frames that repeat picture and masks of the frame before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Body:
    """One object: its class, outline, surface and motion."""

    label: int
    silhouette: int
    texture: Texture
    pose: Pose
    light: tuple[float, float]
    """Direction in the frame from which the surface is lit."""


def render_video(seed: int, index: int, dials: SyntheticDials) -> RenderedVideo:
    """Draw video `index` of the set that `seed` names; both at least 0."""
    dials, changes = changed_dials(Draws(seed, index, _CHANGES), dials)
    events = choose_events(Draws(seed, index, _EVENTS), dials, changes)
    exposures = EXPOSURES if dials.blur > 0 else 1
    moments = (np.arange(exposures) / exposures - 0.5 * (exposures > 1)) * dials.blur
    times = (np.arange(dials.frames)[:, None] + moments[None, :]).ravel()
    draws = Draws(seed, index, _BACKGROUND)
    canvas, ground_colour, tops, lefts = _ground(draws, dials)
    poses = plan_poses(Draws(seed, index, _MOTION), dials, events, times)
    bodies = _bodies(Draws(seed, index, _OBJECTS), dials, events, ground_colour, poses)
    if "camouflage" in changes:
        bodies = _camouflaged(bodies, events, canvas, float(tops.mean()), float(lefts.mean()))

    frames = np.zeros((dials.frames, dials.height, dials.width, 3), dtype=np.uint8)
    whole = np.zeros((len(bodies), dials.frames, dials.height, dials.width), dtype=bool)
    for t in range(dials.frames):
        image = shift_image(canvas, float(tops[t]), float(lefts[t]), dials.height, dials.width)
        for k, body in enumerate(bodies):
            seen = range(t * exposures, (t + 1) * exposures)
            for ghost, opacity in _ghosts(body, changes):
                _paint(image, ghost, seen, opacity)
            whole[k, t] = _paint(image, body, seen)
        frames[t] = np.floor(image * 255 + 0.5).astype(np.uint8)
    lost = lose_frames(Draws(seed, index, _DROPPED), dials.dropped_frames, frames, whole)
    return _assemble(frames, whole, np.array([body.label for body in bodies]), events, lost)


def _ground(draws: Draws, dials: SyntheticDials) -> tuple[Image, Colour, Points, Points]:
    """A canvas larger than the frame, its average colour, and the frame's top and left edge in it over time."""
    shorter = min(dials.height, dials.width)
    reach = PAN_REACH * shorter
    border = 2 * int(reach + 2)
    canvas, colour = background(
        draws, dials.height + border, dials.width + border, unit=shorter / 100, clutter=dials.clutter
    )
    tops, lefts = (
        reach
        + 1
        + reach * wave(np.arange(dials.frames) * (PAN_RATE * draws.uniform(0.3, 1.0)) + draws.uniform(0.0, 1.0))
        for _ in range(2)
    )
    return canvas, colour, tops, lefts


def _bodies(draws: Draws, dials: SyntheticDials, events: Events, ground: Colour, poses: list[Pose]) -> list[_Body]:
    """Objects from back to front."""
    palettes: list[Palette] = []
    silhouettes, textures = [], []
    for _ in poses:
        palettes.append(object_palette(draws, ground, palettes))
        silhouettes.append(draws.integer(0, dials.classes - 1))
        textures.append(object_texture(draws, palettes[-1]))
    if events.lookalikes is not None:
        first, second = events.lookalikes
        silhouettes[second], textures[second] = silhouettes[first], textures[first]
    light = direction(draws.uniform(0.0, 1.0))
    sinks = None if events.is_rising is None else [int(not is_rising) for is_rising in events.is_rising]
    return [
        _Body(label=label, silhouette=silhouette, texture=texture, pose=pose, light=light)
        for label, silhouette, texture, pose in zip(sinks or silhouettes, silhouettes, textures, poses, strict=True)
    ]


def _camouflaged(bodies: list[_Body], events: Events, canvas: Image, top: float, left: float) -> list[_Body]:
    """The bodies in the texture of the ground at their mean place; look-alikes go on sharing one."""
    textures = []
    for body in bodies:
        row, column, radius = (float(track.mean()) for track in (body.pose.y, body.pose.x, body.pose.radius_x))
        textures.append(camouflaged(body.texture, canvas, top + row, left + column, 2 * REACH * radius))
    if events.lookalikes is not None:
        first, second = events.lookalikes
        textures[second] = textures[first]
    return [replace(body, texture=texture) for body, texture in zip(bodies, textures, strict=True)]


def _ghosts(body: _Body, changes: frozenset[str]) -> list[tuple[_Body, float]]:
    """What an object leaves on the ground and on objects behind it, and how opaque that is."""
    pose = body.pose
    radius = np.maximum(pose.radius_x, pose.radius_y)
    ghosts = []
    if "shadow" in changes:
        across, down = (SHADOW_SHIFT * radius * along for along in body.light)
        shadow = replace(pose, x=pose.x - across, y=pose.y - down)
        ghosts.append((replace(body, pose=shadow, texture=np.zeros_like(body.texture)), SHADOW))
    if "reflection" in changes:
        mirrored = replace(pose, y=pose.y + 1.9 * radius, sine=-pose.sine, radius_y=-pose.radius_y)
        ghosts.append((replace(body, pose=mirrored), REFLECTION))
    return ghosts


def _paint(image: Image, body: _Body, moments: range, opacity: float = 1.0) -> Bool[np.ndarray, "h w"]:
    """Draw one object over the image, in place; returns the pixels it covers by at least half."""
    covered = np.zeros(image.shape[:2], dtype=bool)
    window = _window(body, moments, image.shape[0], image.shape[1])
    if window is None:
        return covered
    rows, columns = window
    y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    count = np.zeros((len(y), len(x)), dtype=np.int64)
    light = np.zeros((len(y), len(x), 3))
    offsets = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5
    fine_y = (y[:, None] + offsets[None, :]).reshape(-1, 1)
    fine_x = (x[:, None] + offsets[None, :]).reshape(1, -1)
    for moment in moments:
        inside = is_inside(body.silhouette, *object_coordinates(body.pose, moment, fine_x, fine_y))
        hits = inside.reshape(len(y), SUPERSAMPLING, len(x), SUPERSAMPLING).astype(np.int64).sum(axis=(1, 3))
        row, column = np.nonzero(hits)
        surface = _surface(body, moment, x[column].astype(np.float64), y[row].astype(np.float64))
        light[row, column] += surface * hits[row, column][:, None]
        count += hits
    full = len(moments) * SUPERSAMPLING * SUPERSAMPLING
    kept = ((full - opacity * count) / full)[..., None]
    image[rows, columns] = image[rows, columns] * kept + opacity * light / full
    covered[rows, columns] = 2 * count >= full
    return covered


def _window(body: _Body, moments: range, height: int, width: int) -> tuple[slice, slice] | None:
    """Rows and columns of the frame that an object may touch; None when it is outside."""
    steps = slice(moments.start, moments.stop)
    pose = body.pose
    *lobes, bend = np.abs(pose.bulge[steps]).max(axis=0).tolist()
    stretch = (1 + LOBE_STRENGTH * (lobes[0] + lobes[1] + lobes[2] + lobes[3])) * (1 + 1.4 * bend)
    radius = float(np.maximum(pose.radius_x[steps], pose.radius_y[steps]).max())
    reach = extent(body.silhouette) * stretch * radius + 1
    top, bottom = int(np.floor(pose.y[steps].min() - reach)), int(np.ceil(pose.y[steps].max() + reach))
    left, right = int(np.floor(pose.x[steps].min() - reach)), int(np.ceil(pose.x[steps].max() + reach))
    rows, columns = slice(max(top, 0), min(bottom + 1, height)), slice(max(left, 0), min(right + 1, width))
    return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)


def object_coordinates(pose: Pose, moment: int, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Pixels to the coordinates in which the silhouette and the texture of an object stand still."""
    dx, dy = x - float(pose.x[moment]), y - float(pose.y[moment])
    cosine, sine = float(pose.cosine[moment]), float(pose.sine[moment])
    u = (cosine * dx + sine * dy) / float(pose.radius_x[moment])
    v = (cosine * dy - sine * dx) / float(pose.radius_y[moment])
    two_cosine, two_sine, three_cosine, three_sine, bend = pose.bulge[moment].tolist()
    squared = u * u + v * v + 1e-6
    lobes = (two_cosine * (u * u - v * v) + two_sine * 2 * (u * v)) / squared
    cubed = squared * np.sqrt(squared)
    lobes += (three_cosine * (u * u - 3 * (v * v)) * u + three_sine * (3 * (u * u) - v * v) * v) / cubed
    growth = 1 + LOBE_STRENGTH * lobes
    u, v = u / growth, v / growth
    return u + bend * (v * v - 0.4), v


def _surface(body: _Body, moment: int, x: Points, y: Points) -> Float[np.ndarray, "points 3"]:
    """Lit colour of an object at some pixels."""
    u, v = object_coordinates(body.pose, moment, x, y)
    texels = (TILE - 1) / (2 * REACH)
    colours = sample_tile(body.texture, (v + REACH) * texels, (u + REACH) * texels)
    scale = 1 / max(float(body.pose.radius_x[moment]), float(body.pose.radius_y[moment]))
    across, down = (x - float(body.pose.x[moment])) * scale, (y - float(body.pose.y[moment])) * scale
    shade = 1 + 0.18 * (body.light[0] * across + body.light[1] * down) - 0.14 * np.clip(u * u + v * v, 0.0, 1.6)
    return np.clip(colours * shade[:, None], 0.0, 1.0)


def _assemble(
    frames: np.ndarray, whole: np.ndarray, labels: np.ndarray, events: Events, lost: LostFrames
) -> RenderedVideo:
    """Take hidden pixels off the masks, drop objects that never show, and name what happened."""
    visible = whole.copy()
    for k in range(len(labels)):
        visible[k] &= ~whole[k + 1 :].any(axis=0)
    shown, present = visible.sum(axis=(2, 3)), whole.sum(axis=(2, 3))
    visible[shown < LEAST_PIXELS_IN_FRAME] = False
    keep = shown.max(axis=1) >= LEAST_PIXELS_IN_VIDEO
    is_occluded = ((present >= LEAST_PIXELS_TO_JUDGE) & (shown < (1 - OCCLUDED_SHARE) * present)).any()
    names = [
        ("lookalike", events.lookalikes is not None and keep[list(events.lookalikes)].all()),
        ("occlusion", is_occluded),
        ("crossing", is_occluded and events.meeting is not None and events.is_crossing),
        *(
            (absence, any(absence in _absences(row) for row in present[keep]))
            for absence in ("entry", "exit", "return")
        ),
        ("fast", events.is_fast),
        ("crowded", keep.sum() >= 3),
        ("lookalikes_meet", is_occluded and events.is_alike_meeting),
        ("dropped", bool(lost.noise or lost.frozen)),
        *((word, word in events.changes) for word in CHANGES if word != "fast"),
    ]
    return RenderedVideo(
        frames=frames,
        masks=visible[keep],
        labels=labels[keep],
        dials=tuple(name for name, is_active in names if is_active),
        noise_frames=lost.noise,
        frozen_frames=lost.frozen,
    )


def _absences(present: np.ndarray) -> set[str]:
    """Ways in which an object's pixels in the frame, hidden or not, come and go over a video."""
    is_present = present >= LEAST_PIXELS_IN_FRAME
    steps = np.flatnonzero(is_present)
    if len(steps) == 0:
        return set()
    ways = {"entry"} if not is_present[0] else set()
    ways |= {"exit"} if not is_present[-1] else set()
    return ways | ({"return"} if steps[-1] - steps[0] + 1 > len(steps) else set())
