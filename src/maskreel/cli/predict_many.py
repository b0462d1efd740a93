"""Many sources of `maskreel predict`: the manifest, what is resumed, who does the work, and what is told of it."""

import glob
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from maskreel.cli.crew import crew_of, is_shared
from maskreel.cli.options import STDOUT
from maskreel.cli.predict_choice import claim_takeaways
from maskreel.cli.predict_job import PARTS, Job, Outcome, write_part
from maskreel.cli.predict_long import LongVideos
from maskreel.cli.predict_unit import Work, WorkerOfMany, without_report
from maskreel.cli.predict_windows import WINDOWS
from maskreel.cli.progress import unit_progress
from maskreel.errors import DataError, UsageError
from maskreel.files import RECORD, UNFINISHED, discard, file_sum
from maskreel.left_out import LeftOut
from maskreel.manifest import MANIFEST, SETTINGS, Manifest, UnitLine
from maskreel.outputs import Outputs
from maskreel.spread.here import Here
from maskreel.spread.work import Crew, Finished, Stopped, work_through
from maskreel.storage import Store
from maskreel.written import Record

logger = logging.getLogger(__name__)

RESULTS = "results.json"

SECONDS_BETWEEN_COPIES = 10.0
"""Of a manifest to a store."""


@dataclass(kw_only=True)
class Told:
    """What the report and the exit code say."""

    made: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Summaries by number of the source, where they are wanted."""
    failed: dict[int, tuple[str, Exception]] = field(default_factory=dict)
    """Name and reason."""
    resumed: int = 0
    """Sources that were done before."""

    def failures(self) -> list[dict[str, str]]:
        """In the order of the sources."""
        return [{"source": name, "error": str(error)} for _, (name, error) in sorted(self.failed.items())]


class Many:
    """The sources of one command and their folder."""

    def __init__(self, work: Work, jobs: Sequence[Job], folder: Path, left_out: LeftOut) -> None:
        self._work, self._jobs, self._folder, self._left_out = work, jobs, folder, left_out
        self._manifest = Manifest(folder) if work.of_many else None
        self._numbers = {job.stem: number for number, job in enumerate(jobs)} if work.of_many else {}
        self._told = Told()
        self._long = LongVideos()
        self._store, self._sent = work.store, 0.0
        self._done: set[int] = set()

    def prepare(self, outputs: Outputs) -> None:
        """See what is done already, and that the rest may be written.

        UsageError for a manifest of another run, and for files that are not ours.
        """
        if self._manifest is None:
            self._check(outputs)
            return
        outputs.claim(self._manifest.path)
        outputs.claim(self._manifest.settings_path)
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._store is not None:
            self._store.require_writable()
            self._fetch_manifest(self._store)
        settings = json.loads(json.dumps(self._work.settings()))
        is_there, record = self._manifest.path.is_file(), Record(self._folder)
        kept: list[UnitLine] = []
        if is_there and self._work.args.resume:
            self._manifest.require_settings(settings)
            self._require_same_names()
            self._split_results()
            kept = list(self._whole_lines())
            self._told.resumed = len(self._done)
        self._check(outputs)
        if not self._work.args.resume:
            record.absorb()
            discard(self._folder / WINDOWS)
        if not self._done:
            discard(self._folder / PARTS)
        record.begin(self._manifest.path.name)
        record.begin(self._manifest.settings_path.name)
        self._manifest.begin(settings, kept)
        self._keep_store(0.0)

    def run(self) -> Told:
        """Do what is not done. Raises the error of a source that must not be left out, and what Ctrl-C raises."""
        args, stopping = self._work.args, self._work.stopping
        is_shown = is_shared(args) and not args.quiet
        try:
            with (
                stopping,
                self._crew() as (crew, workers),
                self._opened(),
                unit_progress(self._left(), quiet=not is_shown) as advance,
            ):

                def tick() -> None:
                    advance(0.0)
                    self._keep_store()

                finished = work_through(
                    (job for number, job in enumerate(self._jobs) if number not in self._done),
                    crew,
                    workers=workers,
                    further=self._long.further,
                    is_stopping=lambda: stopping.is_requested,
                    tick=tick,
                )
                for one in finished:
                    done = self._long.progress_of(one)
                    if (last := self._long.last_of(one)) is not None:
                        self._note(last)
                    advance(done)
        except Stopped:
            pass
        self._keep_store(0.0)
        stopping.deliver()
        with suppress(OSError):
            (self._folder / WINDOWS).rmdir()
        for _, (name, error) in sorted(self._told.failed.items()):
            self._left_out.leave_out("video", name, "", str(error).removeprefix(f"{name}: "))
        return self._told

    def write_results(self, outputs: Outputs) -> None:
        """`results.json` of a split from its parts, in the order of the videos."""
        if self._store is not None:
            for name in self._store.names(PARTS):
                self._store.get(f"{PARTS}/{name}", self._folder / PARTS / name)
        with outputs.writing(self._folder / RESULTS) as new, new.open("w", encoding="utf-8", newline="\n") as file:
            separator = "[\n"
            for job in self._jobs:
                for line in job.part.read_text(encoding="utf-8").splitlines() if job.part.is_file() else ():
                    file.write(separator + line)
                    separator = ",\n"
            file.write("[]\n" if separator == "[\n" else "\n]\n")
        discard(self._folder / PARTS)
        if self._store is not None:
            self._store.put(RESULTS, self._folder / RESULTS)
            self._store.remove(PARTS)

    def send(self, path: Path) -> None:
        """A further file to the store, where there is one and the file."""
        if self._store is not None and path.is_file():
            self._store.put(path.name, path)

    def _fetch_manifest(self, store: Store) -> None:
        """What an earlier command has left in the store; UsageError for files that are there and not ours."""
        names = store.names()
        for name in (MANIFEST, SETTINGS, RESULTS):
            if name in names:
                store.get(name, self._folder / name)
                Record(self._folder).begin(name)
        if self._work.args.resume and MANIFEST in names:
            return  # It is sent now and then: what it does not list yet was written by the command that was ended.
        ours = self._manifest.sums() if self._manifest is not None else {}
        for job in self._jobs:
            for path in job.files(self._work.args):
                if path.name in names and path.name not in ours and not self._work.args.overwrite:
                    raise UsageError(
                        f"{store.address}/{path.name}: exists, and no manifest there lists it; choose another --out, "
                        "or pass --overwrite"
                    )

    def _keep_store(self, seconds: float = SECONDS_BETWEEN_COPIES) -> None:
        """Send the manifest to the store now and then; at the end for certain."""
        if self._store is None or self._manifest is None or time.monotonic() - self._sent < seconds:
            return
        self._sent = time.monotonic()
        for path in (self._manifest.path, self._manifest.settings_path):
            self._store.put(path.name, path)

    def _left(self) -> int:
        return len(self._jobs) - len(self._done)

    @contextmanager
    def _crew(self) -> Iterator[tuple[Crew, int]]:
        args, total = self._work.args, len(self._jobs)
        if is_shared(args):
            with crew_of(args, WorkerOfMany(without_report(args), torch.get_num_threads())) as found:
                yield found
            return

        def do(job: Job) -> Outcome:
            name = job.source.name
            return self._work.do(job, name if total == 1 else f"{job.number + 1}/{total} {name}")

        yield Here(do), 1

    def _opened(self) -> AbstractContextManager[object]:
        return self._manifest or nullcontext()

    def _note(self, finished: Finished[Job]) -> None:
        """Write the line of a source, and tell of it."""
        job, outcome = finished.unit, finished.value or Outcome()
        assert isinstance(outcome, Outcome), f"{job.stem}: a worker answered {outcome!r}"
        state = "done"
        if finished.deaths:
            sentence = f"{job.source.name}: killed {len(finished.deaths)} workers (the last {finished.deaths[-1]})"
            outcome, state = Outcome(error=DataError(f"{sentence}; set aside")), "set aside"
            self._clear(job)
        elif outcome.error is not None:
            state = "failed"
        elif outcome.is_stopped:
            state = "stopped"
        if self._manifest is not None:
            self._manifest.add(
                UnitLine(
                    unit=job.stem,
                    source=job.source.name,
                    state=state,
                    sums=outcome.sums,
                    worker=finished.worker,
                    seconds=round(finished.seconds, 3),
                    error=None if outcome.error is None else str(outcome.error),
                )
            )
            Record(self._folder).settle(outcome.sums)
            discard(job.windows)
            if self._store is not None and self._long.has(job):
                self._store.remove(f"{WINDOWS}/{job.stem}")
        if outcome.error is not None:
            if len(self._jobs) == 1 or not self._left_out.is_skipped("video"):
                raise outcome.error
            logger.warning("%s; left out", outcome.error)
            self._told.failed[job.number] = job.source.name, outcome.error
            return
        assert outcome.summary is not None, f"{job.stem}: neither a result nor an error"
        if self._work.args.json is not None:
            self._told.made[job.number] = outcome.summary
        if not self._work.args.quiet and self._work.args.json != STDOUT:
            print(_line(outcome.summary), flush=True)

    def _clear(self, job: Job) -> None:
        """Remove what workers that died were still writing."""
        for path in self._folder.glob(f".{glob.escape(job.stem)}*"):
            if UNFINISHED.fullmatch(path.name):
                discard(path)

    def _check(self, outputs: Outputs) -> None:
        for number, job in enumerate(self._jobs):
            if number in self._done or job.source.is_missing:
                continue
            for path in job.files(self._work.args):
                outputs.check(path)
            claim_takeaways(job.takeaways(self._work.choice), outputs)

    def _require_same_names(self) -> None:
        assert self._manifest is not None
        for line in self._manifest.lines():
            number = self._numbers.get(line.unit)
            if number is not None and self._jobs[number].source.name != line.source:
                raise UsageError(
                    f"{self._manifest.path}: is of another run ({line.unit}.json is of {line.source} there and "
                    f"would be of {self._jobs[number].source.name} here); give the sources in the same order"
                )

    def _whole_lines(self) -> Iterator[UnitLine]:
        """Lines of sources that are done and whose files are whole; others are done again, over what is ours."""
        assert self._manifest is not None
        again: dict[str, str] = {}
        for line in self._manifest.lines():
            number = self._numbers.get(line.unit)
            if number is None:
                yield line
            elif line.state == "done" and self._is_whole(self._jobs[number], line.sums):
                self._done.add(number)
                yield line
            else:
                again |= line.sums
        Record(self._folder).absorb(again)

    def _is_whole(self, job: Job, sums: Mapping[str, str]) -> bool:
        wanted = {path.name for path in job.files(self._work.args)}
        if self._store is not None:
            return wanted <= sums.keys() and self._is_whole_in(self._store, sums)
        is_whole = wanted <= sums.keys() and (job.source.video_id is None or job.part.is_file())
        for name, expected in sums.items():
            path = self._folder / name
            if path.name == RECORD and path.is_file():
                record = Record(path.parent)
                inner = [one for one in path.parent.rglob("*") if one.is_file()]
                is_same = file_sum(path) == expected and all(record.is_ours(one) for one in inner)
                is_same &= len(inner) == len(json.loads(path.read_bytes())["files"]) + 1
                place = path.parent
            else:
                is_same, place = path.is_file() and file_sum(path) == expected, path
            if not is_same:
                is_whole = False
                _put_aside(place)
        return is_whole

    def _is_whole_in(self, store: Store, sums: Mapping[str, str]) -> bool:
        is_whole = True
        for name, expected in sums.items():
            found = store.sum_of(name)
            if found == expected:
                continue
            is_whole = False
            if found is not None:
                store.rename(name, f"{name}.changed-1")
                logger.warning("%s/%s: is not as maskreel wrote it; kept as %s.changed-1", store.address, name, name)
        return is_whole

    def _split_results(self) -> None:
        """Give the videos that are done their parts of results.json again."""
        path = self._folder / RESULTS
        if not self._work.args.split or not path.is_file() or not Record(self._folder).is_ours(path):
            return
        found: dict[int, list[dict[str, Any]]] = {}
        for entry in json.loads(path.read_bytes()):
            found.setdefault(entry["video_id"], []).append(entry)
        for job in self._jobs:
            if job.source.video_id is not None and not job.part.is_file():
                write_part(job.part, found.get(job.source.video_id, []))


def _put_aside(path: Path) -> None:
    """Keep what was changed under another name, so that the source can be done again."""
    if not path.exists():
        return
    number = 1
    while (other := path.with_name(f"{path.stem}.changed-{number}{path.suffix}")).exists():
        number += 1
    path.rename(other)
    logger.warning("%s: is not as maskreel wrote it; kept as %s, and made anew", path, other.name)


def _line(summary: dict[str, Any]) -> str:
    frames = summary["frames"]
    lost = f", {frames['skipped']} lost" if frames["skipped"] else ""
    files = ", ".join(path for path in (summary["masklets"], summary["overlay"], *summary["saved"].values()) if path)
    return f"{summary['source']}: {frames['decoded']} frames{lost}, {summary['objects']} objects: {files}"
