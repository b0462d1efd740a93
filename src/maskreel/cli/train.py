"""`maskreel train RECIPE`: train a model into a run folder, or resume a run."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from maskreel.cli.options import parse_options
from maskreel.config import suggestion
from maskreel.data.loading import DataConfig
from maskreel.errors import UsageError
from maskreel.evaluation.evaluate import EvaluationConfig
from maskreel.models.catalog import ModelConfig
from maskreel.recipes.catalog import RECIPES
from maskreel.training.loop import resume, train
from maskreel.training.recipe import Recipe, TrainingConfig
from maskreel.training.run_folder import read_recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe; everything below can be overridden."""

    recipe: Annotated[str, tyro.conf.Positional]
    """Name of the recipe."""
    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    out: Path | None = None
    """Run folder; default runs/train/RECIPE, then RECIPE-2 and so on."""
    init: str | None = None
    """Weights to start from: a foreign file (see maskreel convert), a run or model folder, or the word bundled; a class
    head for other classes is drawn anew."""
    resume: Path | None = None
    """Run folder to go on with (instead of a recipe)."""
    quiet: bool = False
    """Report nothing but warnings and errors."""


def parse(words: Sequence[str]) -> Train:
    """The recipe comes first, because it supplies the defaults of all other options; so does the run with --resume."""
    first = words[0] if words else "--help"
    if first in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    if first == "--resume" or first.startswith("--resume="):
        return _parse_resume(words)
    if first.startswith("-"):
        raise UsageError(f"the recipe comes first: maskreel train RECIPE {first} ...; recipes: {', '.join(RECIPES)}")
    if first not in RECIPES:
        hint = suggestion(first, RECIPES, f"recipes: {', '.join(RECIPES)}")
        raise UsageError(f"unknown recipe {first!r}; {hint}")
    return parse_options(Train, words, "train", default=_with_defaults(RECIPES[first](), resume=None))


def run(args: Train) -> None:
    """Train or resume. Raises UsageError for folders that cannot be used; see also `training.loop.train`."""
    logging.getLogger("maskreel").setLevel(logging.WARNING if args.quiet else logging.INFO)
    recipe = Recipe(
        name=args.recipe, model=args.model, data=args.data, training=args.training, evaluation=args.evaluation
    )
    if args.resume is not None:
        resume(recipe, args.resume, quiet=args.quiet)
    else:
        train(recipe, args.out, init=args.init, quiet=args.quiet)


def _parse_resume(words: Sequence[str]) -> Train:
    folder = words[0].partition("=")[2] or (words[1] if len(words) > 1 else "")
    if not folder or folder.startswith("-"):
        raise UsageError("--resume needs the folder of a run, such as runs/train/seqformer-tiny")
    if not Path(folder).is_dir():
        raise UsageError(f"{folder}: no such folder; --resume needs the folder of a run")
    stored = read_recipe(Path(folder))
    args = parse_options(Train, words, "train", default=_with_defaults(stored, resume=Path(folder)))
    if args.model != stored.model or args.recipe != stored.name:
        raise UsageError("a resumed run keeps its model; --model options and a recipe need a new run")
    if args.out is not None:
        raise UsageError("a resumed run stays in its folder; leave out --out")
    if args.init is not None:
        raise UsageError("a resumed run goes on from its checkpoint; leave out --init")
    if (args.data, args.training, args.evaluation) != (stored.data, stored.training, stored.evaluation):
        logger.warning("resuming with changed options: the result will differ from that of an uninterrupted run")
    return args


def _with_defaults(recipe: Recipe, *, resume: Path | None) -> Train:
    return Train(
        recipe=recipe.name,
        model=recipe.model,
        data=recipe.data,
        training=recipe.training,
        evaluation=recipe.evaluation,
        resume=resume,
    )


def _help() -> str:
    return "\n".join(
        [
            "usage: maskreel train RECIPE --data.root DIR [--init WEIGHTS] [OPTIONS]",
            "       maskreel train --resume RUN [OPTIONS]",
            "",
            "recipes:",
            *(f"  {name}" for name in RECIPES),
            "",
            "maskreel train RECIPE --help lists the options with the recipe's values.",
        ]
    )
