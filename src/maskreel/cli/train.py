"""`maskreel train RECIPE`: train a model into a run folder, or resume a run."""

import logging

from maskreel.cli.options import report_json, require_json
from maskreel.cli.records.train import Train
from maskreel.files import read_json
from maskreel.training.loop import resume, train


def run(args: Train) -> None:
    """Train or resume. Raises UsageError for folders that cannot be used; see also `training.loop.train`."""
    require_json(args.json)
    quiet = args.quiet or args.json == "-"
    logging.getLogger("maskreel").setLevel(logging.WARNING if quiet else logging.INFO)
    recipe = args.to_recipe()
    if args.resume is not None:
        folder = resume(recipe, args.resume, quiet=quiet)
    else:
        folder = train(recipe, args.out, init=args.init, quiet=quiet)
    metrics = folder / "metrics.json"
    report_json(
        args.json,
        {"out": str(folder), "recipe": recipe.name, "metrics": read_json(metrics) if metrics.is_file() else None},
    )
