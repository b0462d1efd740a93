"""`maskreel predict RUN SOURCE...`: masklets and overlay videos of files, folders, patterns, or a dataset split."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskreel.cli.options import out_folder, refused_as_typed, report_json, require_json
from maskreel.cli.predict_choice import ResultChoice, write_takeaways
from maskreel.cli.predict_source import OnePass
from maskreel.cli.progress import frame_progress
from maskreel.cli.records.video import Predict
from maskreel.cli.stopping import Stopping
from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError, PartialFailure, UsageError
from maskreel.files import complete_file
from maskreel.inference.predictor import PredictorOptions, VideoPredictor, recorded_options
from maskreel.models.folder import load_model
from maskreel.video.ahead import ReadAhead
from maskreel.video.choice import FrameChoice
from maskreel.video.sources import MAX_DENOMINATOR, NamedSource, find_sources
from maskreel.visualize.takeaways.kinds import Kind

STDOUT = "-"

FAILURES = (DataError, UsageError, OSError, MemoryError, torch.OutOfMemoryError)
"""What one source may fail with while the others go on."""


class ResultsFile:
    """A YouTube-VIS results file that grows video by video and appears when all are done; no path, no file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stack = ExitStack()
        self._is_empty = True

    def __enter__(self) -> "ResultsFile":
        if self._path is not None:
            new = self._stack.enter_context(complete_file(self._path))
            self._file = self._stack.enter_context(new.open("w", encoding="utf-8", newline="\n"))
            self._file.write("[")
        return self

    def __exit__(self, *failure: Any) -> bool | None:
        if self._path is not None and failure[0] is None:
            self._file.write("]\n")
        return self._stack.__exit__(*failure)

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        for entry in entries:
            self._file.write("\n" if self._is_empty else ",\n")
            json.dump(entry, self._file, allow_nan=False, separators=(",", ":"))
            self._is_empty = False


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One source and where its results go."""

    source: NamedSource
    masklets: Path
    overlay: Path
    takeaways: dict[Kind, Path]
    lines: Path


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What all sources share."""

    predictor: VideoPredictor
    args: Predict
    frames: FrameChoice
    choice: ResultChoice
    results: ResultsFile
    pair_score: float
    """Pairs of object and class go to the results from this score on."""
    stopping: Stopping


def run(args: Predict) -> None:
    """Predict all sources; those that fail are listed at the end.

    Raises UsageError for options, missing sources and folders that cannot be used, before any work; the error itself
    when the only source fails, DataError when all fail, PartialFailure when some do.
    """
    if args.show:
        raise UsageError(
            "--show: no window is opened; the overlay in --out can be played while the next source is predicted, and "
            "--jsonl writes what is found frame by frame (tail -f OUT/NAME.jsonl)"
        )
    sources, frames, choice = _named_sources(args), _frame_choice(args), ResultChoice.of(args)
    device = choose_device(args.device)
    loaded = load_model(args.run, device)
    predictor = VideoPredictor(
        loaded.model,
        loaded.classes,
        _options(args, loaded.inference),
        device=device,
        trained_frames=loaded.trained_frames,
    )
    choice = choice.with_classes(loaded.classes, args.classes)
    with refused_as_typed():
        predictor.session(latency=args.latency, window=args.window)
    pair_score = float(loaded.inference.get("min_score", 0.0)) if args.min_score is None else args.min_score
    folder = _out_folder(args, sources)
    jobs = _jobs(folder, sources, choice)
    made, failed = [], []
    try:
        with Stopping() as stopping, ResultsFile(folder / "results.json" if args.split else None) as results:
            work = _Work(
                predictor=predictor,
                args=args,
                frames=frames,
                choice=choice,
                results=results,
                pair_score=pair_score,
                stopping=stopping,
            )
            for number, job in enumerate(jobs, 1):
                label = job.source.name if len(jobs) == 1 else f"{number}/{len(jobs)} {job.source.name}"
                try:
                    made.append(_predict(work, job, label))
                except FAILURES as error:
                    if len(jobs) == 1:
                        raise
                    failed.append({"source": job.source.name, "error": str(error)})
                    continue
                if not args.quiet and args.json != STDOUT:
                    print(_line(made[-1]), flush=True)
                stopping.deliver()
            if not made:
                raise DataError(f"none of the {len(jobs)} sources could be predicted; {_listed(failed)}")
    except BaseException:
        if args.out is None and not any(folder.iterdir()):
            folder.rmdir()
        raise
    report_json(args.json, {"out": str(folder), "videos": made, "failed": failed})
    if failed:
        raise PartialFailure(f"{len(failed)} of {len(jobs)} sources failed; {_listed(failed)}")


