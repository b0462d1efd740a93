"""Which switches let a training fit into a given memory: measured on one clip, reckoned for more."""

import math
import multiprocessing
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from maskreel.data.augment import Augmentation
from maskreel.data.loading import TrainingBatch
from maskreel.errors import OptionError, UsageError
from maskreel.structures import ClipBatch, ClipTarget
from maskreel.training.distributed import processes
from maskreel.training.recipe import Arithmetic, Checkpointing, Recipe
from maskreel.training.step import Learner

MARGIN = 1.1
"""What is reckoned may be exceeded by so much."""

OBJECTS = 8
"""Of the clip that is measured."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that a step of one clip takes in a process of its own."""

    fixed: int
    """Program, weights, gradients and the optimizer's moments."""
    per_clip: int
    """Activations of a clip."""

    def of(self, clips: int) -> int:
        """The peak with a batch of so many clips."""
        return self.fixed + clips * self.per_clip


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to make the step of a recipe."""

    batch_size: int
    accumulate: int
    checkpointing: Checkpointing
    precision: Arithmetic
    peak: int | None
    """Bytes, reckoned; None where even one clip ended the process that measured it."""

    def applied(self, recipe: Recipe) -> Recipe:
        training = replace(
            recipe.training,
            accumulate=self.accumulate,
            checkpointing=self.checkpointing,
            precision=self.precision,
        )
        return replace(recipe, data=replace(recipe.data, batch_size=self.batch_size), training=training)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was considered, in the order of preference, and the first that fits."""

    limit: int
    choices: tuple[Choice, ...]
    chosen: Choice | None

    def to_json(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "chosen": None if self.chosen is None else vars(self.chosen),
            "choices": [vars(choice) for choice in self.choices],
        }


def parse_bytes(text: str) -> int:
    """The number of `8GB`, `7.5GiB`, `900MB`; OptionError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", text.strip())
    if match is None or not float(match[1]):
        raise OptionError(f"max_memory {text!r}: expected a size, such as 8GB or 7.5GiB")
    return round(float(match[1]) * UNITS[match[2] or ""])


def measured_apart(recipe: Recipe, checkpointing: Checkpointing, precision: Arithmetic) -> Need | None:
    """What a clip needs with these switches, from processes of their own with one and two; None where one ended.

    Code that is compiled and loaded on the way is there once: a single clip alone would count it to every clip.
    """
    recipe = replace(recipe, training=replace(recipe.training, checkpointing=checkpointing, precision=precision))
    try:
        fixed, one = in_fresh_process(recipe, 1)
    except BrokenProcessPool:
        return None
    if recipe.data.batch_size > 1:
        with suppress(BrokenProcessPool):
            fixed = 2 * one - in_fresh_process(recipe, 2)[1]
    return Need(fixed=min(fixed, one), per_clip=max(0, one - fixed))


def make_plan(
    recipe: Recipe,
    limit: int,
    *,
    measured: Callable[[Recipe, Checkpointing, Arithmetic], Need | None] = measured_apart,
) -> Plan:
    """Measure the switches on one clip each and choose. The clips of a step stay as many as the recipe has.

    First as the recipe is, then smaller batches, more of them; then activations computed again, then bf16.
    """
    choices: list[Choice] = []
    needs: dict[tuple[Checkpointing, Arithmetic], Need | None] = {}
    for batch_size, checkpointing, precision in _switches(recipe):
        key = checkpointing, precision
        if key not in needs:
            needs[key] = measured(recipe, *key)
        need = needs[key]
        accumulate = recipe.data.batch_size * recipe.training.accumulate // batch_size
        choice = Choice(
            batch_size=batch_size,
            accumulate=accumulate,
            checkpointing=checkpointing,
            precision=precision,
            peak=None if need is None else need.of(batch_size),
        )
        choices.append(choice)
        if choice.peak is not None and choice.peak * MARGIN <= limit:
            return Plan(limit=limit, choices=tuple(choices), chosen=choice)
    return Plan(limit=limit, choices=tuple(choices), chosen=None)


def require_fit(plan: Plan) -> Choice:
    """The choice of a plan; UsageError that says how much would do where nothing fits."""
    if plan.chosen is not None:
        return plan.chosen
    peaks = [choice.peak for choice in plan.choices if choice.peak is not None]
    least = (
        f"{math.ceil(min(peaks) * MARGIN / 10**8) / 10:.1f}GB would do" if peaks else "even one clip is too much here"
    )
    raise UsageError(
        f"--max-memory {plan.limit / 10**9:g}GB: no way to train fits ({least}); use a smaller model, shorter clips "
        "(--data.num-frames) or smaller frames (--data.augmentation)"
    )


def measure(recipe: Recipe, clips: int = 1) -> tuple[int, int]:
    """Train two steps on made clips of the largest size that the recipe has; (fixed, peak) bytes of this process.

    On CUDA the device's memory counts, elsewhere the resident memory of the process, which must be a fresh one.
    """
    with processes(recipe.training.device) as group, tempfile.TemporaryDirectory() as folder:
        recipe = replace(recipe, training=replace(recipe.training, accumulate=1))
        learner = Learner(recipe, group, Path(folder))
        parameters = sum(
            one.numel() * one.element_size() for one in learner.objective.parameters() if one.requires_grad
        )
        fixed = _now(group.device) + 3 * parameters
        batches = iter([_made_batch(recipe, clips, seed).to(group.device) for seed in range(2)])
        for step in range(2):
            learner.step(step, batches)
        return fixed, _peak(group.device)


def in_fresh_process(recipe: Recipe, clips: int) -> tuple[int, int]:
    """`measure` in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, recipe, clips).result()


