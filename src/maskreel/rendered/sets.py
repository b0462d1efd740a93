"""Named rendered sets: what each is made to test, its dials, and the seeds and sizes of its splits."""

from dataclasses import dataclass

from maskreel.rendered.dials import SyntheticDials


@dataclass(frozen=True, kw_only=True)
class RenderedSet:
    """A name for dials that never change once figures refer to them."""

    purpose: str
    dials: SyntheticDials


SPLITS = {"train": (200, 0), "valid": (40, 10_000), "test": (100, 20_000)}
"""Videos and seed of every split of a named set; the test split is looked at once, when everything is decided."""

RENDERED_SETS = {
    "rendered-default": RenderedSet(purpose="the yardstick: a little of everything", dials=SyntheticDials()),
    "rendered-crossing": RenderedSet(
        purpose="two objects swap sides in every video, in half of them look-alikes",
        dials=SyntheticDials(
            min_objects=2,
            max_objects=3,
            occlusion_probability=1.0,
            crossing_probability=1.0,
            exit_probability=0.0,
            lookalike_probability=0.0,
            lookalikes_meet=0.5,
            passing_distance=0.35,
        ),
    ),
    "rendered-motion": RenderedSet(
        purpose="classes that only motion tells apart",
        dials=SyntheticDials(max_objects=3, motion_class=True),
    ),
    "rendered-deform": RenderedSet(
        purpose="outlines, sizes, aspects and views change, shadows and mirror images move along",
        dials=SyntheticDials(
            deformation=0.25,
            rotation=0.03,
            fast=0.25,
            scale=0.5,
            aspect=0.5,
            viewpoint=0.5,
            shadow=0.5,
            reflection=0.25,
        ),
    ),
    "rendered-hard": RenderedSet(
        purpose="fast, blurred, camouflaged, with lost frames, look-alikes that meet and a cluttered ground",
        dials=SyntheticDials(
            blur=0.5,
            occlusion_probability=0.5,
            lookalikes_meet=0.5,
            passing_distance=0.4,
            clutter=0.8,
            dropped_frames=0.15,
            fast=0.3,
            camouflage=0.3,
            shadow=0.3,
        ),
    ),
    "rendered-return": RenderedSet(
        purpose="long videos in which an object is away for 5 to 60 frames, in half of them with a look-alike in view",
        dials=SyntheticDials(
            frames=96, min_objects=2, max_objects=3, exit_probability=1.0, return_probability=1.0, absence=60
        ),
    ),
}
