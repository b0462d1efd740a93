"""`maskreel predict` from the command line."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from maskreel.cli import predict_source
from maskreel.cli.main import main
from maskreel.files import RECORD
from maskreel.geometry.masklets import Masklets
from maskreel.manifest import MANIFEST, SETTINGS
from maskreel.models.folder import build_model, save_model
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.video import files
from maskreel.video.files import VideoFile
from tests.builders import write_youtube_vis
from tests.other_user import as_nobody, open_folder
from tests.video.videos import cut, moving_blocks, noise, write_sound, write_test_video

CONFIG = SeqFormerConfig(
    backbone=ResNetConfig(depth=18, width=8, norm="batch", frozen_stages=0),
    num_classes=2,
    transformer=DeformableTransformer(
        width=32, hidden=32, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2
    ),
    queries=BoxQueries(count=12),
)
CLASSES = [(7, "block"), (3, "line")]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_model(tmp_path_factory.mktemp("models") / "random")


def random_model(folder: Path) -> str:
    """Weights that find something in every clip, though nothing in particular."""
    torch.manual_seed(0)
    model = build_model(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(folder, model, CONFIG, CLASSES, inference={"short_side": 32, "clip_frames": 8, "clip_overlap": 2})
    return str(folder)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_test_video(tmp_path / "blocks.mp4", num_frames=18)


def predict(model_folder: str, *words: str | Path) -> int:
    return main(["predict", model_folder, "--min-score", "0", "--device", "cpu", *map(str, words)])


def written(folder: Path) -> list[str]:
    """Names of the results; the record of them is tested with `outputs`, the manifest with many sources."""
    return sorted(path.name for path in folder.iterdir() if path.name not in (RECORD, MANIFEST, SETTINGS))


def test_every_frame_is_decoded_and_drawn_once(
    model_folder: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masklets, overlay and lines come of one pass, whose cost is counted here and not timed."""
    counts: Counter[str] = Counter()
    decode, draw = files._decoded, predict_source._drawn

    def counted_decode(*arguments: Any) -> Iterator[Any]:
        for frame in decode(*arguments):
            counts["decoded"] += 1
            yield frame

    def counted_draw(*arguments: Any) -> Any:
        counts["drawn"] += 1
        return draw(*arguments)

    monkeypatch.setattr(files, "_decoded", counted_decode)
    monkeypatch.setattr(predict_source, "_drawn", counted_draw)
    assert predict(model_folder, video, "--out", tmp_path / "out", "--jsonl", "--quiet") == 0
    # Opening the file decodes the first frame, which tells how it is shown.
    assert counts == {"decoded": 1 + 18, "drawn": 18}


