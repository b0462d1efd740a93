"""`maskreel predict` on many sources: one manifest, any number of workers, and nothing twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskreel.cli.main import main
from maskreel.files import RECORD, file_sum
from maskreel.manifest import MANIFEST, SETTINGS
from tests.builders import write_youtube_vis
from tests.cli.test_predict import predict, random_model
from tests.spread.clusters import command_of
from tests.video.videos import write_sound, write_test_video

BESIDE = {RECORD, MANIFEST, SETTINGS}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [write_test_video(tmp_path / f"v{number}.mp4", num_frames=3 + number) for number in range(4)]


def lines(out: Path) -> dict[str, dict[str, object]]:
    """By unit; each has one line."""
    read = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    assert len({line["unit"] for line in read}) == len(read)
    return {line["unit"]: line for line in read}


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name not in BESIDE}


def test_the_manifest_has_a_line_for_every_source(model_folder: str, videos: list[Path], tmp_path: Path) -> None:
    sound, out = write_sound(tmp_path / "sound.mp4"), tmp_path / "out"
    assert predict(model_folder, *videos[:2], sound, "--out", out, "--no-overlay") == 3
    found = lines(out)
    assert {unit: line["state"] for unit, line in found.items()} == {"v0": "done", "v1": "done", "sound": "failed"}
    assert [found[unit]["source"] for unit in ("v0", "sound")] == [str(videos[0]), str(sound)]
    assert found["v1"]["sums"] == {"v1.json": file_sum(out / "v1.json")}
    assert found["v0"]["seconds"] > 0  # type: ignore[operator]
    assert "sound only" in str(found["sound"]["error"])
    assert {"worker", "sums"} <= found["sound"].keys()
    assert json.loads((out / RECORD).read_text())["pending"].keys() == {MANIFEST, SETTINGS}


def test_what_is_missing_or_damaged_is_done_and_nothing_else(
    model_folder: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, listed = tmp_path / "out", tmp_path / "videos.txt"
    listed.write_text("# videos\n\n" + "".join(f"{video}\n" for video in videos[1:]))
    words = (videos[0], "--list", listed, "--out", out, "--no-overlay", "--save", "masks")
    assert predict(model_folder, *words) == 0
    whole, times = contents_below(out), {path: path.stat().st_mtime_ns for path in out.glob("v*.json")}
    assert sorted(lines(out)) == ["v0", "v1", "v2", "v3"]
    (out / "v1.json").unlink()
    (out / "v2.json").write_text("{}")
    next(iter(sorted((out / "v3_masks").rglob("*.png")))).unlink()
    capsys.readouterr()
    assert predict(model_folder, *words, "--resume", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [Path(one["source"]).stem for one in report["videos"]] == ["v1", "v2", "v3"]
    assert report["resumed"] == 1
    changed = [path for path in out.iterdir() if ".changed-1" in path.name]
    assert sorted(path.name for path in changed) == ["v2.changed-1.json", "v3_masks.changed-1"]
    assert (out / "v2.changed-1.json").read_text() == "{}"
    now = contents_below(out)
    assert {name: content for name, content in now.items() if ".changed-1" not in name} == whole
    assert (out / "v0.json").stat().st_mtime_ns == times[out / "v0.json"]
    assert sorted(lines(out)) == ["v0", "v1", "v2", "v3"]


def contents_below(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in BESIDE]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--short-side", "48"], r"another run \(short_side was 32 there and is 48 here\)"),
        (["--jsonl"], r"another run \(jsonl was False there and is True here\)"),
    ],
)
def test_a_manifest_of_another_run_is_refused_and_stays(
    words: list[str],
    message: str,
    model_folder: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert predict(model_folder, *videos[:2], "--out", out, "--no-overlay") == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert predict(model_folder, *videos[:2], "--out", out, "--no-overlay", "--resume", *words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    other = tmp_path / "elsewhere" / "v0.mp4"
    other.parent.mkdir()
    other.write_bytes(videos[0].read_bytes())
    assert predict(model_folder, other, videos[1], "--out", out, "--no-overlay", "--resume") == 2
    assert "v0.json is of" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_cannot_be_resumed_or_listed_is_refused(
    model_folder: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for words, code, message in (
        ([videos[0], "--resume"], 2, "--resume: name the folder"),
        ([videos[0], "--workers", "0"], 2, "--workers 0: must be at least 1"),
        ([videos[0], "--ray-address", "auto"], 2, "--ray-address auto: says how --ray works; add --ray"),
        ([videos[0], "--ray", "--gpus-per-worker", "1.5"], 2, "--gpus-per-worker 1.5: must be a share of one"),
        ([videos[0], "--ray", "--ray-address", "there"], 2, "--ray-address there: expected HOST:PORT"),
        (["--list", tmp_path / "none.txt"], 2, "no such file"),
        (["--list", tmp_path / "empty.txt"], 1, "names no source"),
        (["--list", tmp_path / "binary.txt"], 1, "is no text file"),
    ):
        assert predict(model_folder, *words) == code
        assert message in capsys.readouterr().err


def test_a_file_of_somebody_else_is_not_taken_for_the_manifest(
    model_folder: str, videos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / MANIFEST).write_text("mine\n")
    assert predict(model_folder, *videos[:2], "--out", out, "--no-overlay") == 2
    assert [path.name for path in out.iterdir()] == [MANIFEST]


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_for_a_split(model_folder: str, tmp_path: Path) -> None:
    write_youtube_vis(tmp_path / "data", split="valid", num_videos=3)
    words = [tmp_path / "data", "--split", "valid", "--no-overlay", "--quiet"]
    assert predict(model_folder, *words, "--out", tmp_path / "one") == 0
    assert predict(model_folder, *words, "--out", tmp_path / "two", "--workers", "2") == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert {line["worker"] for line in lines(tmp_path / "two").values()} <= {"1", "2"}
    whole = (tmp_path / "one/results.json").read_bytes()
    (tmp_path / "one/video1.json").unlink()
    assert predict(model_folder, *words, "--out", tmp_path / "one", "--resume") == 0
    assert (tmp_path / "one/results.json").read_bytes() == whole


@pytest.mark.nightly
def test_a_killed_command_goes_on_and_ends_with_the_same_bytes(
    model_folder: str, videos: list[Path], tmp_path: Path
) -> None:
    """The driver is killed, then a worker of the one that goes on."""
    common = [model_folder, "--min-score", "0", "--device", "cpu", *map(str, videos), "--no-overlay"]
    assert main(["predict", *common, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "out"
    command = [sys.executable, "-m", "maskreel.cli.main", "predict", *common, "--out", str(out), "--workers", "2"]
    driver = subprocess.Popen(command)
    while not (out / MANIFEST).is_file() or not (out / MANIFEST).read_bytes():
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    before = lines(out)
    driver = subprocess.Popen([*command, "--resume"])
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
    while not (
        pids := [one for one in children.read_text().split() if b"spawn_main" in command_of(Path("/proc", one))]
    ):
        assert driver.poll() is None
        time.sleep(0.01)
    os.kill(int(pids[0]), signal.SIGKILL)
    assert driver.wait() in (0, 1)
    if driver.returncode:
        assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert all(lines(out)[unit] == line for unit, line in before.items() if line["state"] == "done")
