"""`maskreel convert WEIGHTS OUT`: a foreign checkpoint becomes a model folder, and every tensor is accounted for."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskreel.checkpoints.class_names import Classes, numbered, read_classes
from maskreel.checkpoints.conversion import (
    HEADS,
    STATUSES,
    Conversion,
    convert_for,
    convert_state,
    find_dialect,
    named_dialect,
)
from maskreel.checkpoints.dialects.mssts import DiscriminatorConfig
from maskreel.checkpoints.foreign import read_foreign, stated_classes
from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.models import Convert
from maskreel.config import suggestion, to_dict
from maskreel.errors import DataError, OptionError, UsageError
from maskreel.models.catalog import CATALOG
from maskreel.models.folder import FORMAT, MODEL_FILES, save_model, write_model_folder
from maskreel.models.parts.backbones import TwinsConfig


def run(args: Convert) -> None:
    """Read, convert, write and tell. Raises UsageError for what was typed, DataError for the file's content."""
    _check(args)
    folder = Path(args.out).absolute()
    outputs = outputs_for(args, *_inputs(args))
    outputs.claim_whole_folder(folder, MODEL_FILES, "OUT")
    if args.report is not None:
        outputs.claim(args.report, "--report")
    classes = None if args.classes is None else read_classes(args.classes)
    state = read_foreign(args.weights, key=args.key)
    if classes is None and args.key is None:
        classes = stated_classes(args.weights)
    conversion = _of_file(args.weights, lambda: _convert(args, state, classes))
    if args.report is not None:
        with outputs.writing(args.report) as path:
            path.write_text(json.dumps({"file": str(args.weights), **conversion.report.to_json()}, indent=1) + "\n")
    conversion.check(args.weights)
    with outputs.writing_folder(folder) as new:
        save_conversion(conversion, new, classes)
    summary = _summary(args, conversion)
    if report_json(args.json, summary, outputs):
        print(_text(args, conversion, has_names=classes is not None))


def save_conversion(conversion: Conversion, folder: Path, classes: Classes | None = None) -> None:
    """Write the model folder; classes without names are numbered."""
    config, model = conversion.config, conversion.build()
    if isinstance(config, DiscriminatorConfig):
        write_model_folder(folder, {"format": FORMAT, "model": to_dict(config)}, model, unused={})
        return
    save_model(
        folder,
        model,
        config,
        numbered(config.num_classes) if classes is None else classes,
        inference=_inference(config),
        unused=conversion.unused,
    )


def _check(args: Convert) -> None:
    if args.heads is not None and args.heads < 1:
        raise UsageError(f"--heads {args.heads}: must be at least 1")
    if args.to is not None and args.to not in CATALOG:
        hint = suggestion(args.to, CATALOG, f"known are {', '.join(CATALOG)}")
        raise UsageError(f"--to {args.to!r}: no such kind of model; {hint}")
    named_dialect(args.source)


def _inputs(args: Convert) -> list[str | Path | None]:
    """The files that are read: those of a sharded model lie beside its index."""
    is_sharded = args.weights.is_dir() or args.weights.name.endswith(".index.json")
    shards = (args.weights if args.weights.is_dir() else args.weights.parent).glob("*.safetensors")
    return [args.weights, args.classes, *(shards if is_sharded else ())]


def _convert(args: Convert, state: dict[str, Any], classes: Classes | None) -> Conversion:
    source = find_dialect(state, named_dialect(args.source))
    conversion = convert_state(
        state, source, heads=args.heads or HEADS, num_classes=None if classes is None else len(classes)
    )
    if args.windows is not None:
        conversion = _with_windows(conversion, args.windows)
    return conversion if args.to is None else convert_for(conversion, args.to)


def _with_windows(conversion: Conversion, windows: tuple[int, int, int, int]) -> Conversion:
    """The same weights with other attention windows, on which no shape depends."""
    config = conversion.config
    backbone = getattr(config, "backbone", None)
    if not isinstance(backbone, TwinsConfig):
        raise UsageError(f"--windows: {conversion.dialect.title} has none whose size can be chosen; leave it out")
    if [side == 1 for side in windows] != [side == 1 for side in backbone.windows]:
        raise UsageError(f"--windows {windows}: 1 stands for a stage without windows; it has {backbone.windows}")
    config = replace(config, backbone=replace(backbone, windows=windows))
    return replace(conversion, config=config, report=replace(conversion.report, model=to_dict(config)))


def _of_file(path: Path, work: Callable[[], Conversion]) -> Conversion:
    """Name the file in every complaint about its content."""
    try:
        return work()
    except (DataError, OptionError) as error:
        raise DataError(f"{path}: {error}") from error


def _inference(config: Any) -> dict[str, Any]:
    """How the published scripts run a model: frames of 360 pixels, or clips of fixed length of 300."""
    frames = getattr(config.queries, "frames", None)
    if frames is None:
        return {"short_side": 360}
    return {"short_side": 300, "clip_frames": frames, "clip_overlap": min(6, frames - 1), "short_clips": "repeat"}


def _summary(args: Convert, conversion: Conversion) -> dict[str, Any]:
    report = conversion.report
    groups = report.counts()
    if "mask_head" in groups:
        # For one release also under the name that this part had.
        groups["masks"] = groups["mask_head"]
    return {
        "weights": str(args.weights),
        "out": str(args.out),
        "source": report.source,
        "model": report.model,
        "groups": groups,
        "dropped": dict(report.reasons()),
        "missing": dict(report.initialised()),
        "unexplained": len(report.unexplained),
    }


def _text(args: Convert, conversion: Conversion, *, has_names: bool) -> str:
    """Dialect, a table of groups, and a line for every reason."""
    report, config = conversion.report, conversion.config
    groups = report.counts()
    width = max(map(len, (*groups, "part")))
    lines = [f"{args.weights}: {conversion.dialect.title}", f"  {_sizes(report.model)}", ""]
    lines.append(f"  {'part':<{width}}" + "".join(f"{status:>10}" for status in STATUSES))
    lines += [
        f"  {name:<{width}}" + "".join(f"{counts[status]:>10}" for status in STATUSES)
        for name, counts in groups.items()
    ]
    cut = dict.fromkeys(entry.words for entry in report.entries if entry.status == "sliced")
    lines += ["", *(f"  sliced: {words}" for words in cut)] if cut else [""]
    lines += [f"  dropped {count}: {reason}" for reason, count in report.reasons().items()]
    lines += [f"  missing {count}: {how}" for how, count in report.initialised().items()]
    lines.append("  unexplained: none")
    if not isinstance(config, DiscriminatorConfig):
        if not has_names:
            lines.append("  class names are not in the file, so classes have numbers; --classes ytvis19 names them")
        if report.initialised():
            lines.append("  a start for training, not a trained model: maskreel train RECIPE --init takes it")
    return "\n".join([*lines, str(args.out)])


def _sizes(model: dict[str, Any]) -> str:
    """The config in a line: whatever is a number or a word, and the backbone's."""
    shown = dict(model)
    backbone = shown.pop("backbone", {})
    shown = {f"backbone.{name}": value for name, value in backbone.items()} | shown
    return ", ".join(f"{name} {value}" for name, value in shown.items() if isinstance(value, int | str))
