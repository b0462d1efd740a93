"""One source of `maskreel predict`, from frames to files, in whichever process it is done."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskreel.cli.options import refused_as_typed
from maskreel.cli.predict_choice import ResultChoice, claim_takeaways, write_takeaways
from maskreel.cli.predict_job import IsLong, Job, Joining, Outcome, Searched, Stretch, Unit, write_part
from maskreel.cli.predict_source import OnePass
from maskreel.cli.predict_windows import WINDOWS, Range, find_range, found_in, ranges
from maskreel.cli.progress import frame_progress
from maskreel.cli.records.video import Predict
from maskreel.cli.stopping import Stopping
from maskreel.device import choose_device
from maskreel.errors import DataError, UsageError
from maskreel.files import RECORD, discard
from maskreel.inference.finding import ShownFrame
from maskreel.inference.postprocess import ClipDetections
from maskreel.inference.predictor import PredictorOptions, VideoPredictor, recorded_options
from maskreel.inference.windows import Window
from maskreel.outputs import Outputs
from maskreel.runtimes.folder import load_runnable
from maskreel.storage import Store, is_stored
from maskreel.video.ahead import DROPPED, STOPPED, ReadAhead
from maskreel.video.choice import FrameChoice
from maskreel.video.files import FrameSource
from maskreel.video.streams import StreamedVideo
from maskreel.written import Record

FAILURES = (DataError, UsageError, OSError, MemoryError, torch.OutOfMemoryError)
"""What one source may fail with while the others go on."""

Find = Callable[[Window[ShownFrame], tuple[int, int]], ClipDetections]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all sources share in a process."""

    predictor: VideoPredictor
    args: Predict
    frames: FrameChoice
    choice: ResultChoice
    pair_score: float
    """Pairs of object and class go to the results from this score on."""
    stopping: Stopping
    of_many: bool = False
    """Whether there is a manifest."""
    store: Store | None = None
    """Where the results go, where that is no folder of this machine: what is written is sent there and removed."""

    @classmethod
    def of(cls, args: Predict, stopping: Stopping, *, of_many: bool) -> "Work":
        """UsageError for options, before and after the model is there, which is loaded."""
        choice = ResultChoice.of(args)
        frames = frame_choice(args)
        device = choose_device(args.device)
        loaded = load_runnable(args.run, device)
        with refused_as_typed():
            predictor = VideoPredictor(
                loaded.model,
                loaded.classes,
                _options(args, loaded.inference),
                device=device,
                trained_frames=loaded.trained_frames,
            )
            predictor.session(latency=args.latency, window=args.window)
        pair_score = float(loaded.inference.get("min_score", 0.0)) if args.min_score is None else args.min_score
        return cls(
            predictor=predictor,
            args=args,
            frames=frames,
            choice=choice.with_classes(loaded.classes, args.classes),
            pair_score=pair_score,
            stopping=stopping,
            of_many=of_many,
            store=Store(args.out) if args.out is not None and is_stored(args.out) else None,
        )

    def settings(self) -> dict[str, Any]:
        """All that a result depends on beside its source."""
        names = ("latency", "window", "every", "start", "end", "duration", "max_frames", "drop", "frame_rate")
        files = ("overlay", "jsonl", "classes", "region", "split")
        return {
            "run": self.args.run,
            "model": self.predictor.fingerprint,
            **vars(self.predictor.options),
            "pair_score": self.pair_score,
            **{name: getattr(self.args, name) for name in (*names, *files)},
            "save": ",".join(sorted(self.choice.kinds)),
        }

    def do_unit(self, unit: Unit) -> Outcome | IsLong | Searched:
        """What a worker is given."""
        match unit:
            case Joining(job=job):
                self._get_windows(job)
                return self.do(job, find=found_in(job.windows, self.predictor.runtime.device))
            case Stretch(job=job, chosen=chosen):
                try:
                    self._get_windows(job)
                    find_range(self.predictor, self._opened(job), chosen, job.windows)
                    self._put(job.folder, job.windows.iterdir())
                except FAILURES as error:
                    return Searched(error=error)
                return Searched()
            case Job():
                shared = self._shared(unit)
                return IsLong(ranges=tuple(shared)) if shared else self.do(unit)

    def _shared(self, job: Job) -> list[Range]:
        """How a job is shared out; empty for what one worker does."""
        if self.args.latency is not None or job.source.is_live:
            return []
        try:
            declared = self._opened(job).declared
        except FAILURES:
            return []
        return ranges(declared, self.predictor.options.clip_frames, self.predictor.options.clip_overlap)

    def _opened(self, job: Job) -> FrameSource:
        return self.frames.of(job.source.open())

    def do(self, job: Job, label: str | None = None, *, find: Find | None = None) -> Outcome:
        """Predict one source and write what was found; without a label no progress is shown.

        `find` knows what is in its windows.
        """
        outputs = Outputs(overwrite=True, of_unit=self.of_many)
        try:
            for path in job.files(self.args):
                outputs.claim(path)
            claim_takeaways(job.takeaways(self.choice), outputs)
            summary = self._predict(job, outputs, label, find)
            self._send(job, outputs.sums)
        except FAILURES as error:
            return Outcome(error=error, sums=outputs.sums)
        return Outcome(summary=summary, sums=outputs.sums, is_stopped=self.stopping.is_requested)

    def _send(self, job: Job, sums: Mapping[str, str]) -> None:
        """To the store, where there is one."""
        if self.store is None:
            return
        places = [job.folder / name for name in sums]
        folders = [path.parent for path in places if path.name == RECORD]
        inner = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        files = [*inner, *(path for path in places if path.name != RECORD)]
        self._put(job.folder, [*files, *([job.part] if job.part.is_file() else [])])
        for path in (*files, *folders, job.windows):
            discard(path)
        Record(job.folder).settle(sums)

    def _shown(self, path: Path) -> str:
        """A result by its place or address."""
        return str(path) if self.store is None else f"{self.store.address}/{path.name}"

    def _put(self, folder: Path, files: Iterable[Path]) -> None:
        if self.store is not None:
            for path in files:
                self.store.put(path.relative_to(folder).as_posix(), path)

    def _get_windows(self, job: Job) -> None:
        """What an earlier run has found in a long video."""
        if self.store is None:
            return
        place = f"{WINDOWS}/{job.stem}/"
        for name in sorted(self.store.names(place)):
            if not (job.windows / name).is_file():
                self.store.get(place + name, job.windows / name)

    def _predict(self, job: Job, outputs: Outputs, label: str | None, find: Find | None) -> dict[str, Any]:
        args, predictor, options = self.args, self.predictor, self.predictor.options
        named = job.source.open()
        is_live = isinstance(named, StreamedVideo) and named.is_live
        drops = args.drop == "busy" or (args.drop == "auto" and is_live)
        latency = 1 if args.latency is None and is_live else args.latency
        self.choice.require_frames(named)
        opened = self.frames.of(named)
        source = ReadAhead(opened, drops=drops, stop=lambda: self.stopping.is_requested)
        with ExitStack() as stack:
            one_pass = OnePass(
                overlay=stack.enter_context(outputs.writing(job.overlay)) if args.overlay else None,
                lines=stack.enter_context(outputs.growing(job.lines)) if args.jsonl else None,
                classes=predictor.classes,
                min_score=options.min_score,
                choice=self.choice,
            )
            title, is_quiet = f"{label}: finding objects", args.quiet or label is None
            with frame_progress(title, source.declared, quiet=is_quiet) as advance:
                session = predictor.session(latency=latency, window=args.window, find=find)
                result = one_pass.run(session, source, on_frame=partial(advance, 1))
            masklets = self.choice.kept(result.masklets(options.min_score, duplicates=options.duplicates))
            bad = [lost for lost in masklets.skipped if lost.reason not in (DROPPED, STOPPED)]
            if bad and args.on_bad == "stop":
                raise DataError(f"{source.name}: frame {bad[0].index}: {bad[0].reason}")
        with outputs.writing(job.masklets) as new:
            masklets.save(new)
        if job.source.video_id is not None:
            pairs = result.pairs(self.pair_score, duplicates=args.duplicates or "keep")
            write_part(job.part, self.choice.kept(pairs).to_youtube_vis(job.source.video_id))
        takeaways = job.takeaways(self.choice)
        if not self.stopping.is_requested:
            write_takeaways(takeaways, masklets, opened, job.source.video_id, outputs)
        return {
            "source": job.source.name,
            "masklets": self._shown(job.masklets),
            "overlay": self._shown(job.overlay) if args.overlay else None,
            **({"lines": self._shown(job.lines)} if args.jsonl else {}),
            "saved": {kind: self._shown(path) for kind, path in takeaways.items()},
            "frames": {"declared": masklets.declared, "decoded": masklets.decoded, "skipped": masklets.num_skipped},
            "objects": len(masklets),
        }


