"""Plans how the objects of a rendered video move: wandering, meeting, leaving and coming back.

Everything is laid out before a pixel is drawn, so that each event happens in the videos that were chosen for it and
in no others: objects that should not meet keep apart as far as the frame's room allows.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from maskreel.rendered.dials import LEAST_ABSENCE, SyntheticDials
from maskreel.rendered.draws import Draws, direction, smooth_step, wave
from maskreel.rendered.events import Events

CANDIDATES = 32
"""Paths tried per object and size; the first that fits is taken, or else the best."""
SHRINKING = (1.0, 0.9, 0.8, 0.7)
"""Sizes tried, in parts of the drawn one, where there is no room."""
KEEP_APART = 0.9
"""Centres of two objects that do not meet stay this far apart, in sums of their radii."""
MEET_WITHIN = 0.3
"""Centres of two objects that meet come this near, in sums of their radii."""
OUTSIDE = 1.75
"""Radii between an absent object's centre and the frame's border: corners reach farther than the radius."""
SWINGS = 0.6
"""Periods of a slow change in a video."""
FULL_SWINGS = 1.2
"""Periods of a change that is to reach both of its ends."""
FARTHEST_TURN = 0.18
"""Turns between the camera and the farthest view of an object."""
TRAVEL_FRAMES = 7.0
"""Frames of the way out of the frame, or back, where a dial sets the longest absence."""
UNSEEN_SHARE = (0.18, 0.45)
"""Least and largest part of this way on which nothing of the object is to be seen."""

Times = Float[np.ndarray, " t"]
Path = tuple[Times, Times]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pose:
    """Where one object is and how it is bent, over time."""

    x: Times
    """Centre in pixels from the left."""
    y: Times
    radius_x: Times
    radius_y: Times
    cosine: Times
    sine: Times
    bulge: Float[np.ndarray, "t 5"]
    """Relative radius changes: cosine and sine of two and three lobes, then the bend."""


def plan_poses(draws: Draws, dials: SyntheticDials, events: Events, times: Times) -> list[Pose]:
    """Poses of all objects at the given times (in frames, fractions allowed).

    The meeting pair is placed first, then the leaver, then the others around them.
    """
    sizes = [_Size.draw(draws, dials, times, events.changes) for _ in range(events.num_objects)]
    if events.lookalikes is not None:
        first, second = events.lookalikes
        sizes[second] = sizes[second].alike(sizes[first])
    paths: dict[int, Path] = {}
    if events.meeting is not None:
        first, second = events.meeting
        paths[first], paths[second] = _meeting(draws, dials, times, sizes[first], sizes[second], events.is_crossing)
    rest = sorted((k for k in range(events.num_objects) if k not in paths), key=lambda k: k != events.leaver)
    for k in rest:
        placed = [(path, sizes[other]) for other, path in paths.items()]
        paths[k], sizes[k] = _free_path(draws, dials, times, sizes[k], placed, _motion(events, k))
    poses = [_pose(draws, dials, times, paths[k], sizes[k]) for k in range(events.num_objects)]
    if "viewpoint" not in events.changes:
        return poses
    return [replace(pose, radius_x=pose.radius_x * _foreshortening(draws, dials, times)) for pose in poses]


def _motion(events: Events, k: int) -> str:
    """How an object that meets nobody moves."""
    if k == events.leaver:
        return events.absence
    if events.is_rising is None:
        return "wander"
    return "rise" if events.is_rising[k] else "sink"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Size:
    """Radii of one object over time and its own lasting distortion."""

    base: float
    scale: Times
    aspect: Times
    distortion: Float[np.ndarray, "5"]

    @classmethod
    def draw(cls, draws: Draws, dials: SyntheticDials, times: Times, changes: frozenset[str]) -> "_Size":
        """Smooth growth, shrinking and stretching within the dials' ratios, which `changes` makes them reach."""
        shorter = min(dials.height, dials.width)
        scale_swings, aspect_swings = (FULL_SWINGS if word in changes else SWINGS for word in ("scale", "aspect"))
        return cls(
            base=draws.uniform(dials.min_size, dials.max_size) * shorter / 2,
            scale=1 + _half_range(dials.scale_change) * _slow_wave(draws, dials, times, scale_swings),
            aspect=1 + _half_range(dials.aspect_change) * _slow_wave(draws, dials, times, aspect_swings),
            distortion=(draws.block(5) * 2 - 1) * dials.deformation * 0.5,
        )

    def alike(self, other: "_Size") -> "_Size":
        return _Size(base=other.base, scale=self.scale, aspect=self.aspect, distortion=other.distortion)

    @property
    def radius(self) -> Times:
        """The larger half-axis."""
        return self.base * self.scale * np.maximum(self.aspect, 1 / self.aspect)


