"""`maskreel data synth`: render a dataset with known truth."""

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress

from maskreel.cli.options import report_json
from maskreel.rendered.synthetic import SyntheticDials, dataset_hash, write_dataset


@dataclass(frozen=True, kw_only=True)
class Synth:
    """Render videos with known truth, in YouTube-VIS layout; the same seed gives the same pixels on every machine."""

    root: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder to write DIR/SPLIT.json and DIR/SPLIT/JPEGImages into."""
    videos: int = 200
    """Number of videos."""
    seed: int = 0
    """Names the set. Train with seeds below 10000; seeds from 10000 on are for tests."""
    split: Literal["train", "valid"] = "train"
    """Name of the split."""
    workers: int = field(default_factory=lambda: min(os.cpu_count() or 1, 8))
    """Processes that render; the result does not depend on it."""
    json: str | None = None
    """Also write what was rendered as JSON here; without a path, JSON alone on stdout."""
    dials: Annotated[SyntheticDials, tyro.conf.OmitArgPrefixes] = SyntheticDials()


def run(args: Synth) -> None:
    """Render the split and say what was written.

    Raises:
        UsageError: for values out of range and targets that exist or cannot be written.
    """
    dials = args.dials
    title = f"{args.videos} videos of {dials.frames} frames at {dials.height}x{dials.width}"
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"Rendering {title}", total=args.videos)
        write_dataset(
            args.root,
            args.split,
            num_videos=args.videos,
            seed=args.seed,
            dials=dials,
            workers=min(args.workers, args.videos),
            report=lambda done: progress.update(task, completed=done),
        )
    path = args.root / f"{args.split}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    sums = {
        "annotations": str(path),
        "videos": len(content["videos"]),
        "tracks": len(content["annotations"]),
        "classes": [category["name"] for category in content["categories"]],
        "events": dict(sorted(Counter(name for video in content["videos"] for name in video["dials"]).items())),
        "sha256": dataset_hash(args.root, args.split),
    }
    if not report_json(args.json, sums):
        return
    print(f"{path}: {title}, {sums['tracks']} tracks of {', '.join(sums['classes'])}")
    if sums["events"]:
        print("videos with " + ", ".join(f"{name} {count}" for name, count in sums["events"].items()))
    print(f"sha256 {sums['sha256']}")
