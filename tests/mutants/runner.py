"""Runs tests against a copy of the tree with one fault in it; a child process per room of tests.

What a child imports from other projects is loaded once, in the parent: starting a child takes no time then.
"""

import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.faults import Fault
from tests.mutants.rooms import nearest, suites_of

ROOT = Path(__file__).parents[2]
PRELOADED = (
    *("torch", "torch._dynamo", "torch.utils.data", "numpy", "scipy.optimize", "scipy.ndimage", "numba", "PIL.Image"),
    *("av", "safetensors.torch", "einops", "hypothesis", "hypothesis.extra.numpy", "beartype", "jaxtyping", "rich"),
    *("tyro", "matplotlib.figure", "pycocotools.mask", "pytest"),
)
FLAT_LIMIT, PER_SECOND = 120.0, 6.0
"""Seconds that the tests of a room may take: so many, and this many times what they take without a fault."""
UNKNOWN_SECONDS = 120.0
"""Taken for the time of a room that was not measured."""
MEMORY = 12 * 2**30
"""Bytes that a child may allocate."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the tests of one room said."""

    kind: str
    """`passed`, `failed`, `stopped` at the limit, or `died`."""
    by: str = ""
    """The test that failed."""
    seconds: float


def preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)


def copy_tree(folder: Path) -> None:
    """A copy of what git would commit, times of files included."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@contextmanager
def fault_in(tree: Path, fault: Fault) -> Iterator[None]:
    """The file with the fault in it, and afterwards as it was, so that what is cached of it stays valid."""
    path = tree / "src" / "maskreel" / fault.file
    source, times = path.read_text(), path.stat()
    path.write_text(fault.applied(source))
    try:
        yield
    finally:
        path.write_text(source)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def try_fault(tree: Path, fault: Fault, rooms: list[str], usual: dict[str, float]) -> dict[str, Any]:
    """Plant it and run the tests of the rooms in turn until one fails, those nearest to its file before all others."""
    begin, ran = time.monotonic(), []
    suites = suites_of(rooms, tree)
    near = nearest(suites, fault.file, tree)
    with fault_in(tree, fault):
        for folders in [near, *suites] if near else suites:
            seconds = sum(usual.get(folder, UNKNOWN_SECONDS) for folder in folders)
            outcome = run_tests(tree, folders, limit=FLAT_LIMIT + PER_SECOND * seconds)
            ran += folders
            if outcome.kind != "passed":
                break
    return {
        "key": fault.key,
        "file": fault.file,
        "says": fault.says,
        "outcome": "survived" if outcome.kind == "passed" else "killed",
        "how": outcome.kind,
        "by": outcome.by,
        "ran": ran,
        "seconds": round(time.monotonic() - begin, 1),
    }


def warm(tree: Path, limit: float) -> Outcome:
    """Import everything once, so that children find it compiled."""
    return run_tests(tree, ["--collect-only", "tests"], limit=limit, keep_bytecode=True)


def run_tests(tree: Path, folders: list[str], *, limit: float, keep_bytecode: bool = False) -> Outcome:
    """One run of pytest that stops at the first failure; slow tests come last."""
    begin, report = time.monotonic(), tree / ".report.json"
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _be_the_child(tree, folders, report, keep_bytecode)
    status = _wait(child, begin + limit)
    seconds = time.monotonic() - begin
    if status is None:
        return Outcome(kind="stopped", by=" ".join(folders), seconds=seconds)
    if not report.exists():
        return Outcome(kind="died", by=" ".join(folders), seconds=seconds)
    said = json.loads(report.read_text())
    # Status 5: no tests there, which is not for a fault to answer.
    return Outcome(kind="passed" if said["status"] in (0, 5) else "failed", by=said["by"], seconds=seconds)


def _wait(child: int, deadline: float) -> int | None:
    """Its status; None when it had to be stopped, with all that it started."""
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _be_the_child(tree: Path, folders: list[str], report: Path, keep_bytecode: bool) -> None:
    os.setsid()
    with (tree / ".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("maskreel", "tests")]:
            del sys.modules[name]
        os.chdir(tree)
        sys.path[:0] = [str(tree), str(tree / "src")]
        sys.dont_write_bytecode = not keep_bytecode
        os.environ["PYTHONPATH"] = os.pathsep.join((str(tree / "src"), str(tree)))
        _pytest(folders, report)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _pytest(folders: list[str], report: Path) -> None:
    import pytest

    failed: list[str] = []

    class Order:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items.sort(key=lambda item: item.get_closest_marker("slow") is not None)

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            failed.extend([report.nodeid] if report.failed else [])

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            failed.extend([report.nodeid] if report.failed else [])

    options = ["-x", "-q", "-m", "not gpu and not nightly", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"]
    status = pytest.main([*options, f"--basetemp={report.with_name('.temporary')}", *folders], plugins=[Order()])
    report.write_text(json.dumps({"status": int(status), "by": failed[0] if failed else ""}))
    os._exit(0)
