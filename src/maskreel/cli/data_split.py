"""`maskreel data split`: hold some videos of a train file out."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Split
from maskreel.cli.tables import table
from maskreel.data.hold_out import classes_by_video, divided, held_out
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.files import read_json


def run(args: Split) -> None:
    """Write the two files and print how the classes are divided.

    Raises:
        UsageError: for a share out of range, and files in the way.
        DataError: for a file that is wrong, or has too few videos.
    """
    if not 0 < args.share < 1:
        raise UsageError(f"--share {args.share}: must lie between 0 and 1, such as 0.1")
    names = args.names or (f"{args.split}_fit", f"{args.split}_held")
    paths = [args.root / f"{name}.json" for name in names]
    dataset = YouTubeVIS.load(args.root, args.split)
    outputs = outputs_for(args, dataset.annotation_path, dataset.frames_folder)
    for path in paths:
        outputs.claim(path, "--names")
    document = read_json(dataset.annotation_path)
    if not dataset.has_annotations:
        raise DataError(f"{dataset.annotation_path}: annotations are held back (null); there is nothing to stratify by")
    chosen = held_out(classes_by_video(document), share=args.share, seed=args.seed)
    if not 0 < len(chosen) < len(dataset.videos):
        raise DataError(
            f"{dataset.annotation_path}: {args.share:g} of {len(dataset.videos)} videos leaves one part empty; "
            "choose another --share"
        )
    parts = divided(document, chosen)
    for path, part in zip(paths, parts, strict=True):
        with outputs.writing(path) as new:
            new.write_text(json.dumps(part), encoding="utf-8")
    report = {"seed": args.seed, "share": args.share, "parts": [_entry(*one) for one in zip(paths, parts, strict=True)]}
    if report_json(args.json, report, outputs):
        print(_text(report, {category.id: category.name for category in dataset.categories}))


def _entry(path: Path, part: dict[str, Any]) -> dict[str, Any]:
    tracks = Counter(track["category_id"] for track in part["annotations"])
    return {
        "annotations": str(path),
        "videos": [video["id"] for video in part["videos"]],
        "tracks": {str(label): tracks[label] for label in sorted(tracks)},
    }


def _text(report: dict[str, Any], classes: dict[int, str]) -> str:
    parts = report["parts"]
    rows = [[name, *(str(part["tracks"].get(str(label), 0)) for part in parts)] for label, name in classes.items()]
    sums = [["tracks", *(str(sum(part["tracks"].values())) for part in parts)]]
    videos = [["videos", *(str(len(part["videos"])) for part in parts)]]
    heads = ["class", *(Path(part["annotations"]).stem for part in parts)]
    return "\n".join([table(heads, [*rows, *sums, *videos]), "", *(part["annotations"] for part in parts)])
