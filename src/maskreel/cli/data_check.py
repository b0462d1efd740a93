"""`maskreel data check`: everything that is wrong with a data set, at once."""

from dataclasses import asdict
from typing import Any

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Check
from maskreel.data.check.other_formats import check_format
from maskreel.data.check.problems import KINDS
from maskreel.data.check.splits import CheckedSplit, check_dataset, fix_split
from maskreel.data.formats.annotations import ReadOptions
from maskreel.data.layouts import find_splits
from maskreel.errors import DataError, UsageError


def run(args: Check) -> None:
    """Check and print.

    Raises:
        UsageError: when there is nothing to check.
        DataError: when something is wrong and stays so.
    """
    checked = _checked(args)
    folders = (entry for entry in args.root.iterdir() if entry.is_dir()) if args.root.is_dir() else ()
    outputs = outputs_for(args, *(split.path for split in checked), *folders)
    fixed = [fix_split(args.root, split, outputs) if args.fix else None for split in checked]
    entries = []
    for split, repair in zip(checked, fixed, strict=True):
        entries.append(_entry(split))
        if repair is not None:
            entries[-1] |= {"fixed": str(repair[0]), "remaining": _entry(repair[1])["problems"]}
    report = {"root": str(args.root), "splits": entries}
    if report_json(args.json, report, outputs):
        for split, repair in zip(checked, fixed, strict=True):
            print("\n".join(_lines(split)))
            if repair is not None:
                print(f"  repaired into {repair[0]}, use it as the split {repair[1].split}:")
                print("\n".join(_lines(repair[1])))
    left = [repair[1] if repair is not None else split for split, repair in zip(checked, fixed, strict=True)]
    _fail_on_faults(args, left)


def _checked(args: Check) -> list[CheckedSplit]:
    """The splits of a YouTube-VIS folder, or whatever else is there."""
    options = ReadOptions(split=args.split or "train", images=args.images)
    if args.read_as not in (None, "youtube-vis"):
        return [check_format(args.root, args.read_as, options)]
    is_file = args.root.is_file()
    found = check_dataset(args.root, args.split) if not is_file and any(find_splits(args.root)) else []
    if args.read_as is not None or args.split is not None or any(split.counts for split in found):
        return found or check_dataset(args.root, args.split)
    try:
        return [check_format(args.root, None, options)]
    except UsageError:
        if is_file:
            raise
        return found or check_dataset(args.root, args.split)


def _fail_on_faults(args: Check, checked: list[CheckedSplit]) -> None:
    faults = [problem for split in checked for problem in split.problems.faults]
    if faults:
        kinds = len({problem.kind for problem in faults})
        repairable = sum(problem.is_repaired for problem in faults)
        hint = f"; --fix repairs {repairable} of them into a new file" if repairable and not args.fix else ""
        raise DataError(f"{args.root}: {len(faults)} faults of {kinds} kinds{hint}")


def _entry(split: CheckedSplit) -> dict[str, Any]:
    problems = [
        {**asdict(problem), "is_note": problem.is_note, "is_repaired": problem.is_repaired}
        for problem in split.problems
    ]
    return {"split": split.split, "annotations": str(split.path), **split.counts, "problems": problems}


def _lines(split: CheckedSplit) -> list[str]:
    """The split in one line, then its problems by kind, faults first."""
    faults = split.problems.faults
    counts = ", ".join(f"{count} {name}" for name, count in split.counts.items())
    verdict = f"{len(faults)} faults" if faults else "nothing wrong"
    lines = [f"{split.path}: {f'{counts}: ' if counts else ''}{verdict}"]
    for is_note in (False, True):
        for kind in KINDS:
            found = [problem for problem in split.problems if problem.kind == kind and problem.is_note == is_note]
            if found:
                lines.append(f"  {'note: ' if is_note else ''}{kind}: {KINDS[kind].about} ({len(found)})")
                lines += [f"    {problem.where}: {problem.message}" for problem in found]
    return lines
