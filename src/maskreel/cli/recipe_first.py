"""The words after `maskreel train`: a recipe or a run comes first, because it has the values of all other options.

The list of recipes and a misspelt one are answered before torch is imported.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskreel.cli.options import parse_options, with_new_names
from maskreel.config import suggestion
from maskreel.errors import UsageError
from maskreel.recipes.catalog import RECIPES

AUTO = "auto"
logger = logging.getLogger(__name__)


def parse(words: Sequence[str]) -> Any:
    """A `records.train.Train`. Raises UsageError for a recipe, a run or an option that cannot be."""
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
    from maskreel.cli.records.train import Train

    args = _parsed(words, Train.of(RECIPES[first]()))
    if args.resume is not None and str(args.resume) != AUTO:
        raise UsageError(
            f"a recipe and --resume {args.resume}: leave out the recipe, which the run knows, or write --resume auto"
        )
    return args


def _parse_resume(words: Sequence[str]) -> Any:
    folder = words[0].partition("=")[2] or (words[1] if len(words) > 1 else "")
    if not folder or folder.startswith("-"):
        raise UsageError("--resume needs the folder of a run, such as runs/train/seqformer-tiny")
    if folder == AUTO:
        found = _newest_run()
        words = [f"--resume={found}", *words[1 if "=" in words[0] else 2 :]]
        folder = str(found)
    if not Path(folder).is_dir():
        raise UsageError(f"{folder}: no such folder; --resume needs the folder of a run")
    from maskreel.cli.records.train import Train
    from maskreel.training.run_folder import read_recipe

    stored = read_recipe(Path(folder))
    args = _parsed(words, Train.of(stored, resume=Path(folder)))
    if args.model != stored.model or args.recipe != stored.name:
        raise UsageError("a resumed run keeps its model; --model options and a recipe need a new run")
    if args.out is not None:
        raise UsageError("a resumed run stays in its folder; leave out --out")
    if args.init is not None:
        raise UsageError("a resumed run goes on from its checkpoint; leave out --init")
    if args.to_recipe() != stored:
        logger.warning("resuming with changed options: the result will differ from that of an uninterrupted run")
    return args


def _newest_run() -> Path:
    """The run below runs/train that was written last."""
    found = [path.parent for path in Path("runs/train").glob("*/config.json")]
    if not found:
        raise UsageError(
            "--resume auto: there is no run in runs/train; name a recipe before it, and --out for its folder"
        )
    return max(found, key=lambda folder: max(path.stat().st_mtime for path in (folder, *folder.glob("checkpoints/*"))))


def _parsed(words: Sequence[str], default: Any) -> Any:
    """The words with these defaults; options that have moved are taken by their old names, too."""
    from maskreel.training.recipe import moved_options

    words = with_new_names(words, moved_options(default.model.kind))
    for place, word in enumerate(words):
        if word.partition("=")[0] == "--on-bad":
            words[place] = word.replace("--on-bad", "--data.on-bad", 1)
        # What --data.on-missing-frames called it.
        if word == "--data.on-bad=error":
            words[place] = "--data.on-bad=stop"
        if word == "error" and place and words[place - 1] == "--data.on-bad":
            words[place] = "stop"
    return parse_options(type(default), words, "train", default=default)


def _help() -> str:
    return "\n".join(
        [
            "usage: maskreel train RECIPE --data.root DIR [--init WEIGHTS] [OPTIONS]",
            "       maskreel train --resume RUN [OPTIONS]",
            "       maskreel train RECIPE --data.root DIR --out RUN --resume auto    begins, or goes on",
            "",
            "recipes:",
            *(f"  {name}" for name in RECIPES),
            "",
            "maskreel train RECIPE --help lists the options with the recipe's values.",
        ]
    )
