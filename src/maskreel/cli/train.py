"""`maskreel train RECIPE`: train a model into a run folder, or resume a run."""

import logging
import os
from pathlib import Path

from maskreel.cli.options import STDOUT, outputs_for, refused_as_typed, report_json
from maskreel.cli.records.train import AUTO, Train
from maskreel.cli.tables import table
from maskreel.data.layouts import find_annotations, find_splits
from maskreel.errors import UsageError
from maskreel.training.log import ResultsTable
from maskreel.training.loggers import named_loggers
from maskreel.training.loop import begin_or_resume, resume, train
from maskreel.training.memory_plan import Choice, Plan, make_plan, parse_bytes, require_fit
from maskreel.training.recipe import Recipe


def run(args: Train) -> None:
    """Train or resume. Raises UsageError for folders that cannot be used; see also `training.loop.train`."""
    roots = [root for root in (args.data.root, *(args.data.joint or ())) if root is not None]
    annotations = [find_annotations(root, split) for root in roots for split in {*find_splits(root)}]
    outputs = outputs_for(args, *roots, *annotations, args.init, args.resume)
    quiet = args.quiet or args.json == STDOUT
    logging.getLogger("maskreel").setLevel(logging.WARNING if quiet else logging.INFO)
    recipe = args.to_recipe()
    if args.max_memory is not None:
        plan = plan_memory(recipe, args)
        if args.dry_run:
            report_json(args.json, plan.to_json(), outputs)
            require_fit(plan)
            return
        recipe = require_fit(plan).applied(recipe)
    elif args.dry_run:
        raise UsageError("--dry-run prints the plan of --max-memory, such as --max-memory 8GB --dry-run")
    with refused_as_typed():
        loggers = named_loggers(args.log)
    if args.resume == AUTO:
        place = args.out or Path("runs/train") / recipe.name
        folder = begin_or_resume(recipe, place, init=args.init, loggers=loggers, quiet=quiet)
    elif args.resume is not None:
        folder = resume(recipe, args.resume, loggers=loggers, quiet=quiet)
    else:
        folder = train(recipe, args.out, init=args.init, loggers=loggers, quiet=quiet)
    report_json(args.json, {"out": str(folder), "recipe": recipe.name, "results": _last_row(folder)}, outputs)


def plan_memory(recipe: Recipe, args: Train) -> Plan:
    """Measure and choose, and print what was considered. UsageError for a limit that is none, and under torchrun."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "--max-memory: plan with one process (--dry-run), and give torchrun the options that it prints"
        )
    with refused_as_typed():
        limit = parse_bytes(str(args.max_memory))
    plan = make_plan(recipe, limit)
    if not args.quiet and args.json != STDOUT:
        print(
            f"{recipe.name}: {recipe.data.batch_size * recipe.training.accumulate} clips per step, {limit / 1e9:g} GB"
        )
        print(table(PLAN_HEADS, [_plan_row(choice, is_chosen=choice is plan.chosen) for choice in plan.choices]))
    return plan


PLAN_HEADS = ("batch size", "accumulate", "checkpointing", "precision", "peak GB", "")


def _plan_row(choice: Choice, *, is_chosen: bool) -> list[str]:
    peak = "too much" if choice.peak is None else f"{choice.peak / 1e9:.2f}"
    how = [str(choice.batch_size), str(choice.accumulate), choice.checkpointing, choice.precision]
    return [*how, peak, "chosen" if is_chosen else ""]


def _last_row(folder: Path) -> dict[str, float | None]:
    """The newest line of a run's `results.csv`; None where nothing was measured."""
    rows = ResultsTable(folder / "results.csv").read()
    return {name: float(value) if value else None for name, value in rows[-1].items()} if rows else {}
