"""What the command line does, as functions for a program: plain arguments in, records and paths out.

The rooms have the same things with every argument (`training.loop.train`, `evaluation.evaluate.evaluate` ...).
"""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

import maskreel.evaluation.evaluate
import maskreel.evaluation.report
import maskreel.models.folder
import maskreel.training.loop
from maskreel.config import ConfigError, from_dict, suggestion, to_dict
from maskreel.data.annotation_file import read_ground_truth
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import OptionError
from maskreel.evaluation.catalog import DEFAULT, METRICS
from maskreel.evaluation.evaluate import Evaluation
from maskreel.evaluation.options import EvaluationConfig, recorded_evaluation
from maskreel.evaluation.report import ScoreOptions
from maskreel.evaluation.results import read_predictions
from maskreel.inference.options import OptionChanges, changed_options
from maskreel.models.catalog import ModelConfig
from maskreel.recipes.catalog import find_recipe
from maskreel.rendered.synthetic import SyntheticDials, write_dataset
from maskreel.runtimes.folder import load_runnable
from maskreel.training.loggers import RunLogger
from maskreel.training.recipe import Recipe


def train(
    recipe: str | Recipe,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    steps: int | None = None,
    device: str | None = None,
    init: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    loggers: Sequence[RunLogger] = (),
    quiet: bool = False,
) -> Path:
    """Train a recipe, by its name or changed by hand, and return the run folder, which `load` takes.

    `data` is the folder of a YouTube-VIS data set, `out` the run folder (default runs/train/NAME), `steps` the number
    of optimizer steps, `device` cpu, cuda, cuda:1 ... or auto, `init` weights to start from (a run, a model folder, a
    foreign file, or "bundled"). `options` are all others, named as on the command line:
    `{"training.learning_rate": 1e-4, "data.batch_size": 1}`. What is not given is the recipe's. `loggers` are told
    every line of `results.csv` (`training.loggers.RunLogger` says how).

    Raises UsageError for a recipe or data that are not there and a folder that cannot be used, OptionError for an
    option, DataError for weights that do not fit, TrainingDiverged when a loss is not finite.
    """
    short = {"data.root": data, "training.steps": steps, "training.device": device}
    changes = {**{path: value for path, value in short.items() if value is not None}, **(options or {})}
    recipe = _changed(find_recipe(recipe) if isinstance(recipe, str) else recipe, changes)
    folder = None if out is None else Path(out)
    start = None if init is None else str(init)
    return maskreel.training.loop.train(recipe, folder, init=start, loggers=loggers, quiet=quiet)


def evaluate(
    run: str | Path,
    data: str | Path,
    split: str = "valid",
    *,
    device: str = "auto",
    **options: Unpack[OptionChanges],
) -> Evaluation:
    """Run a model over a split of the data set in the folder `data` and measure AP and AR.

    `run` is what `load` takes; `options` change how it was evaluated when it was trained. Metrics are fractions, None
    where nothing can be measured. Raises UsageError for what is not there, OptionError for an option, DataError for
    data without annotations and for classes that are not the model's.
    """
    chosen = choose_device(device)
    dataset = YouTubeVIS.load(Path(data), split)
    loaded = load_runnable(run, chosen)
    recorded = recorded_evaluation(loaded.inference).predictor
    config = EvaluationConfig(predictor=changed_options(recorded, options))
    return maskreel.evaluation.evaluate.evaluate(loaded.model, loaded.classes, dataset, config, device=chosen)


def score(
    truth: str | Path,
    results: str | Path,
    metrics: Sequence[str] = (DEFAULT,),
    *,
    per_video: bool = False,
    bootstrap: int = 0,
    errors: bool = False,
    strict_reference: bool = False,
) -> dict[str, Any]:
    """Measure a results file against an annotation file, both as YouTube-VIS has them.

    Returns what `maskreel score --json` writes: per word of `metrics` its values as fractions, None where nothing can
    be measured. `bootstrap` is the number of resamplings for confidence intervals; `errors` says what AP is lost to.
    Raises OptionError for a metric that there is not, UsageError for a missing file, DataError for a faulty one.
    """
    for word in metrics:
        if word not in METRICS:
            hint = suggestion(word, METRICS, f"there are {', '.join(METRICS)}")
            raise OptionError(f"unknown metric {word!r}; {hint}")
    if bootstrap < 0:
        raise OptionError(f"bootstrap {bootstrap}: a number of resamplings, 0 for none")
    options = ScoreOptions(
        metrics=tuple(metrics),
        per_video=per_video,
        bootstrap=bootstrap,
        errors=errors,
        strict_reference=strict_reference,
    )
    ground_truth = read_ground_truth(Path(truth), strict_reference=strict_reference)
    predictions = read_predictions(Path(results), ground_truth, strict_reference=strict_reference)
    return maskreel.evaluation.report.score(ground_truth, predictions, options)


def render_dataset(
    folder: str | Path,
    *,
    videos: int = 200,
    split: str = "train",
    seed: int = 0,
    dials: SyntheticDials | None = None,
    workers: int = 1,
) -> Path:
    """Render videos with known truth into `folder`, in YouTube-VIS layout, and return the annotation file.

    The same arguments give the same pixels on every machine. Train with seeds below 10000; seeds from there on are for
    tests. `dials` say what is in a video and how hard it is. With more than one worker process the calling script needs
    the usual `if __name__ == "__main__"` guard. Raises UsageError for values out of range and for a split that exists.
    """
    folder = Path(folder)
    write_dataset(folder, split, num_videos=videos, seed=seed, dials=dials or SyntheticDials(), workers=workers)
    return folder / f"{split}.json"


def build_model(model: str | Recipe | ModelConfig, *, num_classes: int | None = None) -> nn.Module:
    """A model with fresh weights: that of a recipe, by name, or of a config; `num_classes` changes its classes.

    It takes a `ClipBatch` and gives a `ClipPrediction`. Raises UsageError for a recipe that there is not.
    """
    if isinstance(model, str):
        model = find_recipe(model)
    config = model.model if isinstance(model, Recipe) else model
    if num_classes is not None:
        config = replace(config, num_classes=num_classes)
    return maskreel.models.folder.build_model(config)


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with options of dotted names changed; OptionError names one that there is not, with the nearest."""
    record = to_dict(recipe)
    for path, value in changes.items():
        *groups, name = path.split(".")
        place = record
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise OptionError(f"option {path}: {group} is {place!r} in this recipe and has no parts")
        place[name] = _plain(value)
    try:
        return from_dict(Recipe, record)
    except ConfigError as error:
        raise OptionError(f"option {error}") from error


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_dict(value)
    return str(value) if isinstance(value, Path) else value