def test_a_video_gets_masklets_and_an_overlay(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert predict(model_folder, video, "--out", out) == 0
    assert written(out) == ["blocks.json", "blocks_overlay.mp4"]
    result = Masklets.load(out / "blocks.json")
    assert (result.source, result.width, result.height, result.classes) == (str(video), 80, 48, tuple(CLASSES))
    assert (result.declared, result.decoded, result.skipped) == (18, 18, ())
    assert len(result) > 0
    overlay = list(VideoFile(out / "blocks_overlay.mp4"))
    assert [frame.time for frame in overlay] == pytest.approx(result.timestamps, abs=1e-3)
    assert f"blocks.mp4: 18 frames, {len(result)} objects" in capsys.readouterr().out


def test_the_same_command_writes_the_same_bytes(model_folder: str, video: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert predict(model_folder, video, "--out", tmp_path / name, "--no-overlay", "--quiet") == 0
    first, second = (tmp_path / name / "blocks.json" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_the_default_folder_is_numbered(
    model_folder: str, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert predict(model_folder, "blocks.mp4", "--no-overlay") == 0
    assert written(tmp_path / "runs/predict") == ["blocks", "blocks-2"]
    assert written(tmp_path / "runs/predict/blocks-2") == ["blocks.json"]


@pytest.mark.slow
def test_equal_stems_are_numbered(model_folder: str, video: Path, tmp_path: Path) -> None:
    other = write_test_video(tmp_path / "blocks.mkv", num_frames=3)
    third = write_test_video(tmp_path / "blocks-2.mp4", num_frames=4)
    out = tmp_path / "out"
    assert predict(model_folder, video, other, third, "--out", out, "--no-overlay") == 0
    assert written(out) == ["blocks-2-2.json", "blocks-2.json", "blocks.json"]
    assert Masklets.load(out / "blocks-2.json").source == str(other)


def test_good_sources_finish_and_bad_ones_are_listed(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_sound(tmp_path / "sound.mp4")
    out = tmp_path / "out"
    assert predict(model_folder, sound, video, tmp_path / "none.mp4", "--out", out, "--no-overlay", "--json") == 3
    assert written(out) == ["blocks.json", "left_out.json"]
    captured = capsys.readouterr()
    listed = json.loads((out / "left_out.json").read_text())
    assert listed["counts"] == {"video": 2}
    assert [one["file"] for one in listed["left_out"]] == [str(sound), str(tmp_path / "none.mp4")]
    report = json.loads(captured.out)
    assert [entry["source"] for entry in report["videos"]] == [str(video)]
    assert [entry["source"] for entry in report["failed"]] == [str(sound), str(tmp_path / "none.mp4")]
    last = captured.err.splitlines()[-1]
    assert "2 of 3 sources failed" in last
    assert "sound only" in last
    assert "none.mp4: no such file" in last


@pytest.mark.parametrize(("on_bad", "code"), [("skip", 0), ("stop", 1)])
def test_a_bad_source_among_others_is_an_error_or_none_as_the_switch_says(
    on_bad: str, code: int, model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound, out = write_sound(tmp_path / "sound.mp4"), tmp_path / "out"
    words = ["--out", str(out), "--no-overlay", "--on-bad", on_bad]
    assert predict(model_folder, sound, video, *words) == code
    assert "sound.mp4" in capsys.readouterr().err
    assert (out / "blocks.json").exists() == (on_bad == "skip")


def test_a_model_that_was_forgotten_is_named_with_the_right_command(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    for word, what in (
        (video, "a video"),
        (tmp_path / "notes.txt", "plain text"),
        (tmp_path, "a folder without a model"),
        (tmp_path / "none.mp4", "no such folder"),
    ):
        assert main(["predict", str(word)]) == 2
        error = capsys.readouterr().err
        assert f"{word}: {what}" in error
        assert f"where the model comes first: maskreel predict bundled {word}" in error


def test_its_own_outputs_are_no_sources_and_are_made_anew(
    model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    write_test_video(tmp_path / "videos" / "a.mp4", num_frames=2, picture=moving_blocks)
    assert predict(model_folder, "videos", "--out", "videos") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "videos").iterdir()}
    capsys.readouterr()
    for sources in (["videos"], ["videos/*.mp4"], sorted(str(path) for path in Path("videos").iterdir())):
        assert predict(model_folder, *sources, "--out", "videos") == 0
        assert "left out (written by an earlier command" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in (tmp_path / "videos").iterdir()} == before


def test_a_video_is_never_taken_for_the_place_of_a_report(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_test_video(tmp_path / "b.mp4", num_frames=2)
    before = other.read_bytes()
    for switches in ([], ["--overwrite"]):
        assert predict(model_folder, video, "--json", other, "--out", tmp_path / "out", *switches) == 2
        assert "b.mp4: exists and is no JSON file; --json takes a path" in capsys.readouterr().err
        assert other.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_only_bad_sources_are_a_failure(
    model_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert predict(model_folder, "a.mp4", "b.mp4") == 1
    assert "none of the 2 sources could be predicted" in capsys.readouterr().err
    left = {path.name for path in (tmp_path / "runs/predict").rglob("*") if path.is_file()}
    assert left == {"manifest.jsonl", "manifest.settings", "written.json"}


def bad_source(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "empty":
            path.touch()
        case "text":
            path.write_text("not a video\n" * 50)
        case "sound":
            write_sound(path)
        case "truncated":
            cut(write_test_video(folder / "whole.mp4"), 0.5).rename(path)
        case "hole":
            path = folder / "frames"
            path.mkdir()
            for index in (0, 1, 3):
                write_youtube_vis(folder / "set", num_videos=1, num_frames=1)
                source = folder / "set/train/JPEGImages/video0/00000.png"
                (path / f"{index}.png").write_bytes(source.read_bytes())
    return path


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("missing", 2, "no such file"),
        ("empty", 1, "is empty"),
        ("text", 1, "not a video"),
        ("sound", 1, "sound only"),
        ("truncated", 1, "cut off"),
        ("hole", 1, "frame 2 is missing after 1.png"),
    ],
)
def test_a_bad_source_is_one_sentence_and_leaves_nothing(
    model_folder: str, tmp_path: Path, kind: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = bad_source(tmp_path, kind)
    assert predict(model_folder, source, "--out", tmp_path / "out") == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert str(source) in error
    assert not (tmp_path / "out").exists() or written(tmp_path / "out") == []


def test_a_video_cut_off_late_finishes_with_its_lost_frames_listed(
    model_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cut(write_test_video(tmp_path / "a.mp4", num_frames=30, picture=noise, faststart=True), 0.7)
    assert predict(model_folder, path, "--out", tmp_path / "out") == 0
    frames = json.loads((tmp_path / "out/cut_a.json").read_text())["frames"]
    assert frames["declared"] == 30
    assert frames["decoded"] + len(frames["skipped"]) == 30
    assert f"{frames['decoded']} frames, {len(frames['skipped'])} lost" in capsys.readouterr().out


def test_a_split_gets_results_for_the_leaderboard(model_folder: str, tmp_path: Path) -> None:
    truth = write_youtube_vis(tmp_path / "data", split="valid", num_frames=10)
    out = tmp_path / "out"
    assert predict(model_folder, tmp_path / "data", "--split", "valid", "--out", out, "--no-overlay") == 0
    assert written(out) == ["results.json", "video0.json", "video1.json"]
    entries = json.loads((out / "results.json").read_text())
    assert {entry["video_id"] for entry in entries} == {video["id"] for video in truth["videos"]}
    assert {entry["category_id"] for entry in entries} <= {7, 3}
    assert all(len(entry["segmentations"]) == 10 for entry in entries)
    assert any(mask is None or mask["size"] == [24, 40] for entry in entries for mask in entry["segmentations"])
    assert main(["score", str(tmp_path / "data/valid.json"), str(out / "results.json"), "--json"]) == 0


def test_a_split_with_a_damaged_video_keeps_the_others(model_folder: str, tmp_path: Path) -> None:
    write_youtube_vis(tmp_path / "data", split="valid")
    (tmp_path / "data/valid/JPEGImages/video0/00003.png").unlink()
    assert predict(model_folder, tmp_path / "data", "--split", "valid", "--out", tmp_path / "out", "--no-overlay") == 3
    entries = json.loads((tmp_path / "out/results.json").read_text())
    assert {entry["video_id"] for entry in entries} == {12}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--clip-frames", "0"], "clip-frames 0: must be at least 1"),
        (["--clip-overlap", "8"], "clip-overlap 8: must be at least 0 and below"),
        (["--short-side", "1"], "short-side 1: must be at least 16"),
        (["--frame-rate", "0"], "--frame-rate 0: expected frames per second from 0.001 to 1000"),
        (["--device", "abacus"], "'abacus' is unknown"),
        (["--spilt", "valid"], "--split"),
        (["--split", "valid"], "no such folder|no split|not a folder"),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(
    model_folder: str, video: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(model_folder, video, "--out", tmp_path / "out", *words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_no_source_and_no_run_are_refused(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(model_folder) == 2
    assert predict(str(tmp_path / "nothing"), video, "--out", tmp_path / "out") == 2
    assert "give video files, folders of frames or patterns" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert predict(model_folder, video, "--out", tmp_path / "file") == 2
    assert predict(model_folder, video, "--out", tmp_path / "file" / "inside") == 2
    assert predict(model_folder, video, "--out", tmp_path / "out", "--json", tmp_path / "file" / "a.json") == 2
    error = capsys.readouterr().err
    assert error.count("choose another --out") == 2
    assert error.count("choose another --json") == 1
    assert not (tmp_path / "out").exists()


def test_a_write_protected_folder_is_refused(model_folder: str, video: Path) -> None:
    with open_folder() as folder:
        model, film = shutil.copytree(model_folder, folder / "model"), shutil.copy(video, folder / "film.mp4")
        (model / "model.safetensors").chmod(0o644)
        (folder / "out").mkdir(mode=0o500)
        status, written = as_nobody(lambda: predict(str(model), film, "--out", folder / "out"))
        assert status == 2, written
        assert "choose another --out" in written
        assert list((folder / "out").iterdir()) == []


def test_a_source_is_never_overwritten(model_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mp4", "a_overlay.mp4"):
        write_test_video(tmp_path / name, num_frames=2, picture=moving_blocks)
    before = (tmp_path / "a_overlay.mp4").read_bytes()
    sources = [tmp_path / "a.mp4", tmp_path / "a_overlay.mp4"]
    assert predict(model_folder, *sources, "--out", tmp_path) == 2
    assert "a_overlay.mp4: is read by this command and would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "a_overlay.mp4").read_bytes() == before


def test_everything_that_can_be_taken_away_is_written(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    kinds = "masks,cutouts,alpha,csv,youtube-vis,coco"
    assert predict(model_folder, video, "--out", out, "--save", kinds, "--no-overlay", "--json") == 0
    assert written(out) == [
        *("blocks.csv", "blocks.json", "blocks_alpha.webm", "blocks_coco.json", "blocks_cutouts", "blocks_masks"),
        "blocks_youtube_vis.json",
    ]
    (report,) = json.loads(capsys.readouterr().out)["videos"]
    assert sorted(report["saved"].values()) == sorted(str(out / name) for name in written(out) if name != "blocks.json")
    masklets = Masklets.load(out / "blocks.json")
    assert json.loads((out / "blocks_coco.json").read_text()) == masklets.to_coco()
    assert len(written(out / "blocks_masks")) == 18


def test_classes_and_region_leave_out_the_rest(model_folder: str, video: Path, tmp_path: Path) -> None:
    for name, words in {
        "all": (),
        "classes": ("--classes", "line"),
        "region": ("--region", "0,0,41,48"),
    }.items():
        assert predict(model_folder, video, "--out", tmp_path / name, "--no-overlay", "--save", "csv", *words) == 0
    every, lines, left = (Masklets.load(tmp_path / name / "blocks.json") for name in ("all", "classes", "region"))
    assert [one.to_dict() for one in lines] == [one.to_dict() for one in every if one.category_id == 3]
    assert all(box[0] + box[2] / 2 < 41 for one in left for box in one.boxes if box is not None)
    seen = sum(box is not None and box[2] > 0 and box[0] + box[2] / 2 < 41 for one in every for box in one.boxes)
    assert sum(box is not None for one in left for box in one.boxes) == seen > 0
    assert len((tmp_path / "region/blocks.csv").read_text().splitlines()) == seen + 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--save", "csv,mask"), "--save 'mask': did you mean 'masks'?"),
        (("--classes", "lines"), "--classes 'lines': did you mean 'line'?"),
        (("--region", "1,2,3"), "--region '1,2,3': expected x,y,width,height"),
    ],
)
def test_a_wrong_choice_is_refused_before_any_work(
    words: tuple[str, str],
    sentence: str,
    model_folder: str,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert predict(model_folder, video, "--out", tmp_path / "out", *words) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_replaced(
    model_folder: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "blocks_masks" / "own.png"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert predict(model_folder, video, "--out", tmp_path, "--save", "masks", "--no-overlay") == 2
    assert "blocks_masks" in capsys.readouterr().err
    assert own.read_bytes() == b"mine"