def _switches(recipe: Recipe) -> Iterator[tuple[int, Checkpointing, Arithmetic]]:
    own = recipe.training
    sizes = [size for size in range(recipe.data.batch_size, 0, -1) if recipe.data.batch_size % size == 0]
    checkpointings: Sequence[Checkpointing] = [own.checkpointing, *(["layers"] if own.checkpointing == "none" else [])]
    precisions: Sequence[Arithmetic] = [own.precision, *(["bf16"] if own.precision == "float32" else [])]
    for precision in precisions:
        for checkpointing in checkpointings:
            for size in sizes:
                yield size, checkpointing, precision


def _made_batch(recipe: Recipe, clips: int, seed: int) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    height, width = _largest_size(recipe.data.augmentation)
    frames = recipe.data.num_frames
    masks = torch.zeros(OBJECTS, frames, height, width, dtype=torch.bool)
    for n in range(OBJECTS):
        masks[n, :, n * height // OBJECTS : (n + 4) * height // OBJECTS, width // 4 : width // 2] = True
    target = ClipTarget(
        labels=torch.randint(recipe.model.num_classes, (OBJECTS,), generator=generator),
        boxes=torch.tensor([0.4, 0.5, 0.25, 0.4]).expand(OBJECTS, frames, 4).clone(),
        masks=masks,
        is_visible=torch.ones(OBJECTS, frames, dtype=torch.bool),
        track_id=torch.arange(OBJECTS),
    )
    return TrainingBatch(
        clips=ClipBatch(
            frames=torch.randn(clips, frames, 3, height, width, generator=generator),
            is_padding=torch.zeros(clips, frames, height, width, dtype=torch.bool),
        ),
        targets=(target,) * clips,
        video_id=(0,) * clips,
        frame_index=(tuple(range(frames)),) * clips,
    )


def _largest_size(augmentation: Augmentation | None) -> tuple[int, int]:
    """(height, width) of the largest frames, padded; 360 x 640 where frames come as they are."""
    if augmentation is None:
        return 384, 640
    short = max(augmentation.scales)
    long = augmentation.max_size or 16 * short // 9
    return -(-min(short, long) // 32) * 32, -(-long // 32) * 32


def _now(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    # Nothing has been freed before the first step.
    return _peak(device)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
