"""Commands that are killed or told to end: what is there is whole, and going on gives the same bytes."""

import json
import shutil
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from maskreel.files import UNFINISHED
from maskreel.manifest import MANIFEST
from maskreel.models.folder import BUNDLED, load_model
from maskreel.training.checkpoint import newest_checkpoint
from maskreel.visualize.video import TimedImage, write_video
from tests.builders import write_youtube_vis
from tests.faults.killed import Killer

POINTS = 8

TRAIN = [
    *["--data.root", "data", "--out", "run", "--data.num-frames", "2", "--data.batch-size", "1", "--data.workers", "0"],
    *["--training.steps", "4", "--training.checkpoint-every", "2", "--training.validate-every", "3", "--quiet"],
    *["--training.device", "cpu", "--training.log-every", "1", "--data.augmentation.scales", "32"],
    *["--evaluation.predictor.short-side", "32"],
]
WITH_FIRST = ["--first.steps", "2", "--first.batch-size", "1", "--first.warmup", "0"]
RECIPES = {
    "seqformer-tiny": [],
    "ms-sts-tiny": [],
    "taformer-tiny": [],
    "vistr-tiny": WITH_FIRST,
    "deformable-vistr-tiny": WITH_FIRST,
    "tt-spn-tiny": [],
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with Killer() as killer:
        yield killer


def frames(count: int) -> Iterator[TimedImage]:
    for t in range(count):
        pixels = np.full((32, 48, 3), 40, np.uint8)
        pixels[8:20, 4 + t : 20 + t] = 200
        yield TimedImage(t / 10, pixels)


def prepare(folder: Path) -> Path:
    folder.mkdir()
    for split in ("train", "valid"):
        write_youtube_vis(folder / "data", split=split, num_videos=1, num_frames=3)
    for name in ("a.mp4", "b.mp4"):
        write_video(folder / name, frames(3), frame_rate=Fraction(10))
    from maskreel.checkpoints.dialects.seqformer import to_seqformer

    state = {name: entry.values for name, entry in to_seqformer(load_model(BUNDLED).model, {}).items()}
    torch.save({"model": state}, folder / "weights.pth")
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("killed") / "sound")


COMMANDS = {
    "predict": ["predict", BUNDLED, "a.mp4", "b.mp4", "--out", "out", "--quiet", "--device", "cpu"],
    "data convert": ["data", "convert", "data", "out", "--from", "youtube-vis", "--to", "davis", "--allow-loss"],
    "data convert, copies": ["data", "convert", "data", "out", "--from", "youtube-vis", "--frames", "copy"],
    "convert": ["convert", "weights.pth", "out"],
}