def frame_choice(args: Predict) -> FrameChoice:
    """UsageError for what cannot be."""
    with refused_as_typed():
        return FrameChoice(
            every=args.every, start=args.start, end=args.end, duration=args.duration, max_frames=args.max_frames
        )


class WorkerOfMany:
    """What a worker process calls once, and then for every job."""

    def __init__(self, args: Predict, threads: int) -> None:
        self._args, self._threads = args, threads

    def __call__(self) -> Callable[[Unit], Outcome | IsLong | Searched]:
        from maskreel.cli.main import log_to_stderr

        # Sums of another order have other last bits: as many threads as in a plain run.
        torch.set_num_threads(self._threads)
        log_to_stderr()
        if self._args.quiet:
            logging.getLogger("maskreel").setLevel(logging.WARNING)
        stopping = Stopping()
        stopping.__enter__()
        return Work.of(self._args, stopping, of_many=True).do_unit


def without_report(args: Predict) -> Predict:
    """The options as workers need them."""
    return replace(args, sources=(), json=None)


def _options(args: Predict, recorded: dict[str, Any]) -> PredictorOptions:
    typed = {
        name: getattr(args, name)
        for name in (
            *("clip_frames", "clip_overlap", "short_side", "short_clips", "min_score", "precision"),
            *("max_objects", "duplicates", "memory"),
        )
    }
    with refused_as_typed():
        return recorded_options(recorded, **typed)
