"""The training loop: steps, validations, checkpoints, and everything that a run folder holds."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from maskreel.checkpoints.initialise import Start, fit, read_initial
from maskreel.config import to_dict
from maskreel.data.joint import JointSets, TrainingData, load_sets
from maskreel.data.loading import ClipLoader, TrainingBatch, TrainingSet, build_loader
from maskreel.data.sampling import ClipSampler
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.evaluate import evaluate
from maskreel.files import remove_unfinished, write_json
from maskreel.models.folder import save_model
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.training import pictures
from maskreel.training.checkpoint import (
    Best,
    TrainingState,
    capture_random,
    load_checkpoint,
    newest_checkpoint,
    restore_random,
    save_checkpoint,
    seed_random,
)
from maskreel.training.distributed import Processes, decided_by_first, parallel, processes, wait_for_all
from maskreel.training.diverged import TrainingDiverged, not_finite, write_dump
from maskreel.training.interruption import CutOff, Interruption
from maskreel.training.log import LossMeans, ResultsTable, Row, TrainingDisplay
from maskreel.training.objective import build_objective
from maskreel.training.optimizer import Optimizers, learning_rate_factor, set_learning_rates
from maskreel.training.recipe import Recipe
from maskreel.training.run_folder import new_run_folder, write_dataset, write_environment, write_recipe
from maskreel.visualize.statistics import labels

logger = logging.getLogger(__name__)

AUTOCAST = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def train(recipe: Recipe, out: Path | None = None, *, init: str | None = None, quiet: bool = False) -> Path:
    """Train a recipe into a new run folder (`out`, or runs/train/NAME) and return it.

    `init` names weights to start from: a foreign file, a run, a model folder, or "bundled"; what is taken of them is
    logged and stands in `init.json`. Ctrl-C finishes the step, writes a checkpoint and raises KeyboardInterrupt. Raises
    UsageError when the data is not there or the folder cannot be used, DataError when the weights do not fit,
    TrainingDiverged when a loss or the gradient is not finite.
    """
    return _train(recipe, lambda: new_run_folder(out, recipe.name), init=init, is_resumed=False, quiet=quiet)


def resume(recipe: Recipe, folder: Path, *, quiet: bool = False) -> Path:
    """Go on with a run from its newest checkpoint; on the CPU it ends with the bits of an uninterrupted run."""
    return _train(recipe, lambda: folder, is_resumed=True, quiet=quiet)


def _train(
    recipe: Recipe, choose_folder: Callable[[], Path], *, init: str | None = None, is_resumed: bool, quiet: bool
) -> Path:
    with processes(recipe.training.device) as group:
        if recipe.training.precision == "fp16" and group.device.type != "cuda":
            raise UsageError("--training.precision fp16 needs CUDA; use bf16 or float32")
        training, validation = _load_data(recipe)
        recipe = _with_classes(recipe, training)
        # Before there is a folder, so that weights that do not fit leave nothing behind.
        start = None if init is None else _fit_initial(init, recipe, training)
        folder = decided_by_first(group, choose_folder)
        run = TrainingRun(recipe, folder, group, training, validation)
        logger.info("run folder: %s", folder)
        if start is not None:
            run.start_from(start)
        run.begin(is_resumed=is_resumed)
        run.go_on(quiet=quiet or not group.is_first)
        return folder


class TrainingRun:
    """A run between two steps: everything that a step changes, and where it writes."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        group: Processes,
        training: TrainingData,
        validation: YouTubeVIS | None,
    ) -> None:
        config, device = recipe.training, group.device
        self.recipe, self.folder, self.group = recipe, folder, group
        self.training, self.validation = training, validation
        self.classes = tuple((category.id, category.name) for category in training.categories)
        # Every process starts from the same weights; `begin` gives each its own random numbers.
        seed_random(config.seed)
        self.objective = build_objective(recipe.model).to(device).train()
        if config.checkpointing == "layers" and not checkpoint_activations(self.objective):
            raise UsageError(f"--training.checkpointing layers: {recipe.model.kind} has no layers that can do so")
        self.optimizers = Optimizers(self.objective, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.forward = parallel(self.objective, group)
        self.loader = _build_loader(recipe, training, group)
        self.table = ResultsTable(folder / "results.csv")
        self.means = LossMeans()
        self.best: Best | None = None
        self.step = 0
        self.is_reported = True
        """Whether the validation and the line that the step asks for are done."""
        self.seconds = 0.0

    def start_from(self, start: Start) -> None:
        """Put initial weights into the model of a new run, and tell what was taken."""
        start.fill(self.objective.model, self.objective.criterion)
        if self.group.is_first:
            logger.info("%s", "\n".join(start.lines()))
            write_json(self.folder / "init.json", start.to_json())

    def begin(self, *, is_resumed: bool) -> None:
        """Take up the newest checkpoint, or write the descriptions of a new run."""
        config = self.recipe.training
        state = self._load() if is_resumed else None
        self.batches: Iterator[TrainingBatch] = iter(self.loader)
        if state is not None and self.group.is_first:
            restore_random(state.random)
        else:
            seed_random(config.seed + self.step * self.group.world_size, self.group.rank)
        if self.group.is_first:
            for place in (self.folder, self.folder / "checkpoints", self.folder / "weights"):
                remove_unfinished(place)
            write_recipe(self.folder, self.recipe)
            write_environment(self.folder, self.group.device)
            write_dataset(self.folder, self.recipe.data, self.training, self.validation)
            if state is None:
                labels(self.folder / "labels.png", self.training)

    def go_on(self, *, quiet: bool = False) -> None:
        """Train to the last step of the recipe; KeyboardInterrupt after Ctrl-C, when everything is on disk."""
        config = self.recipe.training
        display = TrainingDisplay(total=config.steps, done=self.step, quiet=quiet)
        with Interruption() as interruption, display:
            if self.step and not self.is_reported:
                self._report(display, interruption)
                self._finish_step(interruption, is_saving=True)
            while self.step < config.steps:
                start = time.monotonic()
                losses = self._train_step()
                self.seconds += time.monotonic() - start
                self.step += 1
                self.means.add(losses)
                self.is_reported = False
                display.step(self.step, losses["total"])
                if not interruption.is_agreed(self.group):
                    self._report(display, interruption)
                self._finish_step(interruption, is_saving=self._is_due(config.checkpoint_every))
        if self.group.is_first:
            pictures.results(self.folder / "results.png", self.table)

    def _finish_step(self, interruption: Interruption, *, is_saving: bool) -> None:
        """Save when it is due, or when Ctrl-C stops the run."""
        is_complete = self.step == self.recipe.training.steps and self.is_reported
        is_stopping = interruption.is_agreed(self.group) and not is_complete
        if is_saving or is_stopping:
            self._save()
        if is_stopping:
            raise KeyboardInterrupt(
                f"interrupted after step {self.step}; go on with: maskreel train --resume {self.folder}"
            )

    def _report(self, display: TrainingDisplay, interruption: Interruption) -> None:
        """Validate and write a line of the table, when they are due.

        Ctrl-C during the validation leaves the step unreported, and the resumed run begins with it.
        """
        config = self.recipe.training
        is_measured = self.validation is not None and config.validate_every > 0 and self._is_due(config.validate_every)
        metrics = self._validate(interruption) if is_measured else None
        if is_measured and metrics is None:
            return
        self.is_reported = True
        if metrics is not None or self._is_due(config.log_every):
            row = self._row(metrics)
            display.row(row)
        if metrics is not None and self.group.is_first:
            pictures.results(self.folder / "results.png", self.table)

    def _is_due(self, every: int) -> bool:
        """What happens every so many steps happens after the last step as well."""
        return self.step % every == 0 or self.step == self.recipe.training.steps

    def _train_step(self) -> dict[str, float]:
        """One optimizer step over `accumulate` batches; returns the mean losses, `total` first."""
        config = self.recipe.training
        set_learning_rates(self.optimizers.model, config, self.step)
        self.optimizers.zero_grad()
        seen: list[TrainingBatch] = []
        sums: dict[str, Tensor] = {}
        for number in range(config.accumulate):
            batch = next(self.batches).to(self.group.device)
            seen.append(batch)
            if self.step == 0 and number == 0 and self.group.is_first:
                pictures.training_batch(self.folder / "train_batch0.jpg", batch, self.training)
            try:
                losses = self._backward(batch, is_last=number + 1 == config.accumulate)
            except FloatingPointError as error:
                raise self._diverged(str(error), seen, {}) from error
            sums = {name: sums.get(name, 0) + value.detach() for name, value in losses.items()}
        norm = self.optimizers.unscale_and_clip(self.scaler)
        *values, norm_value = torch.stack([value.float() for value in (*sums.values(), norm)]).tolist()
        losses_by_name = dict(zip(sums, (value / config.accumulate for value in values), strict=True))
        total = {"total": sum(losses_by_name.values()), **losses_by_name}
        # With fp16 an infinite gradient is how the scaler learns that its scale is too high.
        checked = total if self.scaler.is_enabled() else {**total, "gradient": norm_value}
        if problem := not_finite(checked):
            raise self._diverged(problem, seen, total)
        self.optimizers.step(self.scaler)
        return total

    def _backward(self, batch: TrainingBatch, *, is_last: bool) -> dict[str, Tensor]:
        """Add a batch's gradient; processes exchange theirs with the last batch of a step only."""
        dtype = AUTOCAST[self.recipe.training.precision]
        is_synchronised = is_last or self.group.world_size == 1
        with nullcontext() if is_synchronised else self.forward.no_sync():  # type: ignore[operator]
            with torch.autocast(self.group.device.type, dtype, enabled=dtype != torch.float32):
                losses = self.forward(batch.clips, list(batch.targets))
            total = torch.stack([value.float() for value in losses.values()]).sum()
            self.scaler.scale(total / self.recipe.training.accumulate).backward()
        return losses

    def _diverged(self, problem: str, seen: list[TrainingBatch], losses: dict[str, float]) -> TrainingDiverged:
        suffix = "" if self.group.is_first else f"-process-{self.group.rank}"
        dump = self.folder / f"diverged-step-{self.step + 1:08d}{suffix}"
        write_dump(dump, self.objective, seen, losses, problem)
        return TrainingDiverged(self.step + 1, problem, dump)

    def _validate(self, interruption: Interruption) -> dict[str, float | None] | None:
        """Score the validation split and keep the weights when they are the best so far; None when Ctrl-C cut it off.

        Leaves every random number generator as it was, so that validating changes nothing in training.
        """
        figures = self._measure(interruption) if self.group.is_first else None
        return decided_by_first(self.group, lambda: figures)

    def _measure(self, interruption: Interruption) -> dict[str, float | None] | None:
        assert self.validation is not None, "there is a split to measure"
        before = capture_random()
        try:
            evaluation = evaluate(
                self.objective.model,
                self.classes,
                self.validation,
                self.recipe.evaluation,
                device=self.group.device,
                on_video=lambda _: interruption.cut_off(),
            )
        except CutOff:
            return None
        finally:
            self.objective.train()
            restore_random(before)
        pictures.validation_batch(self.folder, self.validation, evaluation)
        ap = evaluation.overall["AP"]
        if ap is not None and (self.best is None or ap > self.best.ap):
            self.best = Best(ap=ap, step=self.step)
            self._save_weights("best")
        return evaluation.overall

    def _row(self, metrics: dict[str, float | None] | None) -> Row:
        row = Row(
            step=self.step,
            epoch=self.loader.sampler.epoch + self.loader.sampler.position / self.loader.sampler.num_clips,
            time=self.seconds,
            losses=self.means.take(),
            metrics=metrics,
            learning_rate=self._learning_rate(),
        )
        if self.group.is_first:
            self.table.add(row)
        return row

    def _learning_rate(self) -> float:
        """Of the step just done."""
        config = self.recipe.training
        return config.learning_rate * learning_rate_factor(config, self.step - 1)

    def _save(self) -> None:
        if self.group.is_first:
            self._save_weights("last")
            if self.best is None:
                self._save_weights("best")
            save_checkpoint(
                self.folder, self.objective, self.optimizers, self._state(), keep=self.recipe.training.keep_checkpoints
            )
        wait_for_all()

    def _save_weights(self, name: str) -> None:
        save_model(
            self.folder / "weights" / name,
            self.objective.model,
            self.recipe.model,
            self.classes,
            inference=to_dict(self.recipe.evaluation),
        )

    def _state(self) -> TrainingState:
        scaler = self.scaler.state_dict()
        return TrainingState(
            step=self.step,
            is_reported=self.is_reported,
            seconds=self.seconds,
            sampler=self.loader.state_dict(),
            random=capture_random(),
            best=self.best,
            pending=dict(self.means.sums),
            pending_steps=self.means.steps,
            scale=scaler.get("scale"),
            scale_age=scaler.get("_growth_tracker"),
        )

    def _load(self) -> TrainingState:
        checkpoint = newest_checkpoint(self.folder)
        state = load_checkpoint(checkpoint, self.objective, self.optimizers)
        self.loader.load_state_dict(state.sampler)
        if self.scaler.is_enabled() and state.scale is not None:
            fresh = self.scaler.state_dict()
            self.scaler.load_state_dict({**fresh, "scale": state.scale, "_growth_tracker": state.scale_age or 0})
        self.means = LossMeans(sums=dict(state.pending), steps=state.pending_steps)
        self.best, self.step, self.seconds = state.best, state.step, state.seconds
        self.is_reported = state.is_reported
        if self.group.is_first:
            self.table.forget_after(state.step)
        logger.info("resuming after step %d (%s)", state.step, checkpoint)
        return state


def _load_data(recipe: Recipe) -> tuple[TrainingData, YouTubeVIS | None]:
    """Training and validation split; the latter is None where it is absent, has no truth, or is not wanted."""
    data = recipe.data
    training = load_sets(data.root, data.joint, data.train_split)
    if recipe.training.validate_every == 0:
        return training, None
    assert data.root is not None, "the training split was loaded from it"
    try:
        validation = YouTubeVIS.load(data.root, data.valid_split)
    except UsageError as error:
        logger.info("training without validation: %s", error)
        return training, None
    if not validation.has_annotations:
        logger.info("training without validation: %s has no annotations", validation.annotation_path)
        return training, None
    own = training.sets[0] if isinstance(training, JointSets) else training
    if validation.categories != own.categories:
        raise DataError(
            f"{validation.annotation_path}: its categories differ from those of {training.annotation_path}; "
            "both splits need the same classes, or pass --training.validate-every 0"
        )
    return training, validation


def _with_classes(recipe: Recipe, training: TrainingData) -> Recipe:
    """The recipe for the number of classes that the data has."""
    found = len(training.categories)
    if recipe.model.num_classes == found:
        return recipe
    logger.info(
        "model.num_classes set from %d to %d, the classes of %s",
        recipe.model.num_classes,
        found,
        training.annotation_path,
    )
    return replace(recipe, model=replace(recipe.model, num_classes=found))


def _fit_initial(init: str, recipe: Recipe, training: TrainingData) -> Start:
    initial = read_initial(init, heads=recipe.model.num_heads)
    return fit(initial, recipe.model, tuple((category.id, category.name) for category in training.categories))


def _build_loader(recipe: Recipe, training: TrainingData, group: Processes) -> ClipLoader:
    data, seed = recipe.data, recipe.training.seed
    clips = TrainingSet(
        training,
        num_frames=data.num_frames,
        augmentation=data.augmentation,
        seed=seed,
        on_missing_frames=data.on_missing_frames,
        frames=data.frames,
        stills=data.stills,
    )
    sampler = ClipSampler(
        len(clips), batch_size=data.batch_size, seed=seed, rank=group.rank, world_size=group.world_size
    )
    return build_loader(clips, sampler, workers=data.workers, pin_memory=group.device.type == "cuda")