def content(folder: Path) -> dict[str, bytes]:
    """Of every file that has its name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        # A line of the manifest has seconds in it.
        if path.is_file()
        and path.name != MANIFEST
        and not any(is_unfinished(part) for part in path.relative_to(folder).parts)
    }


def is_unfinished(name: str) -> bool:
    return UNFINISHED.fullmatch(name) is not None or name.startswith(".unfinished-")


def points(changes: int, count: int = POINTS) -> list[int]:
    """Spread over all changes, the last one among them."""
    return sorted({round(k * (changes - 1) / (count - 1)) for k in range(count)})


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[] if name == "data convert" else pytest.mark.nightly) for name in COMMANDS]
)
def test_a_killed_command_leaves_whole_files_and_its_repetition_the_same_bytes(
    command: str, prepared: Path, killer: Killer, tmp_path: Path
) -> None:
    words = COMMANDS[command]
    sound = Path(shutil.copytree(prepared, tmp_path / "sound"))
    ending = killer.run(sound, *words)
    assert ending.code == 0, ending.text
    wanted, before = content(sound / "out"), content(prepared)
    for point in points(ending.changes):
        folder = Path(shutil.copytree(prepared, tmp_path / f"at {point}"))
        killed = killer.run(folder, *words, kill_at=point)
        assert killed.code == -signal.SIGKILL, killed.text
        for name, found in content(folder / "out").items():
            if name == "written.json":
                json.loads(found)
            else:
                assert found == wanted[name], f"{name} at {point}"
        again = killer.run(folder, *words)
        assert again.code == 0, f"at {point}: {again.text}"
        assert content(folder / "out") == wanted, f"at {point}"
        assert {name: content(folder)[name] for name in before} == before
        shutil.rmtree(folder)


@pytest.mark.nightly
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_training_goes_on_to_the_same_bits(
    recipe: str, prepared: Path, killer: Killer, tmp_path: Path
) -> None:
    words = ["train", recipe, *TRAIN, *RECIPES[recipe]]
    sound = Path(shutil.copytree(prepared, tmp_path / "sound"))
    ending = killer.run(sound, *words)
    assert ending.code == 0, ending.text
    wanted = trained(sound / "run")
    for point in points(ending.changes):
        folder = Path(shutil.copytree(prepared, tmp_path / f"at {point}"))
        killed = killer.run(folder, *words, kill_at=point)
        assert killed.code == -signal.SIGKILL, killed.text
        is_begun = (folder / "run" / "config.json").is_file()
        again = killer.run(folder, *(["train", "--resume", "run", "--quiet"] if is_begun else words))
        assert again.code == 0, f"at {point}: {again.text}"
        assert trained(folder / "run") == wanted, f"at {point}"
        newest_checkpoint(folder / "run")
        shutil.rmtree(folder)


def trained(run: Path) -> dict[str, bytes]:
    """Weights and checkpoints, and the table without its times."""
    files = content(run)
    kept = {name: files[name] for name in files if name.endswith(".safetensors")}
    rows = [line.split(",") for line in files["results.csv"].decode().splitlines()]
    time = rows[0].index("time")
    return kept | {"table": repr([row[:time] + row[time + 1 :] for row in rows]).encode()}


OTHERS = {
    "data view": ["data", "view", "data", "--out", "out"],
    "data synth": ["data", "synth", "out", "--videos", "1", "--workers", "1", "--quiet"],
    "data stats": ["data", "stats", "data", "--picture", "out/picture.png", "--json", "out/counts.json"],
    "data pack": ["data", "pack", "data", "out"],
    "export-weights": ["export-weights", BUNDLED, "out/weights.pth"],
    "inspect": ["inspect", BUNDLED, "a.mp4", "--out", "out"],
}
"""That write, too, and are told to end."""
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[] if name == "data convert" else pytest.mark.nightly) for name in COMMANDS | OTHERS],
)
def test_a_signal_leaves_whole_files_no_temporary_ones_and_its_exit_code(
    name: str, command: str, prepared: Path, killer: Killer, tmp_path: Path
) -> None:
    words, number = (COMMANDS | OTHERS)[command], getattr(signal, name)
    sound = Path(shutil.copytree(prepared, tmp_path / "sound"))
    ending = killer.run(sound, *words)
    wanted = content(sound / "out")
    for point in points(ending.changes, 4)[:-1]:
        folder = Path(shutil.copytree(prepared, tmp_path / f"at {point}"))
        told = killer.run(folder, *words, kill_at=point, number=number)
        assert told.code == SIGNALS[name], f"at {point}: {told.text}"
        assert "Traceback" not in told.text
        assert list(folder.rglob(".*")) == [], f"at {point}"
        out = folder / "out"
        for one, found in content(out).items() if out.is_dir() else ():
            assert one == "written.json" or found == wanted[one]
        again = killer.run(folder, *words)
        assert again.code == 0, f"at {point}: {again.text}"
        assert content(out) == wanted
        shutil.rmtree(folder)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SIGNALS)
def test_a_training_that_is_told_to_end_finishes_its_step(
    name: str, prepared: Path, killer: Killer, tmp_path: Path
) -> None:
    words = ["train", "seqformer-tiny", *TRAIN]
    sound = Path(shutil.copytree(prepared, tmp_path / "sound"))
    ending = killer.run(sound, *words)
    assert ending.code == 0, ending.text
    folder = Path(shutil.copytree(prepared, tmp_path / "told"))
    told = killer.run(folder, *words, kill_at=ending.changes // 2, number=getattr(signal, name))
    assert told.code == SIGNALS[name], told.text
    assert "go on with: maskreel train --resume" in told.text
    assert killer.run(folder, "train", "--resume", "run", "--quiet").code == 0
    wanted, found = trained(sound / "run"), trained(folder / "run")
    # The step that it ended in has a checkpoint of its own, in place of an older one.
    assert {name.split("/")[1] for name in wanted.keys() ^ found.keys()} <= {"step-00000002", "step-00000003"}
    assert {name: found[name] for name in wanted.keys() & found.keys()} == {
        name: wanted[name] for name in wanted.keys() & found.keys()
    }
    assert "checkpoints/step-00000004/optimizer.safetensors" in wanted.keys() & found.keys()
