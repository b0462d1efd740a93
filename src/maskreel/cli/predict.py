"""`maskreel predict RUN SOURCE...`: masklets and overlay videos of files, folders, patterns, or a dataset split."""

import json
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskreel.cli.options import STDOUT, outputs_for, refused_as_typed, report_json, write_left_out
from maskreel.cli.predict_choice import ResultChoice, claim_takeaways, write_takeaways
from maskreel.cli.predict_source import OnePass
from maskreel.cli.progress import frame_progress
from maskreel.cli.records.video import Predict
from maskreel.cli.stopping import Stopping
from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.device import choose_device
from maskreel.errors import DataError, PartialFailure, UsageError
from maskreel.files import UNKNOWN_CONTENT, content_words
from maskreel.inference.predictor import PredictorOptions, VideoPredictor, recorded_options
from maskreel.left_out import LeftOut
from maskreel.models.folder import BUNDLED
from maskreel.outputs import MAX_STEM, Outputs, told_apart
from maskreel.runtimes.folder import load_runnable
from maskreel.video.ahead import DROPPED, STOPPED, ReadAhead
from maskreel.video.choice import FrameChoice
from maskreel.video.sources import MAX_DENOMINATOR, VIDEO_SUFFIXES, NamedSource, find_sources
from maskreel.visualize.takeaways.kinds import Kind

logger = logging.getLogger(__name__)

FAILURES = (DataError, UsageError, OSError, MemoryError, torch.OutOfMemoryError)
"""What one source may fail with while the others go on."""


RESULTS, LEFT_OUT = "results.json", "left_out.json"
"""Files that belong to no source alone."""


@contextmanager
def results_file(path: Path | None, outputs: Outputs) -> Iterator[Callable[[Sequence[dict[str, Any]]], None]]:
    """A YouTube-VIS results file that takes entries video by video and appears when all are done; no path, no file."""
    if path is None:
        yield lambda entries: None
        return
    with outputs.writing(path) as new, new.open("w", encoding="utf-8", newline="\n") as file:
        separator = "[\n"

        def add(entries: Sequence[dict[str, Any]]) -> None:
            nonlocal separator
            for entry in entries:
                file.write(separator + json.dumps(entry, allow_nan=False, separators=(",", ":")))
                separator = ",\n"

        yield add
        file.write("[]\n" if separator == "[\n" else "]\n")


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
    outputs: Outputs
    add_results: Callable[[Sequence[dict[str, Any]]], None]
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
    _require_model(args)
    sources, frames, choice = _named_sources(args), _frame_choice(args), ResultChoice.of(args)
    read = [path for source in sources for path in source.paths]
    with outputs_for(args, args.run, *read) as outputs:
        jobs, folder = _jobs(args, sources, choice, outputs)
        predictor, choice, pair_score = _predictor(args, choice)
        left_out = LeftOut(args.on_bad)
        with Stopping() as stopping, results_file(folder / RESULTS if args.split else None, outputs) as add:
            work = _Work(
                predictor=predictor,
                args=args,
                frames=frames,
                choice=choice,
                outputs=outputs,
                add_results=add,
                pair_score=pair_score,
                stopping=stopping,
            )
            made, failed = _predict_all(work, jobs, left_out)
        write_left_out(folder / LEFT_OUT, left_out, outputs)
        report = {"out": str(folder), "videos": made, "failed": failed, "precision": predictor.options.precision}
        report_json(args.json, report, outputs)
    if failed and args.on_bad is None:
        raise PartialFailure(f"{len(failed)} of {len(jobs)} sources failed; {_listed(failed)}")


def _predictor(args: Predict, choice: ResultChoice) -> tuple[VideoPredictor, ResultChoice, float]:
    """The model, what is chosen of its classes, and the least score of pairs in results."""
    device = choose_device(args.device)
    loaded = load_runnable(args.run, device)
    predictor = VideoPredictor(
        loaded.model,
        loaded.classes,
        _options(args, loaded.inference),
        device=device,
        trained_frames=loaded.trained_frames,
    )
    with refused_as_typed():
        predictor.session(latency=args.latency, window=args.window)
    pair_score = float(loaded.inference.get("min_score", 0.0)) if args.min_score is None else args.min_score
    return predictor, choice.with_classes(loaded.classes, args.classes), pair_score


