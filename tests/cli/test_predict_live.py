"""What `maskreel predict` does in its single pass: lines, overlays, parts of sources, streams, and being stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from maskreel.cli.main import main
from maskreel.geometry.masklets import Masklets
from maskreel.video import sources, streams
from maskreel.video.files import VideoFile
from tests.video.loopback import http_server, tcp_server
from tests.video.videos import moving_blocks, write_test_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Longer than a window of the bundled model."""
    return write_test_video(tmp_path / "blocks.mp4", num_frames=40, picture=lambda i: moving_blocks(i, size=(96, 160)))


def predict(*words: str | Path) -> int:
    return main(["predict", "bundled", "--device", "cpu", *map(str, words)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_hold_the_masks_of_the_result_frame_by_frame(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(video, "--out", out, "--jsonl", "--min-score", "0", "--duplicates", "keep") == 0
    result = Masklets.load(out / "blocks.json")
    found = lines(out / "blocks.jsonl")
    assert [(line["index"], line["time"]) for line in found] == list(enumerate(result.timestamps))
    by_id = {masklet.track_id: masklet for masklet in result}
    assert sum(len(line["objects"]) for line in found) > 40
    for line in found:
        for one in line["objects"]:
            mask = by_id[one["track_id"]].segmentations[line["index"]]
            assert mask is not None
            assert one["segmentation"] == mask.to_json()
            assert one["name"] == dict(result.classes)[one["category_id"]] == result.classes[one["label"]][1]
    assert len(list(VideoFile(out / "blocks_overlay.mp4"))) == 40


@pytest.mark.parametrize("words", [[], ["--no-overlay"]])
def test_no_frame_is_decoded_twice(
    video: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the first, which tells the size."""
    decoded = []
    before = VideoFile._decode
    monkeypatch.setattr(
        VideoFile, "_decode", lambda *given: (decoded.append(frame) or frame for frame in before(*given))
    )
    assert predict(video, "--out", tmp_path / "out", *words) == 0
    assert len(decoded) == 41


@pytest.mark.parametrize("words", [["--latency", "0"], ["--latency", "2", "--window", "6", "--memory", "20"]])
def test_a_latency_changes_what_is_found_but_no_frame_is_lost(video: Path, tmp_path: Path, words: list[str]) -> None:
    assert predict(video, "--out", tmp_path / "out", "--jsonl", *words) == 0
    assert [line["index"] for line in lines(tmp_path / "out" / "blocks.jsonl")] == list(range(40))
    assert Masklets.load(tmp_path / "out" / "blocks.json").decoded == 40


def test_parts_of_a_source(video: Path, tmp_path: Path) -> None:
    words = ["--start", "0.4", "--duration", "0.8", "--every", "2", "--max-frames", "8"]
    assert predict(video, "--out", tmp_path / "out", *words) == 0
    result = Masklets.load(tmp_path / "out" / "blocks.json")
    assert result.timestamps == pytest.approx([0.4 + 0.08 * n for n in range(8)], abs=1e-6)
    overlay = [frame.time for frame in VideoFile(tmp_path / "out" / "blocks_overlay.mp4")]
    assert overlay == pytest.approx([0.08 * n for n in range(8)], abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "0"], "--every 0: must be at least 1"),
        (["--latency", "-1"], "--latency -1: must be at least 0"),
        (["--window", "0"], "--window 0: must be at least 1"),
        (["--max-objects", "0"], "--max-objects 0: must be at least 1"),
        (["--memory", "-1"], "--memory -1: must be at least 0"),
        (["--start", "2", "--end", "1"], "--end 1.0: must be later than start 2.0"),
        (["--show"], "--show: no window is opened; .*--jsonl"),
    ],
)
def test_what_was_typed_wrong_is_refused_before_any_work(
    video: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(video, "--out", tmp_path / "out", *words) == 2
    assert capsys.readouterr().err.startswith("maskreel: error: ")
    assert not (tmp_path / "out" / "blocks.json").exists()


def test_a_file_over_http_gives_the_result_of_the_file(video: Path, tmp_path: Path) -> None:
    with http_server(tmp_path) as address:
        assert predict(f"{address}/blocks.mp4", "--out", tmp_path / "a", "--no-overlay") == 0
    assert predict(video, "--out", tmp_path / "b", "--no-overlay") == 0
    ours, theirs = (Masklets.load(tmp_path / name / "blocks.json") for name in ("a", "b"))
    assert ours.to_dict() | {"source": ""} == theirs.to_dict() | {"source": ""}


def test_every_frame_of_a_stream_is_shown_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is all there at once and so comes faster than the network looks at it."""
    monkeypatch.setattr(streams, "FIRST_WAIT", 0.001)
    path = write_test_video(tmp_path / "a.ts", num_frames=60)
    with tcp_server([path.read_bytes()]) as address:
        assert predict(address, "--out", tmp_path / "out", "--jsonl") == 0
    (written,) = (tmp_path / "out").glob("*.jsonl")
    result = Masklets.load(written.with_suffix(".json"))
    assert result.num_skipped > 0
    assert result.decoded + result.num_skipped == 60
    assert len(lines(written)) == result.decoded
    assert all("dropped" in lost.reason for lost in result.skipped)


def test_a_stream_that_is_not_to_be_dropped_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FIRST_WAIT", 0.001)
    path = write_test_video(tmp_path / "a.ts", num_frames=12)
    with tcp_server([path.read_bytes()]) as address:
        assert predict(address, "--out", tmp_path / "out", "--drop", "never", "--no-overlay") == 0
    (written,) = (tmp_path / "out").glob("127.0.0.1-*.json")
    assert (Masklets.load(written).decoded, Masklets.load(written).skipped) == (12, ())


SIGNALLED = """
import os, signal, sys
from maskreel.cli import predict_source
from maskreel.cli.main import main
before = predict_source._line
def line(final, *rest):
    if final.index == 2:
        os.kill(os.getpid(), int(sys.argv[1]))
    return before(final, *rest)
predict_source._line = line
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_reading_and_finishes_the_files(tmp_path: Path, number: signal.Signals) -> None:
    path = write_test_video(tmp_path / "long.mp4", num_frames=200)
    words = ["predict", "bundled", str(path), "--out", str(tmp_path / "out"), "--jsonl", "--latency", "1", "--quiet"]
    done = subprocess.run([sys.executable, "-c", SIGNALLED, str(int(number)), *words], capture_output=True, text=True)
    assert done.returncode in (128 + number, -number), done.stderr
    result = Masklets.load(tmp_path / "out" / "long.json")
    assert 2 < result.decoded < 200
    (left,) = result.skipped
    assert (left.index, left.count, left.reason) == (result.decoded, 200 - result.decoded, "not read: stopped before")
    assert len(lines(tmp_path / "out" / "long.jsonl")) == result.decoded
    assert len(list(VideoFile(tmp_path / "out" / "long_overlay.mp4"))) == result.decoded
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".long")]


@pytest.mark.slow
def test_a_killed_run_leaves_every_finished_frame(tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "long.mp4", num_frames=4000)
    words = ["predict", "bundled", str(path), "--out", str(tmp_path / "out"), "--jsonl", "--latency", "0", "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "maskreel.cli.main", *words])
    written = tmp_path / "out" / "long.jsonl"
    while not written.exists() or written.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert [line["index"] for line in lines(written)] == list(range(len(lines(written))))
    assert not (tmp_path / "out" / "long.json").exists()


def test_a_camera_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict("63", "--out", tmp_path / "out") == 2
    assert "63: there is no camera /dev/video63" in capsys.readouterr().err
    assert sources.find_sources(["63"])[0].is_live
