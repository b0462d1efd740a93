"""Chooses what happens in a rendered video, before anything is placed or drawn."""

from dataclasses import dataclass, replace
from typing import Any

from maskreel.rendered.dials import CHANGES, SyntheticDials
from maskreel.rendered.draws import Draws

LEAST_FRAMES_TO_LEAVE = 4
LEAST_FRAMES_TO_RETURN = 8
FAST = 0.06
"""Shorter sides per frame that the fastest object of a fast video may exceed."""
STRONGER: dict[str, dict[str, Any]] = {
    "fast": {"speed": 0.075},
    "scale": {"scale_change": 2.5},
    "aspect": {"aspect_change": 1.7},
}
"""Least values of other dials in the videos that a dial chooses."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """What is to happen in a video; objects are given by position in the list."""

    num_objects: int
    lookalikes: tuple[int, int] | None
    meeting: tuple[int, int] | None
    is_crossing: bool
    """The meeting objects swap sides; otherwise they touch and part again."""
    leaver: int | None
    absence: str
    """'exit', 'entry' or 'return'."""
    is_fast: bool
    is_alike_meeting: bool
    """The meeting pair was made the look-alike pair."""
    is_rising: tuple[bool, ...] | None
    """Per object, where motion makes the class; the others sink."""
    changes: frozenset[str]
    """Words of `dials.CHANGES`."""


def changed_dials(draws: Draws, dials: SyntheticDials) -> tuple[SyntheticDials, frozenset[str]]:
    """The dials of one video, and the words of `dials.CHANGES` that were drawn for it."""
    words = frozenset([word for word in CHANGES if draws.chance(getattr(dials, word))])
    least = {name: value for word in words for name, value in STRONGER.get(word, {}).items()}
    return replace(dials, **{name: max(getattr(dials, name), value) for name, value in least.items()}), words


def choose_events(draws: Draws, dials: SyntheticDials, changes: frozenset[str]) -> Events:
    """Draw the events of a video; the number of objects gives way to them within its limits."""
    num_objects = draws.integer(dials.min_objects, dials.max_objects)
    is_paired = dials.max_objects >= 2 and draws.chance(dials.lookalike_probability)
    is_meeting = dials.max_objects >= 2 and dials.frames > 1 and draws.chance(dials.occlusion_probability)
    is_crossing = draws.chance(dials.crossing_probability)
    is_leaving = draws.chance(dials.exit_probability) and dials.frames >= LEAST_FRAMES_TO_LEAVE
    is_returning = draws.chance(dials.return_probability) and dials.frames >= LEAST_FRAMES_TO_RETURN
    is_entry = draws.chance(0.5)
    needed = 2 * (is_paired or is_meeting) + (is_meeting and is_leaving)
    num_objects = min(max(num_objects, needed), dials.max_objects)
    order = draws.order(num_objects)
    meeting = (order[0], order[1]) if is_meeting else None
    if is_leaving and is_meeting and num_objects < 3:
        is_leaving = False
    pair = draws.order(num_objects)
    lookalikes = (pair[0], pair[1]) if is_paired else None
    leaver = order[-1] if is_leaving else None
    absence = "return" if is_returning else "entry" if is_entry else "exit"
    # What follows is drawn last, so that it leaves the draws above as they are.
    if dials.motion_class:
        meeting = leaver = None
    is_alike_meeting = meeting is not None and draws.chance(dials.lookalikes_meet)
    if is_alike_meeting:
        lookalikes = meeting
    elif dials.absence and absence == "return" and leaver is not None and lookalikes is not None:
        lookalikes = (leaver, next(k for k in pair if k != leaver))
    return Events(
        num_objects=num_objects,
        lookalikes=lookalikes,
        meeting=meeting,
        is_crossing=is_crossing,
        leaver=leaver,
        absence=absence,
        is_fast=dials.speed * 1.5 > FAST,
        is_alike_meeting=is_alike_meeting,
        is_rising=tuple(draws.chance(0.5) for _ in order) if dials.motion_class else None,
        changes=changes,
    )
