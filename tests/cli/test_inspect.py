"""`maskreel inspect`: pictures of what goes on inside models, and the numbers behind them."""

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskreel.cli.inspect import _columns
from maskreel.cli.inspect_files import FILES
from maskreel.cli.main import main
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.models.folder import save_model
from maskreel.rendered.rendering import render_video
from maskreel.rendered.synthetic import SyntheticDials
from maskreel.visualize.video import TimedImage, write_video
from tests.checkpoints.tables import TINY
from tests.models.test_contract import drawn

CLASSES = [(1, "disc"), (2, "star"), (3, "box")]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames."""
    path = tmp_path_factory.mktemp("inspect") / "clip.mp4"
    frames = render_video(11_000, 1, SyntheticDials(frames=7)).frames
    write_video(path, map(TimedImage, [t / 6 for t in range(7)], frames), frame_rate=Fraction(6))
    return path


def model_folder(name: str, folder: Path, **inference: Any) -> Path:
    """A small model of any kind, untrained."""
    model = drawn(TINY[name], deviation=0.2).eval()
    save_model(folder / name, model, TINY[name], CLASSES, inference={"short_side": 64, "min_score": 0.01, **inference})
    return folder / name


def inspect(*words: object, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["inspect", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_the_bundled_model_is_looked_into(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    report = inspect("bundled", video, "--out", out, "--columns", 3, capsys=capsys)
    assert {path.name for path in out.iterdir()} == {*FILES, "written.json"}
    (model,) = report["models"]
    assert report["frames"] == list(range(7))
    middle = report["place"]["frame"]
    assert model["object"] == 1
    found = model["objects"]
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    # What predict finds: the same clip, the same masks, the same scores.
    assert main(["predict", "bundled", str(video), "--out", str(tmp_path), "--no-overlay", "--duplicates", "keep"]) == 0
    predicted = Masklets.load(tmp_path / "clip.json")
    assert [one["score"] for one in found] == pytest.approx([one.score for one in predicted.masklets])
    with np.load(out / "token.npz") as token:
        assert sorted(token) == sorted(
            ["frames", *(f"a.points_of_a_frame.{name}" for name in ("head", "frame", "level", "place", "weight"))]
        )
        assert set(token["a.points_of_a_frame.frame"]) == {float(middle)}
        assert token["a.points_of_a_frame.weight"].sum() == pytest.approx(6, rel=1e-5)
    with np.load(out / "object.npz") as read:
        assert set(read["a.points_of_a_frame.frame"]) == set(range(7))
        assert read["a.points_of_a_frame.weight"].sum() == pytest.approx(6, rel=1e-5)
        nearest = read["a.points_of_a_frame.place"][read["a.points_of_a_frame.frame"] == middle].mean(0)
        assert nearest * (160, 96) == pytest.approx([report["place"]["x"], report["place"]["y"]], abs=20)
    with np.load(out / "features.npz") as features:
        assert features["a.mean"].shape == (7, 12, 20)
    with (out / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen = sum(mask is not None for one in predicted.masklets for mask in one.segmentations)
    assert len(rows) == seen
    assert {row["class"] for row in rows} == {one["name"] for one in found}
    best = predicted.masklets[0].segmentations
    assert min((abs(t - 3), t) for t, mask in enumerate(best) if mask is not None)[1] == middle
    at = best[middle]
    assert at is not None
    assert rle.decode(at)[report["place"]["y"], report["place"]["x"]]
    for name in FILES:
        if name.endswith(".png"):
            with Image.open(out / name) as picture:
                assert (np.asarray(picture.convert("L")) < 250).mean() > 0.005


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        pytest.param(
            ("taformer", "ms_sts"),
            [{"points of a frame", "points of neighbouring frames"}, {"tokens of one level, over time"}],
            id="points and tokens of levels",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            ("vistr", "deformable_vistr"),
            [{"all tokens of the clip"}, {"points of the clip"}],
            id="dense beside K points",
        ),
        pytest.param(
            ("tt_spn", "seqformer"),
            [{"all tokens of the clip"}, {"points of a frame"}],
            id="the other two",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_two_models_are_looked_into_at_the_same_place(
    names: tuple[str, str], kinds: list[set[str]], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [model_folder(name, tmp_path, clip_frames=3, clip_overlap=1) for name in names]
    words = ("--out", tmp_path / "out", "--at", "5,100,40", "--columns", 2)
    report = inspect(*runs, video, *words, capsys=capsys)
    assert report["frames"] == [4, 5, 6]
    assert [one["run"] for one in report["models"]] == list(names)
    for one in report["models"]:
        assert one["token"]["frame"] == 1
    with np.load(tmp_path / "out" / "token.npz") as arrays:
        for letter, wanted in zip("ab", kinds, strict=True):
            written = {name.split(".")[1] for name in arrays if name.startswith(f"{letter}.")}
            assert {kind.replace(",", "").replace(" ", "_") for kind in wanted} <= written
            for kind in written:
                weight, head = arrays[f"{letter}.{kind}.weight"], arrays[f"{letter}.{kind}.head"]
                assert np.bincount(head, weight) == pytest.approx(np.ones(head.max() + 1), rel=1e-5)
                # A point of the clip's volume may lie outside of it.
                assert kind == "points_of_the_clip" or set(arrays[f"{letter}.{kind}.frame"]) <= {0.0, 1.0, 2.0}
    with Image.open(tmp_path / "out" / "token.png") as one, Image.open(tmp_path / "out" / "features.png") as other:
        assert one.width == other.width


def test_a_clip_shown_over_and_over_counts_its_frames_once(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = model_folder("vistr", tmp_path, clip_frames=3, clip_overlap=1, short_clips="repeat")
    short = tmp_path / "short.mp4"
    frames = render_video(11_000, 1, SyntheticDials(frames=2)).frames
    write_video(short, map(TimedImage, [0, 1 / 6], frames), frame_rate=Fraction(6))
    report = inspect(run, short, "--out", tmp_path / "out", capsys=capsys)
    assert report["frames"] == [0, 1]
    with np.load(tmp_path / "out" / "token.npz") as arrays:
        assert set(arrays["a.all_tokens_of_the_clip.frame"]) == {0.0, 1.0}
        assert arrays["a.all_tokens_of_the_clip.weight"].sum() == pytest.approx(4, rel=1e-5)
    with np.load(tmp_path / "out" / "features.npz") as arrays:
        assert len(arrays["a.mean"]) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("bundled",), "give one model or two, then a video"),
        (("bundled", "bundled", "bundled", "clip.mp4"), "give one model or two, then a video"),
        (("bundled", "absent.mp4"), "absent.mp4"),
        (("bundled", "clip.mp4", "--at", "5,6"), "--at 5,6: give FRAME,X,Y"),
        (("bundled", "clip.mp4", "--at=-1,6,6"), "--at -1,6,6: frames are counted from 0"),
        (("bundled", "clip.mp4", "--at", "7,6,6"), "--at 7: the last frame of clip.mp4 is 6"),
        (("bundled", "clip.mp4", "--at", "2,160,6"), "--at 2,160,6: frames have 160x96 pixels"),
        (("bundled", "clip.mp4", "--layer", "4"), "--layer 4: the encoder has layers 1 to 3"),
        (("bundled", "clip.mp4", "--layer", "0"), "--layer 0: the encoder has layers 1 to 3"),
        (("bundled", "clip.mp4", "--level", "4"), "--level 4: the encoder has the levels 0 to 3"),
        (("bundled", "clip.mp4", "--level=-1"), "--level -1: must be at least 0"),
        (("bundled", "clip.mp4", "--columns", "0"), "--columns 0: must be at least 1"),
        (("bundled", "clip.mp4", "--every", "0"), "--every 0: must be at least 1"),
        (("bundled", "clip.mp4", "--clip-frames", "0"), "--clip-frames 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    words: tuple[str, ...],
    sentence: str,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(video.parent)
    assert main(["inspect", *words]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("maskreel: error: ")
    assert sentence in error
    assert not [path for path in video.parent.glob("runs/**/*") if path.is_file()]


def test_the_video_is_never_written_over(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token.png").write_bytes(b"mine")
    assert main(["inspect", "bundled", str(video), "--out", str(tmp_path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "token.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("middle", "length", "count", "every", "expected"),
    [
        (6, 12, 5, 1, [4, 5, 6, 7, 8]),
        (0, 12, 5, 1, [0, 1, 2, 3, 4]),
        (11, 12, 5, 1, [7, 8, 9, 10, 11]),
        (1, 3, 5, 1, [0, 1, 2]),
        (6, 12, 5, 2, [2, 4, 6, 8, 10]),
        (6, 12, 4, 1, [5, 6, 7, 8]),
        (0, 1, 5, 3, [0]),
        (5, 12, 3, 5, [0, 5, 10]),
        (1, 12, 3, 5, [1, 6, 11]),
    ],
)
def test_columns_stand_around_the_frame(middle: int, length: int, count: int, every: int, expected: list[int]) -> None:
    assert _columns(middle, length, count, every) == expected
