"""Commands as people type them, on what people have: what comes out, what is refused, and that nothing is lost."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from maskreel.cli.main import main
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets, is_masklet_file
from maskreel.models.folder import build_model, save_model
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.video.files import VideoFile
from tests.field.makers import grey, level, quarters, write_animation, write_frames, write_stream

CONFIG = SeqFormerConfig(
    backbone=ResNetConfig(depth=18, width=8, norm="batch", frozen_stages=0),
    num_classes=1,
    transformer=DeformableTransformer(
        width=64, hidden=32, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2
    ),
    queries=BoxQueries(count=4),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model, whose overlays show no objects at a least score of 1."""
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    inference = {"short_side": 32, "clip_frames": 8, "clip_overlap": 2}
    save_model(folder, build_model(CONFIG), CONFIG, [(1, "thing")], inference=inference)
    return str(folder)


def predict(model: str, *words: str | Path) -> int:
    return main(["predict", model, "--min-score", "1", "--device", "cpu", "--quiet", *map(str, words)])


def seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


# What predict shows.

UNEVEN = [0.0, 0.1, 0.15, 0.5, 0.9, 3.0]


def test_an_overlay_has_the_times_and_the_length_of_its_video(model: str, tmp_path: Path) -> None:
    video = write_stream(tmp_path / "a.mkv", paint=grey, codec="ffv1", times=UNEVEN)
    assert predict(model, video, "--out", tmp_path / "out") == 0
    assert Masklets.load(tmp_path / "out" / "a.json").timestamps == pytest.approx(UNEVEN, abs=0.002)
    shown = list(VideoFile(tmp_path / "out" / "a_overlay.mp4"))
    assert [frame.time for frame in shown] == pytest.approx(UNEVEN, abs=0.002)
    assert [float(np.median(frame.pixels)) for frame in shown] == pytest.approx([level(n) for n in range(6)], abs=3)
    assert 3.0 <= seconds(tmp_path / "out" / "a_overlay.mp4") <= 5.2


def test_the_last_frame_of_an_animation_stands_as_long_as_it_says(model: str, tmp_path: Path) -> None:
    animation = write_animation(tmp_path / "a.png", [100] * 3 + [2000])
    assert predict(model, animation, "--out", tmp_path / "out") == 0
    assert seconds(tmp_path / "out" / "a_overlay.mp4") == pytest.approx(2.3, abs=0.03)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (97, 161), (720, 1280)])
def test_an_overlay_shows_the_colours_that_were_painted(size: tuple[int, int], model: str, tmp_path: Path) -> None:
    Image.fromarray(quarters(0, *size)).save(tmp_path / "a.png")
    assert predict(model, tmp_path / "a.png", "--out", tmp_path / "out") == 0
    (frame,) = VideoFile(tmp_path / "out" / "a_overlay.mp4")
    height, width = size
    assert frame.pixels.shape[:2] == (height + height % 2, width + width % 2)
    if min(size) > 30:
        error = np.abs(frame.pixels[:height, :width].astype(int) - quarters(0, *size)).mean((0, 1))
        assert error.max() < 3


def test_a_strip_that_no_encoder_takes_is_scaled_down_with_a_word(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(quarters(0, 16, 20_000)).save(tmp_path / "strip.png")
    assert predict(model, tmp_path / "strip.png", "--out", tmp_path / "out") == 0
    assert VideoFile(tmp_path / "out" / "strip_overlay.mp4").size == (14, 16384)
    assert "20000x16 pixels are more than H.264 can hold; scaled to 16384x13" in caplog.text


@pytest.mark.parametrize(("typed", "rate"), [("25", 25.0), ("30000/1001", 30000 / 1001), ("29.97", 29.97)])
def test_the_viewer_draws_at_the_rate_at_which_was_predicted(
    typed: str, rate: float, model: str, tmp_path: Path
) -> None:
    frames = write_frames(tmp_path / "frames", [f"{n}.png" for n in range(10)])
    assert predict(model, frames, "--frame-rate", typed, "--out", tmp_path / "found") == 0
    wanted = [n / rate for n in range(10)]
    assert Masklets.load(tmp_path / "found" / "frames.json").timestamps == pytest.approx(wanted, abs=1e-5)
    words = ["data", "view", str(frames), "--results", str(tmp_path / "found" / "frames.json")]
    assert main([*words, "--out", str(tmp_path / "seen")]) == 0
    shown = tmp_path / "seen" / "frames_results.mp4"
    assert [frame.time for frame in VideoFile(shown)] == pytest.approx(wanted, abs=1e-3)
    assert seconds(shown) == pytest.approx(10 / rate, abs=0.01)
    assert main([*words, "--out", str(tmp_path / "slow"), "--frame-rate", "2"]) == 0
    assert seconds(tmp_path / "slow" / "frames_results.mp4") == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize("typed", ["0", "-5", "fast", "1/0", "nan", "2000"])
def test_a_rate_that_is_none_is_refused_with_those_that_are(
    typed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "bundled", str(tmp_path), f"--frame-rate={typed}"]) == 2
    said = capsys.readouterr().err
    assert typed in said
    assert "expected frames per second from 0.001 to 1000, such as 25, 29.97 or 30000/1001" in said


