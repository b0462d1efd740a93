"""`maskreel data synth`: render a dataset with known truth."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from maskreel.cli.options import outputs_for, report_json
from maskreel.cli.records.data import Synth
from maskreel.cli.tables import table
from maskreel.errors import UsageError
from maskreel.outputs import Outputs
from maskreel.rendered.sets import RENDERED_SETS, SPLITS
from maskreel.rendered.synthetic import SyntheticDials, changed_dials, dataset_hash, write_dataset


def run(args: Synth) -> None:
    """Render the splits and say what was written.

    Raises:
        UsageError: for values out of range and targets that exist or cannot be written.
    """
    outputs = outputs_for(args)
    if args.list_sets:
        _list(args.json, outputs)
        return
    if args.root is None:
        raise UsageError("the folder to write into is missing: maskreel data synth DIR ...")
    for split in _splits(args):
        # What is there already is refused where it is written.
        if not (args.root / f"{split}.json").exists():
            outputs.claim(args.root / f"{split}.json", "DIR")
    sums = {split: _render(args.root, split, args) for split in _splits(args)}
    if not report_json(args.json, sums if len(sums) > 1 else next(iter(sums.values())), outputs):
        return
    for written in sums.values():
        print(f"{written['annotations']}: {_title(written['videos'], args.dials)}, ", end="")
        print(f"{written['tracks']} tracks of {', '.join(written['classes'])}")
        if written["events"]:
            print("videos with " + ", ".join(f"{name} {count}" for name, count in written["events"].items()))
        print(f"sha256 {written['sha256']}")


def _splits(args: Synth) -> list[str]:
    if args.set_name is None and args.split == "test":
        raise UsageError("--split test belongs to a named set; add --set rendered-default, or take --split valid.")
    if args.set_name is not None and args.split is None and args.seed is not None:
        raise UsageError("--seed beside --set needs --split: train and valid must not share their videos.")
    if args.split is not None:
        return [args.split]
    return ["train"] if args.set_name is None else ["train", "valid"]


def _render(root: Path, split: str, args: Synth) -> dict[str, Any]:
    """Write one split; returns what it holds."""
    videos, seed = SPLITS[split] if args.set_name is not None else SPLITS["train"]
    videos = videos if args.videos is None else args.videos
    with Progress(console=Console(stderr=True), disable=args.quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"Rendering {_title(videos, args.dials)}", total=videos)
        write_dataset(
            root,
            split,
            num_videos=videos,
            seed=seed if args.seed is None else args.seed,
            dials=args.dials,
            workers=min(args.workers, videos),
            report=lambda done: progress.update(task, completed=done),
        )
    path = root / f"{split}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        "annotations": str(path),
        "videos": len(content["videos"]),
        "tracks": len(content["annotations"]),
        "classes": [category["name"] for category in content["categories"]],
        "events": dict(sorted(Counter(name for video in content["videos"] for name in video["dials"]).items())),
        "sha256": dataset_hash(root, split),
    }


def _title(videos: int, dials: SyntheticDials) -> str:
    return f"{videos} videos of {dials.frames} frames at {dials.height}x{dials.width}"


def _list(target: str | None, outputs: Outputs) -> None:
    sets = {
        name: {"purpose": named.purpose, "changed_dials": changed_dials(named.dials), "splits": SPLITS}
        for name, named in RENDERED_SETS.items()
    }
    if not report_json(target, sets, outputs):
        return
    print(table(["set", "made for"], [[name, named.purpose] for name, named in RENDERED_SETS.items()], num_words=2))
    for split, (videos, seed) in SPLITS.items():
        print(f"--split {split}: {videos} videos from seed {seed}")
