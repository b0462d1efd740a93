"""Plants faults, one after the other, and asks the tests: `python -m tests.mutants --help`.

Every fault must fail a test of its room or of a room that imports it. Results are appended to a file; what is in it
already is not run again, but a fault that survived is, as soon as a file under src/ or tests/ differs, and so is every
fault of the sample.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from tests.mutants.alterations import altered
from tests.mutants.faults import DoesNotApply, Fault, planted
from tests.mutants.rooms import importers, suites_of
from tests.mutants.runner import ROOT, copy_tree, preload, run_tests, try_fault, warm

REASONS = Path(__file__).parent / "reasons.toml"
"""Alterations that change nothing anyone can see, and why."""
LIMIT = 3600.0
"""Seconds for the tests of a room without a fault."""


def main() -> int:
    options = _options()
    faults = altered(*options.random) if options.random else planted()
    faults = [fault for fault in faults if fault.sampled or not options.sample]
    faults = [fault for fault in faults if not options.rooms or fault.room in options.rooms]
    for fault in faults:
        fault.applied((ROOT / "src" / "maskreel" / fault.file).read_text())
    known = _results(options.results)
    todo = [fault for fault in faults if not _is_settled(known.get(fault.key), _digest(), options.sample)]
    _say(f"{len(faults)} faults, {len(faults) - len(todo)} settled in {options.results}")
    if todo:
        _run(todo, options)
    return _judge(faults, _results(options.results), allowed=0.05 if options.random else 0.0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", action="store_true", help="the fixed tenth that `make sample` runs")
    parser.add_argument(
        "--random", nargs=2, type=int, metavar=("N", "SEED"), help="N random changes instead of the list"
    )
    parser.add_argument("--rooms", nargs="+", default=[], help="only faults of these rooms")
    parser.add_argument("--own", action="store_true", help="only the tests of the fault's own room, which is quicker")
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at the same time")
    parser.add_argument("--results", type=Path, help="the file to append to; default runs/mutants/...")
    parser.add_argument("--unmeasured", action="store_true", help="do not run the tests without a fault first")
    options = parser.parse_args()
    name = f"random-{options.random[0]}-{options.random[1]}" if options.random else "planted"
    name += "-own" * options.own
    options.results = options.results or ROOT / "runs" / "mutants" / f"{name}.jsonl"
    return options


def _run(todo: list[Fault], options: argparse.Namespace) -> None:
    """Each job has a tree of its own and takes every so many-th fault."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    preload()
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)  # Tests that act as a user without rights import from the tree.
        # Compiled kernels and other caches are this run's own.
        os.environ |= {"OMP_NUM_THREADS": "1", "MASKREEL_SHARED": "absent", "XDG_CACHE_HOME": f"{temporary}/cache"}
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # Of a file with a fault.
        tree = Path(temporary) / "0"
        copy_tree(tree)
        if (outcome := warm(tree, LIMIT)).kind != "passed":
            raise SystemExit(f"the tests cannot be collected ({outcome.by}): {(tree / '.log').read_text()[-2000:]}")
        for job in range(1, options.jobs):
            shutil.copytree(tree, Path(temporary) / str(job))
        jobs = []
        for job in range(options.jobs):
            child = os.fork()
            if child == 0:
                _be_the_job(Path(temporary) / str(job), todo[job :: options.jobs], options)
            jobs.append(child)
        statuses = [os.waitpid(child, 0)[1] for child in jobs]
        if any(statuses):
            raise SystemExit("a job ended early; what it has done is kept")


def _be_the_job(tree: Path, todo: list[Fault], options: argparse.Namespace) -> NoReturn:
    """The parent alone removes the trees, and so a child leaves without unwinding."""
    try:
        _job(tree, todo, options)
        os._exit(0)
    except BaseException as error:
        _say(f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def _job(tree: Path, todo: list[Fault], options: argparse.Namespace) -> None:
    usual = {} if options.unmeasured or options.sample else _usual_seconds(tree, {fault.room for fault in todo})
    for number, fault in enumerate(todo, start=1):
        rooms = [fault.room] if options.own else importers(fault.room)
        result = {**try_fault(tree, fault, rooms, usual), "tree": _digest()}
        with options.results.open("a") as file:
            file.write(json.dumps(result) + "\n")
        _say(f"{number}/{len(todo)} {result['outcome']} {fault.file}: {fault.says} ({result['by']})")


def _usual_seconds(tree: Path, rooms: set[str]) -> dict[str, float]:
    """Seconds of every folder of tests without a fault; they must pass, or everything would count as noticed."""
    seconds = {}
    folders = [names for room in sorted(rooms) for names in suites_of(importers(room), tree)]
    for folder in dict.fromkeys(name for names in folders for name in names):
        outcome = run_tests(tree, [folder], limit=LIMIT, keep_bytecode=True)
        if outcome.kind != "passed":
            _say((tree / ".log").read_text()[-3000:])
            raise SystemExit(f"{folder}: {outcome.kind} without a fault ({outcome.by})")
        seconds[folder] = outcome.seconds
    return seconds


def _judge(faults: list[Fault], results: dict[str, dict[str, Any]], *, allowed: float) -> int:
    """List the survivors; more than the allowed share of them is a failure."""
    missing = [fault for fault in faults if fault.key not in results]
    survivors = [fault for fault in faults if results.get(fault.key, {}).get("outcome") == "survived"]
    reasons = tomllib.loads(REASONS.read_text()) if REASONS.exists() else {}
    for fault in survivors:
        reason = reasons.get(fault.key, {}).get("reason", "no reason known")
        _say(f"survived {fault.key} {fault.file}: {fault.says}: {reason}")
    _say(f"{len(faults) - len(survivors) - len(missing)} killed, {len(survivors)} survived, {len(missing)} not run")
    return int(bool(missing) or len(survivors) > allowed * len(faults))


def _results(path: Path) -> dict[str, dict[str, Any]]:
    """The last result of every fault."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def _is_settled(result: dict[str, Any] | None, tree: str, is_gate: bool) -> bool:
    """What was noticed once stays so, except for the gate, which asks the tests as they are."""
    return result is not None and (result["tree"] == tree or (result["outcome"] == "killed" and not is_gate))


def _digest() -> str:
    """Of all files under src/ and tests/."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _sources() -> Iterator[Path]:
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z", "src", "tests"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return (ROOT / name for name in sorted(filter(None, listed.split("\0"))) if (ROOT / name).is_file())


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except DoesNotApply as error:
        raise SystemExit(f"refused: {error}") from error