def test_one_damaged_video_does_not_stop_the_others(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mkv", "c.mkv"):
        write_stream(folder / name, paint=grey, codec="ffv1", count=2)
    (folder / "b.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and then nothing")
    assert predict(model, folder, "--no-overlay", "--out", tmp_path / "out") == 3
    assert "b.mp4" in capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "out").glob("*.json") if is_masklet_file(path)} == {"a", "c"}


# What people have stays.


def test_a_video_named_behind_json_keeps_its_bytes(model: str, tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        write_stream(tmp_path / name, paint=grey, codec="ffv1", count=2)
    before = (tmp_path / "b.mkv").read_bytes()
    assert predict(model, tmp_path / "a.mkv", "--json", tmp_path / "b.mkv", "--out", tmp_path / "out") == 2
    assert (tmp_path / "b.mkv").read_bytes() == before


def test_a_photo_that_is_viewed_into_its_folder_keeps_its_bytes(model: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    Image.fromarray(quarters(0)).save(photo)
    before = photo.read_bytes()
    assert predict(model, photo, "--no-overlay", "--out", tmp_path) == 0
    main(["data", "view", str(photo), "--results", str(tmp_path / "photo.json"), "--out", str(tmp_path)])
    assert photo.read_bytes() == before


def test_videos_of_one_name_get_results_of_their_own(model: str, tmp_path: Path) -> None:
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        write_stream(tmp_path / folder / "a.mkv", paint=grey, codec="ffv1", count=2)
    words = [tmp_path / "left" / "a.mkv", tmp_path / "right" / "a.mkv", "--no-overlay", "--out", tmp_path / "out"]
    assert predict(model, *words) == 0
    found = {
        path.name: Masklets.load(path).source for path in (tmp_path / "out").glob("*.json") if is_masklet_file(path)
    }
    assert {Path(source).parent.name for source in found.values()} == {"left", "right"}


def test_what_was_written_into_a_folder_of_videos_is_no_source_the_next_time(model: str, tmp_path: Path) -> None:
    write_stream(tmp_path / "a.mkv", paint=grey, codec="ffv1", count=2)
    for _ in range(2):
        assert predict(model, tmp_path, "--out", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} - {"written.json"} == {"a.mkv", "a.json", "a_overlay.mp4"}


# Dangerous and odd content.


def test_postscript_named_as_a_picture_starts_no_other_program(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = tmp_path / "bin" / "gs"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\ntouch {tmp_path / 'was_run'}\n")
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_text(page)
    assert predict(model, tmp_path / "a.png", "--out", tmp_path / "out") == 1
    assert "PostScript" in capsys.readouterr().err
    assert not (tmp_path / "was_run").exists()


def coco(folder: Path, **annotation: Any) -> Path:
    """A COCO set of one picture with a good object, and a second one as given."""
    (folder / "pictures").mkdir(parents=True)
    Image.fromarray(grey(0, 20, 30)).save(folder / "pictures" / "1.png")
    square = {"image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}
    content = {
        "images": [{"id": 1, "file_name": "pictures/1.png", "width": 30, "height": 20}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{**square, "id": 1}, {**square, "id": 2, **annotation}],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json"


ODD: dict[str, tuple[dict[str, Any], int]] = {
    "nothing odd": ({}, 2),
    "a polygon of two points": ({"segmentation": [[2, 2, 12, 12]]}, 1),
    "an empty code": ({"segmentation": {"size": [20, 30], "counts": ""}}, 1),
    "a point beyond the picture": ({"segmentation": [[-5, -5, 12, 2, 12, 12]]}, 2),
    "a crowd mark that is false": ({"iscrowd": False}, 2),
    "a crowd mark in quotes": ({"iscrowd": "0"}, 2),
    "an id in quotes": ({"id": "two"}, 2),
}


@pytest.mark.parametrize("kind", ODD)
def test_one_odd_annotation_does_not_stop_the_rest(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotation, left = ODD[kind]
    words = ["data", "convert", str(coco(tmp_path / "coco", **annotation)), str(tmp_path / "set"), "--from", "coco"]
    assert main(words) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "set" / "train.json").read_text())
    assert len(content["annotations"]) == left
    assert {one["iscrowd"] for one in content["annotations"]} == {0}


def davis(folder: Path, values: tuple[int, ...], names: tuple[str, ...]) -> Path:
    """A DAVIS set of one sequence, whose masks grow by a row from frame to frame."""
    for kind in ("JPEGImages", "Annotations"):
        (folder / kind / "clip").mkdir(parents=True)
    for index, name in enumerate(names):
        Image.fromarray(grey(index, 20, 30)).save(folder / "JPEGImages" / "clip" / f"{name}.jpg")
        mask = np.zeros((20, 30), np.uint8)
        for place, value in enumerate(values):
            mask[: index + 1, 10 * place : 10 * place + 5] = value
        Image.fromarray(mask).save(folder / "Annotations" / "clip" / f"{name}.png")
    return folder


@pytest.mark.parametrize(("values", "tracks"), [((255,), 1), ((1,), 1), ((1, 2), 2)])
@pytest.mark.parametrize("names", [("8", "9", "10"), ("00008", "00009", "00010")])
def test_masks_of_davis_belong_to_their_pictures(
    names: tuple[str, ...], values: tuple[int, ...], tracks: int, tmp_path: Path
) -> None:
    root = davis(tmp_path / "davis", values, names)
    assert main(["data", "convert", str(root), str(tmp_path / "set"), "--from", "davis"]) == 0
    content = json.loads((tmp_path / "set" / "train.json").read_text())
    assert len(content["annotations"]) == tracks
    (video,) = content["videos"]
    for annotation in content["annotations"]:
        masks = [rle.decode(rle.parse(one, height=20, width=30, where="")) for one in annotation["segmentations"]]
        assert [int(mask.any(1).sum()) for mask in masks] == [1, 2, 3]
        assert annotation["iscrowd"] == 0
    for index, name in enumerate(video["file_names"]):
        (picture,) = (tmp_path / "set").rglob(name)
        assert abs(int(np.asarray(Image.open(picture)).mean()) - level(index)) <= 3


def test_a_size_that_would_fill_the_memory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = {"size": [60000, 60000], "counts": [3_599_999_999, 1]}
    truth = {
        "videos": [{"id": 1, "width": 60000, "height": 60000, "length": 1, "file_names": ["a/1.png"]}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": [huge], "areas": [1]}
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(
        json.dumps([{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [huge]}])
    )
    assert main(["score", str(tmp_path / "gt.json"), str(tmp_path / "results.json")]) == 1
    assert "60000" in capsys.readouterr().err


# Typing.

TYPED: dict[str, tuple[list[str], int, tuple[str, ...]]] = {
    "the model forgotten": (["predict", "{clip}"], 2, ("maskreel predict bundled", "clip.mkv")),
    "nothing but a model": (["predict", "bundled"], 2, ("no source",)),
    "the model behind the video": (["predict", "{clip}", "bundled"], 2, ("maskreel predict bundled {clip}\n",)),
    "a model that is not there": (
        ["predict", "runs/nope", "{clip}"],
        2,
        ("no such folder", "maskreel predict bundled {clip}\n"),
    ),
    "an empty word": (["predict", "bundled", ""], 2, ("a word is empty",)),
    "an empty folder name": (["data", "check", ""], 2, ("a word is empty",)),
    "an option of another tool": (["predict", "bundled", "{clip}", "--fps", "25"], 2, ("--frame-rate",)),
    "a command of another tool": (["infer", "{clip}"], 2, ("infer",)),
    "help of a command": (["help", "predict"], 0, ("--min-score",)),
    "help of no command": (["help", "nonsense"], 2, ("nonsense",)),
    "a file of text": (["predict", "bundled", "{text}"], 1, ("notes.txt", "text")),
    "a pattern without files": (["predict", "bundled", "{none}"], 2, ("no file matches",)),
}


@pytest.mark.parametrize("kind", TYPED)
def test_what_is_typed_is_answered_in_a_sentence(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, code, said = TYPED[kind]
    clip = write_stream(tmp_path / "clip.mkv", paint=grey, codec="ffv1", count=2)
    (tmp_path / "notes.txt").write_text("of the day")
    places = {"clip": clip, "text": tmp_path / "notes.txt", "none": tmp_path / "*.none"}
    assert main([word.format_map(places) for word in words]) == code
    captured = capsys.readouterr()
    assert [word for word in said if word.format_map(places) not in captured.out + captured.err] == []
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) <= 3