def _pose(draws: Draws, dials: SyntheticDials, times: Times, path: Path, size: _Size) -> Pose:
    angle = draws.uniform(0.0, 1.0) + draws.uniform(-1.0, 1.0) * dials.rotation * times
    wobble = np.stack([_slow_wave(draws, dials, times, 1.6) for _ in range(5)], axis=1)
    return Pose(
        x=path[0],
        y=path[1],
        radius_x=size.base * size.scale * size.aspect,
        radius_y=size.base * size.scale / size.aspect,
        cosine=wave(angle + 0.25),
        sine=wave(angle),
        bulge=size.distortion + wobble * (dials.deformation * 0.5),
    )


def _free_path(
    draws: Draws,
    dials: SyntheticDials,
    times: Times,
    size: _Size,
    placed: list[tuple[Path, _Size]],
    motion: str,
) -> tuple[Path, _Size]:
    """A path that keeps away from those before it; where there is no room the object becomes smaller."""
    best, best_size, least = None, size, np.inf
    for attempt in range(CANDIDATES * len(SHRINKING)):
        tried = replace(size, base=size.base * SHRINKING[attempt // CANDIDATES])
        match motion:
            case "wander":
                path = _wandering(draws, dials, times, tried)
            case "rise" | "sink":
                path = _climbing(draws, dials, times, tried, motion == "rise")
            case _:
                path = _leaving(draws, dials, times, tried, motion)
        crowding = _crowding(path, tried, placed)
        if crowding < least:
            best, best_size, least = path, tried, crowding
        if crowding <= 0:
            break
    assert best is not None, "at least one candidate has a finite score"
    return best, best_size


def _crowding(path: Path, size: _Size, placed: list[tuple[Path, _Size]]) -> float:
    """Largest intrusion into the distance that objects keep; 0 when there is none."""
    worst = 0.0
    for other, other_size in placed:
        distance = np.sqrt((path[0] - other[0]) * (path[0] - other[0]) + (path[1] - other[1]) * (path[1] - other[1]))
        worst = max(worst, float(np.max(KEEP_APART - distance / (size.radius + other_size.radius))))
    return worst


def _wandering(draws: Draws, dials: SyntheticDials, times: Times, size: _Size, share: float = 1.0) -> Path:
    """Straight motion with a slow weave, thrown back by the borders."""
    shorter = min(dials.height, dials.width)
    speed = dials.speed * shorter * draws.uniform(0.4, 1.5) * share
    ahead_x, ahead_y = direction(draws.uniform(0.0, 1.0))
    along = speed * times
    weave = draws.uniform(0.0, 0.9) * speed * 4 * wave(times * draws.uniform(0.03, 0.08) + draws.uniform(0.0, 1.0))
    x = draws.uniform(0.0, 2.0) * dials.width + ahead_x * along - ahead_y * weave
    y = draws.uniform(0.0, 2.0) * dials.height + ahead_y * along + ahead_x * weave
    return _bounce(x, dials.width, size), _bounce(y, dials.height, size)


def _climbing(draws: Draws, dials: SyntheticDials, times: Times, size: _Size, is_rising: bool) -> Path:
    """Half of the frame or more, up or down, from the first to the last frame: one is the other played backwards."""
    x, _ = _wandering(draws, dials, times, size)
    margin = 0.8 * float(np.max(size.radius))
    room = max(dials.height - 2 * margin, 0.0)
    travel = room * draws.uniform(0.5, 1.0)
    progress = times / max(dials.frames - 1, 1)
    fallen = 1 - progress if is_rising else progress
    return x, (dials.height - room) / 2 + draws.uniform(0.0, 1.0) * (room - travel) + travel * fallen


def _bounce(position: Times, length: int, size: _Size) -> Times:
    """Fold positions into the frame, leaving most of the object inside."""
    margin = 0.8 * float(np.max(size.radius))
    room = length - 2 * margin
    if room <= 0:
        return np.full_like(position, length / 2)
    phase = position % (2 * room)
    return margin + np.minimum(phase, 2 * room - phase)


def _meeting(
    draws: Draws, dials: SyntheticDials, times: Times, first: _Size, second: _Size, is_crossing: bool
) -> tuple[Path, Path]:
    """Two paths that come together once around the middle of the video."""
    reach = float(np.max(first.radius)) + float(np.max(second.radius))
    best, best_score = None, np.inf
    for _ in range(CANDIDATES):
        middle = _wandering(draws, dials, times, first, share=0.5)
        moment = (dials.frames - 1) * draws.uniform(0.4, 0.6)
        pace = draws.uniform(0.9, 1.15) * 2 / max(dials.frames - 1, 6)
        lead = (times - moment) * pace
        travel = lead / np.sqrt(1 + 0.2 * lead * lead)
        if is_crossing:
            aside = draws.uniform(-0.2, 0.2)
            aside += dials.passing_distance if aside > 0 else -dials.passing_distance
            ahead, aside = 1.1 * travel, np.full_like(travel, aside)
        else:
            ahead, aside = 0.1 + np.sqrt(0.01 + 0.7 * travel * travel), travel * draws.uniform(-0.3, 0.3)
        cosine, sine = direction(draws.uniform(0.0, 1.0))
        gap_x, gap_y = reach * (cosine * ahead - sine * aside), reach * (sine * ahead + cosine * aside)
        pair = [
            (
                _bounce(middle[0] + sign * gap_x, dials.width, size),
                _bounce(middle[1] + sign * gap_y, dials.height, size),
            )
            for sign, size in ((0.5, first), (-0.5, second))
        ]
        score = _meeting_fault(pair[0], pair[1], reach, MEET_WITHIN + dials.passing_distance * is_crossing)
        if score < best_score:
            best, best_score = (pair[0], pair[1]), score
        if score <= 0:
            break
    assert best is not None, "at least one candidate has a finite score"
    return best


def _meeting_fault(first: Path, second: Path, reach: float, within: float) -> float:
    """How much a pair misses each other, or clings together at both ends of the video; 0 for a good meeting."""
    dx, dy = first[0] - second[0], first[1] - second[1]
    distance = np.sqrt(dx * dx + dy * dy) / reach
    misses = max(0.0, float(np.min(distance)) - within)
    clings = max(0.0, 0.8 - float(distance[0])) + max(0.0, 0.8 - float(distance[-1]))
    return misses + clings


def _leaving(draws: Draws, dials: SyntheticDials, times: Times, size: _Size, absence: str) -> Path:
    """A path that is out of the frame for a while: from some moment on, up to some moment, or in between."""
    progress = times / max(dials.frames - 1, 1)
    radius = float(np.max(size.radius))
    match absence:
        case "return":
            start, travel, gap = _return_plan(draws, dials)
            back = start + travel + gap
            away = smooth_step((progress - start) / travel) - smooth_step((progress - back) / travel)
        case _:
            start, travel = draws.uniform(0.05, 0.3), draws.uniform(0.42, 0.55)
            elapsed = progress if absence == "exit" else 1 - progress
            away = smooth_step((elapsed - start) / travel)
    is_sideways = draws.chance(dials.width / (dials.width + dials.height))
    length = dials.width if is_sideways else dials.height
    inside = min(draws.uniform(0.8, 1.4) * radius, length / 2)
    normal = inside - (inside + OUTSIDE * radius) * away
    if draws.chance(0.5):
        normal = length - normal
    wandering = _wandering(draws, dials, times, size)
    return (normal, wandering[1]) if is_sideways else (wandering[0], normal)


def _return_plan(draws: Draws, dials: SyntheticDials) -> tuple[float, float, float]:
    """When an object sets out, how long its way out (and back) takes, and how long it rests outside; in videos."""
    if dials.absence == 0:
        start, gap = draws.uniform(0.0, 0.06), draws.uniform(0.12, 0.18)
        return start, (1 - start - gap) / 2 - 0.02, gap
    last = max(dials.frames - 1, 1)
    travel = min(TRAVEL_FRAMES, last / 3)
    shortest, longest = LEAST_ABSENCE - 2 * UNSEEN_SHARE[0] * travel, dials.absence - 2 * UNSEEN_SHARE[1] * travel
    if longest < shortest:
        shortest = longest = dials.absence - (UNSEEN_SHARE[0] + UNSEEN_SHARE[1]) * travel
    longest = min(longest, last - 2 * travel - 1)
    gap = draws.uniform(min(shortest, longest), longest)
    return draws.uniform(0.0, last - 2 * travel - gap) / last, travel / last, gap / last


def _foreshortening(draws: Draws, dials: SyntheticDials, times: Times) -> Times:
    """What is left of an object's width while it turns away from the camera and back."""
    return wave(0.25 + FARTHEST_TURN * _slow_wave(draws, dials, times, FULL_SWINGS))


def _slow_wave(draws: Draws, dials: SyntheticDials, times: Times, swings: float = SWINGS) -> Times:
    """A swing between -1 and 1, about `swings` of a period in a clip and never slower than one in 80 frames."""
    rate = max(swings * draws.uniform(0.7, 1.2) / max(dials.frames, 8), swings / 80)
    return wave(times * rate + draws.uniform(0.0, 1.0))


def _half_range(ratio: float) -> float:
    """Amplitude a such that (1 + a) / (1 - a) is the ratio of the largest to the smallest value."""
    return (ratio - 1) / (ratio + 1)
