"""Times of a training step and of its parts, on clips of a data set, with everything that `train` does in a step.

- reading: what the step waits for the loader; with workers that read ahead, nothing but what they cannot keep up with.
- network: the forward pass of the model. Masks are decoded on demand and so belong to the losses.
- matching: queries to objects, all layers; timed by a call of its own beside each step, on the step's prediction.
- losses: the rest of the criterion.
- backward: the backward pass of model and losses.
- optimizer: clipping, the check that nothing diverged, the change of the weights, and setting gradients to none.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskreel.bench.protocol import Calibration, Times, end_of_work, peak_mebibytes
from maskreel.criteria.matching import match
from maskreel.criteria.sequence_loss import SequenceLoss
from maskreel.criteria.set_loss import SetLoss
from maskreel.data.joint import TrainingData, load_sets
from maskreel.data.loading import TrainingBatch
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import write_dataset
from maskreel.training.distributed import Processes
from maskreel.training.random_state import seed_random
from maskreel.training.recipe import Recipe
from maskreel.training.run_data import training_loader
from maskreel.training.step import Learner

PARTS = ("reading", "network", "matching", "losses", "backward", "optimizer")
WARM_UP = 2
"""Steps that do not count; the second is the first with the optimizer's memory."""


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """A training step; times in milliseconds."""

    step: Times
    parts: dict[str, float]
    """Mean of every part over the samples behind `step`."""
    peak_memory_mib: float
    clips: int
    """Of a step, all its batches together."""
    frames: int
    """Of a clip."""
    size: tuple[int, int]
    """Rows and columns of the last batch, padding included."""


def render_training_data(root: Path, recipe: Recipe, size: tuple[int, int]) -> None:
    """Write a split to train on: eight rendered videos, (height, width) in pixels."""
    dials = SyntheticDials(height=size[0], width=size[1], frames=max(8, recipe.data.num_frames))
    write_dataset(root, recipe.data.train_split, num_videos=8, seed=0, dials=dials)


def load_training_data(recipe: Recipe) -> tuple[TrainingData, Recipe]:
    """The training split that a recipe names, and the recipe for as many classes as it has."""
    data = load_sets(recipe.data.root, recipe.data.joint, recipe.data.train_split)
    return data, replace(recipe, model=replace(recipe.model, num_classes=len(data.categories)))


def measure_step(recipe: Recipe, data: TrainingData, device: torch.device, *, samples: int) -> StepTimes:
    """Times of training steps on clips as the recipe draws them; see the module for the parts."""
    group = Processes(rank=0, world_size=1, device=device)
    seed_random(recipe.training.seed)
    with tempfile.TemporaryDirectory() as dump:
        learner = _TimedLearner(recipe, group, Path(dump))
        batches = learner.timed(iter(training_loader(data, recipe.data, group, seed=recipe.training.seed)))
        number, calibration = iter(range(2 * samples + WARM_UP + 1)), Calibration()
        for _ in range(WARM_UP):
            learner.step(next(number), batches)
        peak = peak_mebibytes(lambda: learner.step(next(number), batches), device)
        quiet: list[dict[str, float]] = []
        every: list[dict[str, float]] = []
        while len(every) < 2 * samples and len(quiet) < samples:
            was_quiet = calibration.wait()
            every.append(learner.measured(next(number), batches))
            if was_quiet and calibration.is_quiet():
                quiet.append(every[-1])
    used = quiet if len(quiet) >= 2 else every
    return StepTimes(
        step=Times.of((sum(sample.values()) for sample in quiet), (sum(sample.values()) for sample in every)),
        parts={part: sum(sample[part] for sample in used) / len(used) for part in PARTS},
        peak_memory_mib=peak,
        clips=recipe.training.accumulate * recipe.data.batch_size,
        frames=recipe.data.num_frames,
        size=learner.size,
    )


class _TimedLearner(Learner):
    """Says where the time of a step went."""

    def __init__(self, recipe: Recipe, group: Processes, folder: Path) -> None:
        super().__init__(recipe, group, folder)
        self.size = (0, 0)
        self._spent: dict[str, float] = dict.fromkeys((*PARTS, "passes"), 0.0)
        self._wait = end_of_work(group.device)
        self._watch("network", self.objective.model)
        self._watch("losses", self.objective.criterion)
        next(
            m for m in self.objective.criterion.modules() if isinstance(m, SetLoss | SequenceLoss)
        ).register_forward_hook(self._match_again)

    def measured(self, number: int, batches: Iterator[TrainingBatch]) -> dict[str, float]:
        """Milliseconds of every part of a step."""
        self._spent = dict.fromkeys(self._spent, 0.0)
        whole = self._clock(lambda: self.step(number, batches))
        spent = self._spent
        # The call beside the step took as long again as the one in it, and fell into `losses` and so into `passes`.
        losses, passes = spent["losses"] - spent["matching"], spent["passes"] - spent["matching"]
        return {
            "reading": spent["reading"],
            "network": spent["network"],
            "matching": spent["matching"],
            "losses": losses - spent["matching"],
            "backward": passes - spent["network"] - losses,
            "optimizer": whole - spent["matching"] - spent["reading"] - passes,
        }

    def timed(self, batches: Iterator[TrainingBatch]) -> Iterator[TrainingBatch]:
        """Batches on the device; waiting for them is `reading`."""
        taken: list[TrainingBatch] = []
        while True:
            self._spent["reading"] += self._clock(lambda: taken.append(next(batches).to(self._group.device)))
            batch = taken.pop()
            self.size = (batch.clips.frames.shape[-2], batch.clips.frames.shape[-1])
            yield batch

    def _backward(self, batch: TrainingBatch, *, is_last: bool) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        self._spent["passes"] += self._clock(
            lambda: kept.update(super(_TimedLearner, self)._backward(batch, is_last=is_last))
        )
        return kept

    def _watch(self, part: str, module: nn.Module) -> None:
        begun: list[float] = []

        def begin(*_: Any) -> None:
            self._wait()
            begun.append(time.perf_counter())

        def end(*_: Any) -> None:
            self._wait()
            self._spent[part] += 1e3 * (time.perf_counter() - begun.pop())

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)

    def _match_again(self, criterion: nn.Module, inputs: tuple[Any, ...], _: object) -> None:
        prediction, targets, clip = inputs
        if isinstance(criterion, SetLoss):
            counts = [criterion.counted_frames(target) for target in targets]
            self._spent["matching"] += self._clock(lambda: match(prediction, targets, criterion.costs, counts))
        elif isinstance(criterion, SequenceLoss):
            is_real = ~clip.is_padding.flatten(2).all(-1)
            self._spent["matching"] += self._clock(lambda: criterion.match(prediction, targets, is_real))

    def _clock(self, work: Callable[[], object]) -> float:
        """Milliseconds, to the end of the device's work."""
        self._wait()
        begun = time.perf_counter()
        work()
        self._wait()
        return 1e3 * (time.perf_counter() - begun)