def _predict_all(
    work: _Work, jobs: Sequence[_Job], left_out: LeftOut
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Predict one source after the other; returns what was made, and what failed and was left out."""
    made: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for number, job in enumerate(jobs, 1):
        name = job.source.name
        try:
            made.append(_predict(work, job, name if len(jobs) == 1 else f"{number}/{len(jobs)} {name}"))
        except FAILURES as error:
            if len(jobs) == 1 or not left_out.is_skipped("video"):
                raise
            failed.append({"source": name, "error": str(error)})
            left_out.leave_out("video", name, "", str(error).removeprefix(f"{name}: "))
            continue
        if not work.args.quiet and work.args.json != STDOUT:
            print(_line(made[-1]), flush=True)
        work.stopping.deliver()
    if not made:
        raise DataError(f"none of the {len(jobs)} sources could be predicted; {_listed(failed)}")
    return made, failed


def _require_model(args: Predict) -> None:
    """UsageError, with the command that was meant, where the first word is no model but what was to be predicted."""
    path = Path(args.run)
    places = (path, path / "weights" / "best", path / "weights" / "last")
    if args.run.startswith(BUNDLED) or any((place / "config.json").is_file() for place in places):
        return
    what = "no such folder"
    if path.is_dir():
        what = "a folder without a model (no config.json)"
    elif path.exists():
        known = path.suffix.lower() in VIDEO_SUFFIXES
        what = "a video" if known else content_words(path).replace(UNKNOWN_CONTENT, "a file")
    line = shlex.join(["maskreel", "predict", BUNDLED, args.run, *args.sources])
    raise UsageError(f"{args.run}: {what}, where the model comes first: {line}")


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
            paths=(dataset.annotation_path, dataset.frames_folder),
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


def _jobs(
    args: Predict, sources: Sequence[NamedSource], choice: ResultChoice, outputs: Outputs
) -> tuple[list[_Job], Path]:
    """What is written for each source, under names that differ, and the folder; UsageError where that cannot be."""
    named = args.split or next(source.stem for source in sources if not source.is_missing)
    (name,) = told_apart([named])
    folder = outputs.claim_folder(args.out, Path("runs/predict") / name)
    outputs.claim(folder / LEFT_OUT)
    if args.split:
        outputs.claim(folder / RESULTS)
    stems = told_apart([source.stem for source in sources], reserved=[Path(RESULTS).stem] if args.split else [])
    jobs = []
    for source, stem in zip(sources, stems, strict=True):
        job = _Job(
            source=source,
            masklets=folder / f"{stem}.json",
            overlay=folder / f"{stem}_overlay.mp4",
            takeaways=choice.paths(folder, stem),
            lines=folder / f"{stem}.jsonl",
        )
        jobs.append(job)
        if source.is_missing:
            continue
        if len(os.fsencode(source.stem)) > MAX_STEM:
            logger.warning("%s: its name is too long for results; they are called %s", source.name, stem)
        for path in (job.masklets, *([job.overlay] if args.overlay else []), *([job.lines] if args.jsonl else [])):
            outputs.claim(path)
        claim_takeaways(job.takeaways, outputs)
    return jobs, folder


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
    with ExitStack() as stack:
        one_pass = OnePass(
            overlay=stack.enter_context(work.outputs.writing(job.overlay)) if args.overlay else None,
            lines=stack.enter_context(work.outputs.growing(job.lines)) if args.jsonl else None,
            classes=predictor.classes,
            min_score=options.min_score,
            choice=work.choice,
        )
        with frame_progress(f"{label}: finding objects", source.declared, quiet=args.quiet) as advance:
            session = predictor.session(latency=latency, window=args.window)
            result = one_pass.run(session, source, on_frame=partial(advance, 1))
        masklets = work.choice.kept(result.masklets(options.min_score, duplicates=options.duplicates))
        bad = [lost for lost in masklets.skipped if lost.reason not in (DROPPED, STOPPED)]
        if bad and args.on_bad == "stop":
            lost = bad[0]
            raise DataError(f"{source.name}: frame {lost.index}: {lost.reason}")
    with work.outputs.writing(job.masklets) as new:
        masklets.save(new)
    if job.source.video_id is not None:
        pairs = result.pairs(work.pair_score, duplicates=args.duplicates or "keep")
        work.add_results(work.choice.kept(pairs).to_youtube_vis(job.source.video_id))
    if not work.stopping.is_requested:
        write_takeaways(job.takeaways, masklets, opened, job.source.video_id, work.outputs)
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
