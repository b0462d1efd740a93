"""`maskreel train RECIPE`: train a model into a run folder, or resume a run."""

import logging
from pathlib import Path

from maskreel.cli.options import STDOUT, outputs_for, refused_as_typed, report_json
from maskreel.cli.records.train import Train
from maskreel.training.log import ResultsTable
from maskreel.training.loggers import named_loggers
from maskreel.training.loop import resume, train


def run(args: Train) -> None:
    """Train or resume. Raises UsageError for folders that cannot be used; see also `training.loop.train`."""
    outputs = outputs_for(args, args.data.root, *(args.data.joint or ()), args.init, args.resume)
    quiet = args.quiet or args.json == STDOUT
    logging.getLogger("maskreel").setLevel(logging.WARNING if quiet else logging.INFO)
    recipe = args.to_recipe()
    with refused_as_typed():
        loggers = named_loggers(args.log)
    if args.resume is not None:
        folder = resume(recipe, args.resume, loggers=loggers, quiet=quiet)
    else:
        folder = train(recipe, args.out, init=args.init, loggers=loggers, quiet=quiet)
    report_json(args.json, {"out": str(folder), "recipe": recipe.name, "results": _last_row(folder)}, outputs)


def _last_row(folder: Path) -> dict[str, float | None]:
    """The newest line of a run's `results.csv`; None where nothing was measured."""
    rows = ResultsTable(folder / "results.csv").read()
    return {name: float(value) if value else None for name, value in rows[-1].items()} if rows else {}
