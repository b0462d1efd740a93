"""The training loop: steps, and what is due between them."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from maskreel.checkpoints.initialise import Start, fit, read_initial
from maskreel.data.loading import TrainingBatch
from maskreel.errors import Ended, UsageError
from maskreel.files import write_json
from maskreel.training import pictures
from maskreel.training.checkpoint import has_checkpoints, load_checkpoint, newest_checkpoint, save_checkpoint
from maskreel.training.distributed import (
    Processes,
    decided_by_first,
    gathered_by_first,
    processes,
    share_batches,
    sharing,
    wait_for_all,
)
from maskreel.training.interruption import Interruption
from maskreel.training.log import EMA, ResultsTable, Row, TrainingDisplay
from maskreel.training.loggers import Loggers, RunLogger
from maskreel.training.optimizer import learning_rate_factor
from maskreel.training.progress import Progress
from maskreel.training.random_state import RandomState, capture_random, restore_random, seed_random
from maskreel.training.recipe import Recipe
from maskreel.training.run_data import RunData, load_run_data, training_loader
from maskreel.training.run_folder import describe_run, new_run_folder, write_recipe, write_weights
from maskreel.training.stages import FIRST, first_stage
from maskreel.training.step import Learner
from maskreel.training.validation import Validation
from maskreel.visualize.statistics import label_table, labels

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    out: Path | None = None,
    *,
    init: str | None = None,
    loggers: Sequence[RunLogger] = (),
    quiet: bool = False,
) -> Path:
    """Train a recipe into a new run folder (`out`, or runs/train/NAME) and return it.

    `init` names weights to start from: a foreign file, a run, a model folder, or "bundled"; what is taken of them is
    logged and stands in `init.json`. `loggers` are told what `results.csv` holds. Ctrl-C finishes the step, writes a
    checkpoint and raises KeyboardInterrupt. Raises UsageError when the data is not there or the folder cannot be used,
    DataError when the weights do not fit, TrainingDiverged when a loss or the gradient is not finite.
    """
    return _train(
        recipe, lambda: new_run_folder(out, recipe.name), init=init, loggers=loggers, is_resumed=False, quiet=quiet
    )


def resume(recipe: Recipe, folder: Path, *, loggers: Sequence[RunLogger] = (), quiet: bool = False) -> Path:
    """Go on with a run from its newest checkpoint; on the CPU it ends with the bits of an uninterrupted run.

    One that had not come to its first checkpoint begins anew. UsageError where it had begun from weights.
    """
    if not has_checkpoints(folder) and not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: there is no checkpoint to resume from, and no config.json of a run")
    begun = folder if recipe.first is None else folder / FIRST
    if not (has_checkpoints(folder) or has_checkpoints(begun)) and (begun / "init.json").is_file():
        raise UsageError(f"{folder}: has no checkpoint yet, and began from weights; train anew with the same --init")
    return _train(recipe, lambda: folder, loggers=loggers, is_resumed=True, quiet=quiet)


def begin_or_resume(
    recipe: Recipe,
    folder: Path,
    *,
    init: str | None = None,
    loggers: Sequence[RunLogger] = (),
    quiet: bool = False,
) -> Path:
    """Go on with the run in `folder` from its newest whole checkpoint, or begin it there: the same command for both.

    So a run that is started again whenever a process is lost, as `torchrun --max-restarts` does, comes to its end.
    Raises as `train` and `resume` do.
    """
    is_begun = has_checkpoints(folder)

    def choose_folder() -> Path:
        return folder if is_begun or (folder / "config.json").is_file() else new_run_folder(folder, recipe.name)

    init = None if is_begun else init
    return _train(recipe, choose_folder, init=init, loggers=loggers, is_resumed=True, quiet=quiet)


def _train(
    recipe: Recipe,
    choose_folder: Callable[[], Path],
    *,
    init: str | None = None,
    loggers: Sequence[RunLogger],
    is_resumed: bool,
    quiet: bool,
) -> Path:
    with processes(recipe.training.device) as group:
        if recipe.training.precision == "fp16" and group.device.type != "cuda":
            raise UsageError("--training.precision fp16 needs CUDA; use bf16 or float32")
        share = share_batches(recipe.data.batch_size, recipe.training.accumulate, group.world_size)
        data = load_run_data(recipe, group)
        recipe = _with_classes(recipe, data)
        first = first_stage(recipe)
        # Before there is a folder, so that weights that do not fit leave nothing behind.
        start = None if init is None else _fit_initial(init, first or recipe, data)
        folder = decided_by_first(group, choose_folder)
        logger.info("run folder: %s", folder)
        quiet = quiet or not group.is_first
        with Interruption() as interruption:
            if first is not None and not (is_resumed and has_checkpoints(folder)):
                if group.is_first:
                    write_recipe(folder, recipe)
                _train_first(first, folder, group, data, start, interruption, is_resumed=is_resumed, quiet=quiet)
                start, is_resumed = _fit_initial(str(folder / FIRST), recipe, data), False
            run = TrainingRun(recipe, folder, group, data, loggers)
            with sharing(share, group):
                _run(run, start, interruption, is_resumed=is_resumed, quiet=quiet)
        return folder


def _train_first(
    recipe: Recipe,
    folder: Path,
    group: Processes,
    data: RunData,
    start: Start | None,
    interruption: Interruption,
    *,
    is_resumed: bool,
    quiet: bool,
) -> None:
    """Train the first stage of the run in `folder`, or go on with it; one that is complete stays as it is."""
    logger.info("first stage: %d steps on single frames", recipe.training.steps)
    (folder / FIRST).mkdir(exist_ok=True)
    run = TrainingRun(recipe, folder / FIRST, group, replace(data, validation=None))
    try:
        with sharing(run.share, group):
            late = _run(run, start, interruption, is_resumed=is_resumed, quiet=quiet)
        # What the first process writes is what the next stage of all begins with.
        wait_for_all()
        if late:
            # It came while the last step was written: this stage is complete, the next one has not begun.
            raise late
    except KeyboardInterrupt as error:
        done = f"interrupted after step {run.progress.step} of the first stage"
        sentence = f"{done}; go on with: maskreel train --resume {folder}"
        raise (Ended(error.number, sentence) if isinstance(error, Ended) else KeyboardInterrupt(sentence)) from None


def _run(
    run: "TrainingRun", start: Start | None, interruption: Interruption, *, is_resumed: bool, quiet: bool
) -> KeyboardInterrupt | None:
    """Train to the end; returns what `TrainingRun.go_on` does."""
    if start is not None:
        run.start_from(start)
    run.begin(is_resumed=is_resumed and has_checkpoints(run.folder))
    return run.go_on(interruption, quiet=quiet)


def _with_classes(recipe: Recipe, data: RunData) -> Recipe:
    """The recipe for the number of classes that the data has."""
    found, expected = len(data.classes), recipe.model.num_classes
    if expected == found:
        return recipe
    place = data.training.annotation_path
    logger.info("model.num_classes set from %d to %d, the classes of %s", expected, found, place)
    return replace(recipe, model=replace(recipe.model, num_classes=found))


def _fit_initial(init: str, recipe: Recipe, data: RunData) -> Start:
    return fit(read_initial(init, heads=recipe.model.transformer.num_heads), recipe.model, data.classes)


class TrainingRun:
    """A run between two steps: who learns, from what, how far it is, and where that is written."""

    def __init__(
        self, recipe: Recipe, folder: Path, group: Processes, data: RunData, loggers: Sequence[RunLogger] = ()
    ) -> None:
        config = recipe.training
        self.recipe, self.folder, self.group, self.data = recipe, folder, group, data
        # Every process starts from the same weights; `begin` gives each its own random numbers.
        seed_random(config.seed)
        self.share = share_batches(recipe.data.batch_size, config.accumulate, group.world_size)
        self.learner = Learner(recipe, group, folder, accumulate=self.share.accumulate)
        self.loader = training_loader(data.training, recipe.data, group, self.share, seed=config.seed)
        self.validation = (
            None
            if data.validation is None
            else Validation(data.validation, data.classes, recipe.evaluation, group, folder, self.loader.left_out)
        )
        self.table = ResultsTable(folder / "results.csv")
        self._told = tuple(loggers) if group.is_first else ()
        self.progress = Progress()

    def start_from(self, start: Start) -> None:
        """Put initial weights into the model of a new run, and tell what was taken."""
        start.fill(self.learner.objective.model, self.learner.objective.criterion)
        if self.group.is_first:
            logger.info("%s", "\n".join(start.lines()))
            write_json(self.folder / "init.json", start.to_json())

    def begin(self, *, is_resumed: bool) -> None:
        """Take up the newest checkpoint, or start anew; write the descriptions of the run."""
        random: tuple[RandomState, ...] = ()
        if is_resumed:
            checkpoint = newest_checkpoint(self.folder)
            self.progress, random = load_checkpoint(checkpoint, self.learner, self.loader)
            logger.info("resuming after step %d (%s)", self.progress.step, checkpoint)
        if self.group.rank < len(random):
            restore_random(random[self.group.rank])
        else:
            seed_random(self.recipe.training.seed + self.progress.step * self.group.world_size, self.group.rank)
        if self.group.is_first:
            # Also what was written before the first checkpoint of a run that was killed.
            self.table.forget_after(self.progress.step)
            describe_run(self.folder, self.recipe, self.data, self.group.device)
            if not is_resumed:
                labels(self.folder / "labels.png", self.data.training)
                label_table(self.folder / "labels.csv", self.data.training)

    def go_on(self, interruption: Interruption, *, quiet: bool = False) -> KeyboardInterrupt | None:
        """Train to the last step of the recipe; KeyboardInterrupt after a signal, when everything is on disk.

        Returns what would have been raised where the signal came when nothing was left to do.
        """
        config, progress, batches = self.recipe.training, self.progress, self._batches()
        display = TrainingDisplay(total=config.steps, done=progress.step, quiet=quiet)
        loggers = Loggers(self._told, self.folder, self.recipe, step=progress.step)
        with display, loggers:
            if progress.step and not progress.is_reported:
                self._report(display, loggers, interruption)
                self._finish_step(interruption, is_saving=True)
            while progress.step < config.steps:
                start = time.monotonic()
                losses = self.learner.step(progress.step, batches)
                progress.advance(losses, time.monotonic() - start)
                display.step(progress.step, losses["total"])
                if not interruption.is_agreed(self.group):
                    self._report(display, loggers, interruption)
                self._finish_step(interruption, is_saving=self._is_due(config.checkpoint_every))
            is_late = interruption.is_agreed(self.group)
        if self.group.is_first:
            pictures.results(self.folder / "results.png", self.table)
        return interruption.stop("interrupted") if is_late else None

    def _batches(self) -> Iterator[TrainingBatch]:
        """Batches on the device; a picture is taken of the very first one of a run."""
        is_first = self.progress.step == 0 and self.group.is_first
        for batch in self.loader:
            batch = batch.to(self.group.device)
            if is_first:
                pictures.training_batch(self.folder / "train_batch0.jpg", batch, self.data.training)
                is_first = False
            yield batch

    def _is_due(self, every: int) -> bool:
        """What happens every so many steps happens after the last step as well."""
        return self.progress.step % every == 0 or self.progress.step == self.recipe.training.steps

    def _report(self, display: TrainingDisplay, loggers: Loggers, interruption: Interruption) -> None:
        """Validate and write a line of the table, when they are due.

        Ctrl-C during the validation leaves the step unreported, and the resumed run begins with it.
        """
        config, metrics = self.recipe.training, None
        if self.validation is not None and self._is_due(config.validate_every):
            metrics = self.validation(self.learner.objective.model, interruption)
            if metrics is None:
                return
            if self.progress.improves(metrics["AP"]):
                self._write_weights("best")
                self.validation.draw_curves()
            averaged = self._measure_average(interruption)
            if averaged is None:
                return
            metrics |= averaged
        self.progress.is_reported = True
        if metrics is not None or self._is_due(config.log_every):
            row = self._row(metrics)
            if self.group.is_first:
                self.table.add(row)
                loggers.row(row)
            display.row(row)
        if metrics is not None and self.group.is_first:
            pictures.results(self.folder / "results.png", self.table)

    def _measure_average(self, interruption: Interruption) -> dict[str, float | None] | None:
        """Metrics of the averaged weights, none where there are no such; None where a signal cut it off."""
        average, model = self.learner.average, self.learner.objective.model
        if average is None or self.validation is None:
            return {}
        with average.in_place_in(model):
            metrics = self.validation(model, interruption, with_pictures=False)
            if metrics is not None and self.progress.average_improves(metrics["AP"]):
                self._write_weights("ema-best")
        return metrics and {f"{EMA}{name}": value for name, value in metrics.items()}

    def _row(self, metrics: dict[str, float | None] | None) -> Row:
        config, progress, sampler = self.recipe.training, self.progress, self.loader.sampler
        return Row(
            step=progress.step,
            epoch=sampler.epoch + sampler.position / sampler.num_clips,
            time=progress.seconds,
            losses=progress.means.take(),
            metrics=metrics,
            has_average=self.learner.average is not None,
            learning_rate=config.learning_rate * learning_rate_factor(config, progress.step - 1),
        )

    def _finish_step(self, interruption: Interruption, *, is_saving: bool) -> None:
        """Save when it is due, or when Ctrl-C stops the run."""
        step = self.progress.step
        is_complete = step == self.recipe.training.steps and self.progress.is_reported
        is_stopping = interruption.is_agreed(self.group) and not is_complete
        if is_saving or is_stopping:
            self._save()
        if is_stopping:
            raise interruption.stop(f"interrupted after step {step}; go on with: maskreel train --resume {self.folder}")

    def _save(self) -> None:
        """The first process writes; others go on, and wait for it with their next gradient."""
        random = gathered_by_first(self.group, capture_random())
        self._write_weights("last")
        if self.progress.best is None:
            self._write_weights("best")
        if self.learner.average is not None:
            with self.learner.average.in_place_in(self.learner.objective.model):
                self._write_weights("ema-last")
                if self.progress.best_average is None:
                    self._write_weights("ema-best")
        if self.group.is_first:
            keep = self.recipe.training.keep_checkpoints
            if self.loader.left_out.omissions:
                write_json(self.folder / "left_out.json", self.loader.left_out.to_json())
            save_checkpoint(self.folder, self.learner, self.loader, self.progress, keep=keep, others=random[1:])

    def _write_weights(self, name: str) -> None:
        if self.group.is_first:
            write_weights(self.folder / "weights" / name, self.learner.objective.model, self.recipe, self.data.classes)
