"""`maskreel submit`: validate a results file and zip it for a benchmark server."""

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.score import Submit
from maskreel.config import suggestion
from maskreel.data.annotation_file import read_videos
from maskreel.errors import DataError, UsageError
from maskreel.evaluation.submission import BENCHMARKS, check_results, write_archive


def run(args: Submit) -> None:
    """Validate, name every fault, and write the archive when there is none.

    Raises:
        UsageError: for an unknown benchmark and paths that cannot be read or written.
        DataError: for a results file with faults.
    """
    if args.dataset not in BENCHMARKS:
        hint = suggestion(args.dataset, BENCHMARKS, f"there are {', '.join(BENCHMARKS)}.")
        raise UsageError(f"unknown benchmark {args.dataset!r}; {hint}")
    archive = args.out or args.results.with_suffix(".zip")
    outputs = outputs_for(args, args.results, args.videos)
    outputs.claim(archive)
    videos = None if args.videos is None else read_videos(args.videos)
    checked = check_results(args.results, BENCHMARKS[args.dataset], videos)
    if not checked.faults:
        with outputs.writing(archive) as new:
            write_archive(args.results, new)
    report = {
        "results": str(args.results),
        "dataset": args.dataset,
        "videos": checked.num_videos,
        "predictions": checked.num_predictions,
        "faults": list(checked.faults),
        "archive": None if checked.faults else str(archive),
    }
    if report_json(args.json, report, outputs):
        lines = [f"{args.results}: {fault}" for fault in checked.faults]
        done = f"{archive}: {checked.num_predictions} predictions for {checked.num_videos} videos, as results.json"
        print("\n".join(lines or [done]))
    if checked.faults:
        raise DataError(f"{args.results}: {len(checked.faults)} faults; no archive was written")
