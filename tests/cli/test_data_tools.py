"""`maskreel data check`, `stats`, `split` and `view` from the command line."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from maskreel.cli.main import main
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.visualize.video import TimedImage, write_video
from tests.builders import write_youtube_vis
from tests.data.test_check import sound


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    document = sound(root)
    (root / "train.json").write_text(json.dumps(document))
    return root


def test_check_says_that_nothing_is_wrong(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(data)]) == 0
    assert "2 videos, 12 frames, 4 tracks, 18 masks: nothing wrong" in capsys.readouterr().out


def test_check_lists_faults_ends_with_1_and_repairs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((data / "train.json").read_text())
    del document["annotations"][0]["iscrowd"]
    document["videos"][0]["length"] = 3
    (data / "train.json").write_text(json.dumps(document))
    assert main(["data", "check", str(data)]) == 1
    captured = capsys.readouterr()
    assert "annotation 1: iscrowd is missing" in captured.out
    assert "video 11: length is 3, file_names are 6" in captured.out
    assert captured.err.count("\n") == 1
    assert "2 faults of 2 kinds; --fix repairs 2 of them" in captured.err
    assert main(["data", "check", str(data), "--fix", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["splits"]
    assert [problem["kind"] for problem in entry["problems"]] == ["video-length", "crowd-missing"]
    assert entry["remaining"] == []
    assert main(["data", "check", str(data), "--split", "train.fixed"]) == 0


@pytest.mark.parametrize("form", ["folder", "named", "archive", "file"])
def test_check_reads_other_formats_by_what_they_are(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    name = "coco-tracks" if form == "file" else "davis"
    root = tmp_path / "other"
    assert main(["data", "convert", str(data), str(root), "--to", name, "--allow-loss"]) == 0
    given = root / "train.json" if form == "file" else root
    if form == "archive":
        given = Path(shutil.make_archive(str(tmp_path / "other"), "zip", root))
    words = ["--from", name] if form == "named" else []
    capsys.readouterr()
    assert main(["data", "check", str(given), *words]) == 0
    captured = capsys.readouterr()
    assert "2 videos, 12 frames, 4 tracks, 18 masks: nothing wrong" in captured.out
    assert "note" not in captured.out


def test_check_of_other_formats_ends_with_1_and_repairs_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "other"
    assert main(["data", "convert", str(data), str(root), "--to", "davis", "--allow-loss"]) == 0
    image = next((root / "JPEGImages").rglob("00003.png"))
    image.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    capsys.readouterr()
    assert main(["data", "check", str(root), "--fix"]) == 1
    assert f"{image.name}: cannot be read as an image: it is a PostScript document" in capsys.readouterr().out


@pytest.mark.slow
def test_stats_prints_a_table_json_and_a_picture(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "stats.png"
    assert main(["data", "stats", str(data), "--picture", str(picture)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["block", "2", "2", "0", "12", "2", "0", "0"] in lines
    assert ["all", "2", "4", "0", "18", "4", "0", "0"] in lines
    assert Image.open(picture).width > 400
    assert main(["data", "stats", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["masks"] == 18


def test_stats_draws_over_no_frame_of_the_set(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = next(path for path in sorted(data.rglob("*.*")) if path.suffix in (".jpg", ".png"))
    before = frame.read_bytes()
    assert main(["data", "stats", str(data), "--picture", str(frame), "--overwrite"]) == 2
    assert "lies in a folder that is read and would be overwritten" in capsys.readouterr().err
    assert frame.read_bytes() == before


def test_split_writes_two_splits_that_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_youtube_vis(tmp_path, num_videos=6)
    assert main(["data", "split", str(tmp_path), "--share", "0.34"]) == 0
    assert "tracks" in capsys.readouterr().out
    fit, held = (YouTubeVIS.load(tmp_path, name) for name in ("train_fit", "train_held"))
    assert (len(fit.videos), len(held.videos)) == (4, 2)
    assert held.decode_frames(1, [0]).shape == (1, 3, 24, 40)
    first = (tmp_path / "train_fit.json").read_bytes()
    assert main(["data", "split", str(tmp_path), "--share", "0.34"]) == 0
    assert (tmp_path / "train_fit.json").read_bytes() == first
    (tmp_path / "train_fit.json").write_text("edited")
    assert main(["data", "split", str(tmp_path), "--share", "0.34"]) == 2
    assert "train_fit.json: exists, and is not as maskreel wrote it; choose another --names" in capsys.readouterr().err
    assert (tmp_path / "train_fit.json").read_text() == "edited"


def test_view_draws_truth_and_results(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((data / "train.json").read_text())
    keys = ("video_id", "category_id", "segmentations")
    entries = [{key: track[key] for key in keys} | {"score": 0.9} for track in document["annotations"]]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(entries))
    out = tmp_path / "out"
    words = ["data", "view", str(data), "--videos", "video1", "--results", str(results), "--out", str(out)]
    assert main([*words, "--frames", "3"]) == 0
    names = ["video1.jpg", "video1_results.mp4", "video1_truth.mp4"]
    assert sorted(path.name for path in out.iterdir()) == [*names, "written.json"]
    assert sorted(Path(line).name for line in capsys.readouterr().out.splitlines()) == names
    strip = Image.open(out / "video1.jpg")
    assert strip.width > 3 * 40
    assert strip.height > 2 * 24
    with av.open(str(out / "video1_results.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


def test_view_puts_several_systems_below_the_truth_and_many_videos_on_a_sheet(data: Path, tmp_path: Path) -> None:
    document = json.loads((data / "train.json").read_text())
    keys = ("video_id", "category_id", "segmentations")
    entries = [{key: track[key] for key in keys} | {"score": 0.9} for track in document["annotations"]]
    for name, found in (("ours", entries), ("theirs", entries[:1])):
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    out = tmp_path / "out"
    results = ["--results", str(tmp_path / "ours.json"), str(tmp_path / "theirs.json")]
    words = [
        "data",
        "view",
        str(data),
        "--videos",
        "all",
        *results,
        "--out",
        str(out),
        "--no-video",
        "--gif",
        "--sheet",
    ]
    assert main([*words, "--frames", "3"]) == 0
    kinds = ("ours", "theirs", "truth")
    gifs = [f"{video}_{kind}.gif" for video in ("video0", "video1") for kind in kinds]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*(f"sheet_{kind}.jpg" for kind in kinds), "video0.jpg", "video1.jpg", *gifs, "written.json"]
    )
    row = 24 + 18 + 4  # frame, caption, gap
    assert Image.open(out / "video1.jpg").height == 3 * row + 4  # truth, ours, theirs
    assert Image.open(out / "sheet_truth.jpg").height == 2 * row + 4  # both videos
    with Image.open(out / "video1_ours.gif") as gif:
        assert gif.n_frames == 6
        assert gif.info["duration"] == 170


def test_results_files_that_share_a_name_are_told_apart_or_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / folder / "results.json" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("[]")
    words = ["data", "view", str(data), "--videos", "video1", "--no-video", "--sheet", "--out"]
    assert main([*words, str(tmp_path / "out"), "--results", *map(str, paths)]) == 0
    assert (tmp_path / "out/sheet_b_results.jpg").exists()
    capsys.readouterr()
    assert main([*words, str(tmp_path / "none"), "--results", str(paths[0]), str(paths[0])]) == 2
    assert "would be called 'a_results'" in capsys.readouterr().err


def test_view_draws_what_predict_found_in_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, found, out = tmp_path / "clip.mp4", tmp_path / "clip.json", tmp_path / "out"
    masks = [None, *(rle.encode(np.eye(32, 48, k, dtype=bool)) for k in range(1, 5))]
    write_video(
        video, (TimedImage(t / 10, np.full((32, 48, 3), 40 * t, np.uint8)) for t in range(5)), frame_rate=Fraction(10)
    )
    Masklets(
        source="clip.mp4",
        width=48,
        height=32,
        classes=((1, "disc"),),
        declared=5,
        timestamps=tuple(t / 10 for t in range(5)),
        masklets=(Masklet(track_id=1, label=0, category_id=1, score=0.9, segmentations=masks),),
    ).save(found)
    words = ["data", "view", str(video), "--results", str(found), "--out", str(out), "--frames", "2", "--gif"]
    assert main(words) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "clip.jpg",
        "clip_results.gif",
        "clip_results.mp4",
        "written.json",
    ]
    with Image.open(out / "clip_results.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (5, 100)
    assert Image.open(out / "clip.jpg").width >= 2 * 48
    capsys.readouterr()
    assert main(["data", "view", str(video)]) == 2
    assert "give the JSON that predict wrote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["check", "{root}", "--split", "vaild"], 2, "no split 'vaild'"),
        (["check", "{root}/gone"], 2, "no such folder"),
        (["check", "{root}", "--fx"], 2, "--fix"),
        (["stats", "{root}", "--split", "test"], 2, "no split 'test'"),
        (["stats", "{root}", "--picture", "stats.xyz"], 2, "must end in .png"),
        (["split", "{root}", "--share", "1.5"], 2, "--share 1.5"),
        (["split", "{root}", "--share", "0.01"], 1, "leaves one part empty"),
        (["view", "{root}", "--videos", "video7", "--out", "{root}/out"], 2, "did you mean 'video"),
        (["view", "{root}", "--frames", "0"], 2, "--frames 0"),
        (["view", "{root}", "--frame-rate", "0"], 2, "--frame-rate 0: expected frames per second from 0.001"),
        (["view", "{root}", "--results", "{root}/train.json", "--out", "{root}/out"], 1, "an annotation file"),
    ],
)
def test_faults_are_one_sentence_and_an_exit_code(
    data: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, reason: str
) -> None:
    assert main(["data", *(word.format(root=data) for word in words)]) == code
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert reason in captured.err
