"""One step of learning: batches in, weights changed, losses out."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from maskreel.criteria.processes import padded_alike
from maskreel.data.loading import TrainingBatch
from maskreel.errors import UsageError
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.training.distributed import Processes, parallel, world_mean
from maskreel.training.diverged import TrainingDiverged, not_finite, write_dump
from maskreel.training.ema import MovingAverage
from maskreel.training.objective import build_objective
from maskreel.training.optimizer import Optimizers, set_learning_rates
from maskreel.training.recipe import Recipe

AUTOCAST = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """A model and its loss, with all that a step changes: weights, optimizers, the loss scale of fp16.

    Raises UsageError when the recipe asks for checkpointed layers and the model has none.
    """

    def __init__(self, recipe: Recipe, group: Processes, folder: Path, *, accumulate: int | None = None) -> None:
        """`folder` takes the dump of a step that diverges; `accumulate` is this process's, by default the recipe's."""
        self._config, self._group, self._folder = recipe.training, group, folder
        self._accumulate = accumulate or self._config.accumulate
        self.objective = build_objective(recipe.model, cells=self._config.cells).to(group.device).train()
        wanted = self._config.checkpointing
        if wanted != "none" and not checkpoint_activations(self.objective, wanted):
            raise UsageError(f"--training.checkpointing {wanted}: {recipe.model.kind} has no {wanted} that can do so")
        self.optimizers = Optimizers(self.objective, self._config)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=self._config.precision == "fp16")
        decay = self._config.ema
        self.average = None if decay is None else MovingAverage(self.objective.model, decay)
        self._forward = parallel(self.objective, group)

    def step(self, number: int, batches: Iterator[TrainingBatch]) -> dict[str, float]:
        """Step `number`, counted from 0, over the next `accumulate` batches; returns the mean losses, `total` first.

        Raises TrainingDiverged, with a dump, when a loss or the gradient is not finite.
        """
        accumulate = self._accumulate
        set_learning_rates(self.optimizers.model, self._config, number)
        self.optimizers.zero_grad()
        seen: list[TrainingBatch] = []
        sums: dict[str, Tensor] = {}
        for batch in islice(batches, accumulate):
            seen.append(batch)
            try:
                losses = self._backward(batch, is_last=len(seen) == accumulate)
            except FloatingPointError as error:
                raise self._diverged(number, str(error), seen, {}) from error
            sums = {name: sums.get(name, 0) + value.detach() for name, value in losses.items()}
        norm = self.optimizers.unscale_and_clip(self.scaler)
        *values, norm_value = world_mean(torch.stack([value.float() for value in (*sums.values(), norm)])).tolist()
        losses_by_name = dict(zip(sums, (value / accumulate for value in values), strict=True))
        total = {"total": sum(losses_by_name.values()), **losses_by_name}
        # With fp16 an infinite gradient is how the scaler learns that its scale is too high.
        checked = total if self.scaler.is_enabled() else {**total, "gradient": norm_value}
        if problem := not_finite(checked):
            raise self._diverged(number, problem, seen, total)
        self.optimizers.step(self.scaler)
        if self.average is not None:
            self.average.update(self.objective.model, number + 1)
        return total

    def _backward(self, batch: TrainingBatch, *, is_last: bool) -> dict[str, Tensor]:
        """Add a batch's gradient; processes exchange theirs with the last batch of a step only."""
        dtype = AUTOCAST[self._config.precision]
        is_synchronised = is_last or self._group.world_size == 1
        clips = padded_alike(batch.clips)
        with nullcontext() if is_synchronised else self._forward.no_sync():  # type: ignore[operator]
            with torch.autocast(self._group.device.type, dtype, enabled=dtype != torch.float32):
                losses = self._forward(clips, list(batch.targets))
            total = torch.stack([value.float() for value in losses.values()]).sum()
            self.scaler.scale(total / self._accumulate).backward()
        return losses

    def _diverged(
        self, number: int, problem: str, seen: list[TrainingBatch], losses: dict[str, float]
    ) -> TrainingDiverged:
        suffix = "" if self._group.is_first else f"-process-{self._group.rank}"
        dump = self._folder / f"diverged-step-{number + 1:08d}{suffix}"
        write_dump(dump, self.objective, seen, losses, problem)
        return TrainingDiverged(number + 1, problem, dump)
