"""Keys of everything that commands write as JSON, and columns of their tables, on small rendered data.

`python tests/cli/before/json_keys.py OUT` with the source of commit 0e4d22a on PYTHONPATH wrote `json_keys.txt`; the
tests write the same list with the source of today and compare.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskreel.cli.main import main

SMALL = ["--frames", "3", "--height", "64", "--width", "96"]
TRAIN = [
    *("train", "seqformer-tiny", "--data.root", "data", "--out", "run", "--training.device", "cpu", "--quiet"),
    *("--model.backbone.width", "8", "--model.width", "32", "--model.hidden", "32", "--model.num-queries", "5"),
    *("--model.num-heads", "4", "--model.encoder-layers", "1", "--model.decoder-layers", "1", "--training.steps", "2"),
    *("--data.num-frames", "2", "--data.batch-size", "2", "--data.workers", "0", "--data.augmentation.scales", "32"),
    *("--model.backbone.norm", "frozen", "--evaluation.short-side", "32"),
]
COMMANDS = {
    "data synth": [*("data", "synth", "data", "--videos", "2", "--workers", "1"), *SMALL],
    "data check": ["data", "check", "data"],
    "data stats": ["data", "stats", "data"],
    "data split": ["data", "split", "data", "--share", "0.5"],
    "data view": ["data", "view", "data", "--out", "view", "--videos", "1"],
    "data convert": ["data", "convert", "data", "converted", "--from", "youtube-vis", "--to", "burst"],
    "predict": ["predict", "bundled", "data", "--split", "valid", "--out", "found", "--short-side", "64", "--quiet"],
    "evaluate": [*("evaluate", "bundled", "--data.root", "data", "--out", "evaluated"), "--short-side", "64"],
    "score": [
        *("score", "data/valid.json", "evaluated/results.json", "--metrics", "ap,hota,clear,identity,trackmap,jf"),
        *("--per-class", "--per-video", "--errors", "--bootstrap", "2", "--csv", "score.csv"),
    ],
    "compare": ["compare", "score.json", "score.json"],
    "recipes": ["recipes"],
    "models": ["models", "--published"],
    "submit": ["submit", "found/results.json", "--dataset", "ytvis19", "--out", "found.zip"],
    "convert": ["convert", "published.pth", "model", "--heads", "4"],
    "bench model": ["bench", "model", "bundled", "--frames", "2", "--short-side", "32", "--samples", "1"],
}
"""Each with its words before --json; in an order in which each finds what it reads."""
FILES = {
    "predict": ["found/results.json", "found/0*.json"],
    "evaluate": ["evaluated/config.json", "evaluated/metrics.json"],
    "convert": ["model/config.json"],
    "train": ["run/dataset.json", "run/environment.json", "run/weights/last/config.json"],
}
TABLES = {"score": "score.csv", "train": "run/results.csv"}
"""Whose first line names the columns."""


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all keys, `[]` for the entries of a list."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{path}.{name}"
            yield from keys(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, f"{path}[]")


def written(folder: Path) -> list[str]:
    """Lines `COMMAND: KEY`, sorted, of all commands run in an empty folder."""
    lines: set[str] = set()
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        assert main(["data", "synth", "data", "--split", "valid", "--videos", "1", "--workers", "1", *SMALL]) == 0
        for name, words in COMMANDS.items():
            path = Path(f"{name.replace(' ', '_')}.json")
            assert main([*words, "--json", str(path)]) == 0, name
            lines |= {f"{name} --json: {key}" for key in keys(json.loads(path.read_text()))}
            if name == "data synth":
                assert main(TRAIN) == 0
                assert main(["export-weights", "run", "published.pth"]) == 0
        for name, patterns in FILES.items():
            for pattern in patterns:
                file = next(Path().glob(pattern), None)
                assert file is not None, f"{name} wrote no {pattern}"
                lines |= {f"{name} {pattern}: {key}" for key in keys(json.loads(file.read_text()))}
        for name, file in TABLES.items():
            head = Path(file).read_text().splitlines()[0]
            lines |= {f"{name} {file}: {column}" for column in head.split(",")}
    return sorted(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        found = written(Path(place))
    Path(sys.argv[1]).write_text("\n".join(found) + os.linesep)
