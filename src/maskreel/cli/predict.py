"""`maskreel predict RUN SOURCE...`: masklets and overlay videos of files, folders, patterns, or a dataset split."""

import logging
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from maskreel.cli.crew import is_shared, require_possible_crew
from maskreel.cli.options import outputs_for, report_json, write_left_out
from maskreel.cli.predict_choice import ResultChoice
from maskreel.cli.predict_job import Job
from maskreel.cli.predict_many import RESULTS, Many
from maskreel.cli.predict_unit import Work, frame_choice
from maskreel.cli.records.video import Predict
from maskreel.cli.stopping import Stopping
from maskreel.data.dataset_video import load_split, open_dataset_video
from maskreel.errors import DataError, PartialFailure, UsageError
from maskreel.files import UNKNOWN_CONTENT, content_words, model_places
from maskreel.left_out import LeftOut
from maskreel.models.folder import BUNDLED
from maskreel.outputs import MAX_STEM, Outputs, told_apart
from maskreel.storage import is_stored
from maskreel.video.sources import MAX_DENOMINATOR, VIDEO_SUFFIXES, NamedSource, find_sources

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out.json"
"""Belongs to no source alone."""


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
    _require_possible(args)
    args = replace(args, sources=(*args.sources, *_listed_sources(args.list)))
    sources, _ = _named_sources(args), frame_choice(args)
    ResultChoice.of(args)
    read = [path for source in sources for path in source.paths]
    is_sent = args.out is not None and is_stored(args.out)
    with outputs_for(args, args.run, args.list, *read) as outputs, tempfile.TemporaryDirectory() as scratch:
        of_many = len(sources) > 1 or args.resume or is_shared(args) or args.list is not None or is_sent
        jobs, folder = _jobs(args, sources, outputs, Path(scratch), of_many=of_many)
        left_out = LeftOut(args.on_bad, quiet=True)
        work = Work.of(args, Stopping(), of_many=of_many)
        many = Many(work, jobs, folder, left_out)
        many.prepare(outputs)
        told = many.run()
        failed = told.failures()
        if len(failed) == len(jobs):
            raise DataError(f"none of the {len(jobs)} sources could be predicted; {_listed(failed)}")
        if args.split:
            many.write_results(outputs)
        write_left_out(folder / LEFT_OUT, left_out, outputs)
        many.send(folder / LEFT_OUT)
        made = [summary for _, summary in sorted(told.made.items())]
        report = {"out": args.out if is_sent else str(folder), "videos": made, "failed": failed}
        report["precision"] = work.predictor.options.precision
        report_json(args.json, report | ({"resumed": told.resumed} if args.resume else {}), outputs)
    if failed and args.on_bad is None:
        raise PartialFailure(f"{len(failed)} of {len(jobs)} sources failed; {_listed(failed)}")


def _require_possible(args: Predict) -> None:
    if args.resume and args.out is None:
        raise UsageError("--resume: name the folder to go on with, --out OUT")
    require_possible_crew(args)
    if is_shared(args) and "-" in args.sources:
        raise UsageError("- (the standard input) can be read by this process alone; leave out --workers")


def _listed_sources(path: Path | None) -> list[str]:
    """The lines of a list of sources; blank ones and those that begin with # are left out."""
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise UsageError(f"--list {path}: no such file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: is no text file with a source in each line ({error})") from error
    words = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not words:
        raise DataError(f"{path}: names no source; write one in each line")
    return words


def _require_model(args: Predict) -> None:
    """UsageError, with the command that was meant, where the first word is no model but what was to be predicted."""
    if _is_model(args.run):
        return
    path = Path(args.run)
    what = "no such folder"
    if path.is_dir():
        what = "a folder without a model (no config.json)"
    elif path.exists():
        known = path.suffix.lower() in VIDEO_SUFFIXES
        what = "a video" if known else content_words(path).replace(UNKNOWN_CONTENT, "a file")
    model = next(filter(_is_model, args.sources), BUNDLED)
    sources = [word for word in args.sources if not _is_model(word)]
    is_source = path.exists() or not sources or path.suffix.lower() in VIDEO_SUFFIXES
    line = shlex.join(["maskreel", "predict", model, *([args.run] if is_source else []), *sources])
    raise UsageError(f"{args.run}: {what}, where the model comes first: {line}")


def _is_model(word: str) -> bool:
    return word.startswith(BUNDLED) or any((place / "config.json").is_file() for place in model_places(Path(word)))


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
    root = Path(args.sources[0])
    dataset = load_split(root, args.split)
    if not dataset.videos:
        raise DataError(f"{dataset.annotation_path}: there is no video in it")
    return [
        NamedSource(
            name=f"{dataset.annotation_path}: video {video.id}",
            stem=Path(video.file_names[0]).parent.name or f"video_{video.id}",
            open=partial(open_dataset_video, root, args.split, index, frame_rate),
            paths=(dataset.annotation_path, dataset.frames_folder),
            video_id=video.id,
        )
        for index, video in enumerate(dataset.videos)
    ]


def _jobs(
    args: Predict, sources: Sequence[NamedSource], outputs: Outputs, scratch: Path, *, of_many: bool
) -> tuple[list[Job], Path]:
    """What is written for each source, under names that differ, and the folder; UsageError where that cannot be.

    What goes to a store is written in `scratch` before.
    """
    named = args.split or next(source.stem for source in sources if not source.is_missing)
    (name,) = told_apart([named])
    if args.out is not None and is_stored(args.out):
        folder = scratch
    else:
        folder = outputs.claim_folder(None if args.out is None else Path(args.out), Path("runs/predict") / name)
    outputs.claim(folder / LEFT_OUT)
    if args.split:
        outputs.claim(folder / RESULTS)
    reserved = ["results"] * bool(args.split) + ["manifest", "settings"] * of_many
    stems = told_apart([source.stem for source in sources], reserved=reserved)
    jobs = [
        Job(number=number, source=source, stem=stem, folder=folder)
        for number, (source, stem) in enumerate(zip(sources, stems, strict=True))
    ]
    for job in jobs:
        if not job.source.is_missing and len(os.fsencode(job.source.stem)) > MAX_STEM:
            logger.warning("%s: its name is too long for results; they are called %s", job.source.name, job.stem)
    return jobs, folder


def _listed(failed: Sequence[dict[str, str]]) -> str:
    return "; ".join(entry["error"] for entry in failed)
