"""`maskreel inspect RUN [RUN_B] VIDEO`: what goes on inside one model or two, as pictures and numbers."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from maskreel.cli.inspect_files import FILES, InspectedModel, write_files
from maskreel.cli.options import outputs_for, refused_as_typed, report_json
from maskreel.cli.records.inspect import Inspect
from maskreel.device import choose_device
from maskreel.errors import UsageError
from maskreel.inference.inspection import Place, inspect_clip, read_clip
from maskreel.inference.options import recorded_options
from maskreel.inference.predictor import VideoPredictor
from maskreel.models.folder import model_folder
from maskreel.outputs import told_apart
from maskreel.runtimes.folder import load_runnable
from maskreel.video.sources import MAX_DENOMINATOR, find_sources


def run(args: Inspect) -> None:
    """Write the pictures and numbers. Raises UsageError for what was typed, DataError for files that are wrong."""
    runs, video = args.words[:-1], args.words[-1] if args.words else ""
    if len(args.words) not in (2, 3):
        raise UsageError("give one model or two, then a video: maskreel inspect RUN [RUN_B] VIDEO")
    place = _place(args.at)
    for name, value, least in (("columns", args.columns, 1), ("every", args.every, 1), ("level", args.level, 0)):
        if value < least:
            raise UsageError(f"--{name} {value}: must be at least {least}")
    frame_rate = Fraction(args.frame_rate).limit_denominator(MAX_DENOMINATOR)
    source, *others = find_sources([video], frame_rate=frame_rate)
    if others:
        raise UsageError(f"{video}: names {1 + len(others)} videos; give one of them")
    with outputs_for(args, *map(model_folder, runs), *source.paths) as outputs:
        (stem,) = told_apart([source.stem])
        folder = outputs.claim_folder(args.out, Path("runs/inspect") / stem)
        for name in FILES:
            outputs.claim(folder / name)
        predictors = [_predictor(args, word) for word in runs]
        length = predictors[0].options.clip_frames
        frames = read_clip(source.open(), length, None if place is None else place.frame)
        models: list[InspectedModel] = []
        for word, predictor in zip(_short(runs), predictors, strict=True):
            seen = inspect_clip(predictor, frames, place, layer=args.layer, level=args.level)
            # The second model is looked into at the place that the first one chose.
            place = replace(seen.place, frame=frames[seen.place.frame].index)
            models.append(InspectedModel(name=word, classes=[name for _, name in predictor.classes], seen=seen))
        first = models[0].seen.place.frame
        write_files(folder, models, frames, _columns(first, len(frames), args.columns, args.every), outputs)
        report = _report(folder, models)
        if report_json(args.json, report, outputs):
            print(*_lines(report), sep="\n")


def _place(typed: str | None) -> Place | None:
    if typed is None:
        return None
    try:
        frame, x, y = (int(word) for word in typed.split(","))
    except ValueError as error:
        raise UsageError(f"--at {typed}: give FRAME,X,Y, three whole numbers such as 12,320,180") from error
    if frame < 0:
        raise UsageError(f"--at {typed}: frames are counted from 0")
    return Place(frame=frame, x=x, y=y)


def _predictor(args: Inspect, run: str) -> VideoPredictor:
    typed: dict[str, Any] = {name: getattr(args, name) for name in ("min_score", "short_side", "clip_frames")}
    if args.clip_frames is not None:
        typed["clip_overlap"] = 0
    device = choose_device(args.device)
    loaded = load_runnable(run, device)
    with refused_as_typed():
        options = recorded_options(loaded.inference, **typed)
    return VideoPredictor(loaded.model, loaded.classes, options, device=device)


def _short(runs: Sequence[str]) -> Sequence[str]:
    """The last parts of paths, where they tell the models apart."""
    names = [Path(run).name for run in runs]
    return names if len(set(names)) == len(names) else runs


def _report(folder: Path, models: Sequence[InspectedModel]) -> dict[str, Any]:
    seen = models[0].seen
    return {
        "out": str(folder),
        "place": {"frame": seen.frames[seen.place.frame], "x": seen.place.x, "y": seen.place.y},
        "frames": list(seen.frames),
        "models": [
            {
                "run": one.name,
                "token": vars(one.seen.token),
                "object": None if one.seen.chosen is None else one.seen.chosen + 1,
                "objects": [
                    {"name": one.classes[found.label], "score": found.score, "query": found.query}
                    for found in one.seen.objects
                ],
            }
            for one in models
        ],
        "files": dict(FILES),
    }


def _lines(report: dict[str, Any]) -> list[str]:
    at = report["place"]
    lines = [f"frame {at['frame']}, pixel {at['x']},{at['y']}"]
    for one in report["models"]:
        objects, chosen = one["objects"], one["object"]
        found = f"objects found: {len(objects)}"
        if chosen is not None:
            found += f"; there: {objects[chosen - 1]['name']} {objects[chosen - 1]['score']:.2f}"
        lines.append(f"{one['run']}: {found}")
    return [*lines, *(f"{what}: {report['out']}/{name}" for name, what in report["files"].items())]


def _columns(middle: int, length: int, count: int, every: int) -> list[int]:
    """Frames of the clip, `middle` among them, as near to the middle of the columns as the clip allows."""
    before = min(middle // every, (count - 1) // 2)
    after = min((length - 1 - middle) // every, count - 1 - before)
    before = min(middle // every, count - 1 - after)
    return [middle + step * every for step in range(-before, after + 1)]