def _named_sources(args: Predict) -> list[NamedSource]:
    if not args.sources:
        raise UsageError("no source; give video files, folders of frames or patterns after RUN")
    frame_rate = Fraction(args.frame_rate).limit_denominator(MAX_DENOMINATOR)
    if args.split is None:
        sources = find_sources(args.sources, frame_rate=frame_rate)
        if all(source.is_missing for source in sources):
            sources[0].open()
        return sources
    if len(args.sources) != 1:
        raise UsageError(f"--split {args.split}: give one folder of a data set, not {len(args.sources)} sources")
    dataset = YouTubeVIS.load(Path(args.sources[0]), args.split)
    if not dataset.videos:
        raise DataError(f"{dataset.annotation_path}: there is no video in it")
    return [
        NamedSource(
            name=f"{dataset.annotation_path}: video {video.id}",
            stem=Path(video.file_names[0]).parent.name or f"video_{video.id}",
            open=partial(DatasetVideo, dataset, index, frame_rate=frame_rate),
            video_id=video.id,
        )
        for index, video in enumerate(dataset.videos)
    ]


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


def _out_folder(args: Predict, sources: Sequence[NamedSource]) -> Path:
    """The folder for the results, made and found to be writable; UsageError where it is not."""
    require_json(args.json)
    named = args.split or next(source.stem for source in sources if not source.is_missing)
    return out_folder(args.out, Path("runs/predict") / named)


def _jobs(folder: Path, sources: Sequence[NamedSource], choice: ResultChoice) -> list[_Job]:
    """Names for the results that differ from each other and from the sources: the second a.mp4 becomes a-2."""
    taken: set[str] = set()
    inputs = {Path(source.name).resolve() for source in sources}
    jobs = []
    for source in sources:
        number = 1
        while (stem := source.stem if number == 1 else f"{source.stem}-{number}").lower() in taken:
            number += 1
        taken.add(stem.lower())
        job = _Job(
            source=source,
            masklets=folder / f"{stem}.json",
            overlay=folder / f"{stem}_overlay.mp4",
            takeaways=choice.paths(folder, stem),
            lines=folder / f"{stem}.jsonl",
        )
        for path in (job.masklets, job.overlay, job.lines, *job.takeaways.values()):
            if path.resolve() in inputs:
                raise UsageError(f"{path}: is a source and would be overwritten; choose another folder with --out")
        jobs.append(job)
    return jobs


def _frame_choice(args: Predict) -> FrameChoice:
    with refused_as_typed():
        return FrameChoice(
            every=args.every, start=args.start, end=args.end, duration=args.duration, max_frames=args.max_frames
        )


def _predict(work: _Work, job: _Job, label: str) -> dict[str, Any]:
    """Predict one source and write what was found; returns the summary for the report."""
    args, predictor, options = work.args, work.predictor, work.predictor.options
    drops = args.drop == "busy" or (args.drop == "auto" and job.source.is_live)
    latency = 1 if args.latency is None and job.source.is_live else args.latency
    named = job.source.open()
    work.choice.require_frames(named)
    opened = work.frames.of(named)
    source = ReadAhead(opened, drops=drops, stop=lambda: work.stopping.is_requested)
    one_pass = OnePass(
        overlay=job.overlay if args.overlay else None,
        lines=job.lines if args.jsonl else None,
        classes=predictor.classes,
        min_score=options.min_score,
        choice=work.choice,
    )
    with frame_progress(f"{label}: finding objects", source.declared, quiet=args.quiet) as advance:
        session = predictor.session(latency=latency, window=args.window)
        result = one_pass.run(session, source, on_frame=partial(advance, 1))
    masklets = work.choice.kept(result.masklets(options.min_score, duplicates=options.duplicates))
    masklets.save(job.masklets)
    if job.source.video_id is not None:
        pairs = result.pairs(work.pair_score, duplicates=args.duplicates or "keep")
        work.results.add(work.choice.kept(pairs).to_youtube_vis(job.source.video_id))
    if not work.stopping.is_requested:
        write_takeaways(job.takeaways, masklets, opened, job.source.video_id)
    return {
        "source": source.name,
        "masklets": str(job.masklets),
        "overlay": str(job.overlay) if args.overlay else None,
        **({"lines": str(job.lines)} if args.jsonl else {}),
        "saved": {kind: str(path) for kind, path in job.takeaways.items()},
        "frames": {"declared": masklets.declared, "decoded": masklets.decoded, "skipped": masklets.num_skipped},
        "objects": len(masklets),
    }


def _line(summary: dict[str, Any]) -> str:
    frames = summary["frames"]
    lost = f", {frames['skipped']} lost" if frames["skipped"] else ""
    files = ", ".join(path for path in (summary["masklets"], summary["overlay"], *summary["saved"].values()) if path)
    return f"{summary['source']}: {frames['decoded']} frames{lost}, {summary['objects']} objects: {files}"


def _listed(failed: Sequence[dict[str, str]]) -> str:
    return "; ".join(entry["error"] for entry in failed)
