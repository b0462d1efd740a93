"""Sources and results in a store; here one that lives in this process, an object store over the loopback at night."""

import json
from pathlib import Path

import fsspec
import pytest

from maskreel.cli.main import main
from maskreel.errors import UsageError
from maskreel.manifest import MANIFEST
from maskreel.storage import Store, is_stored, told_of
from maskreel.video.sources import find_sources
from tests.cli.test_predict import predict, random_model
from tests.video.videos import write_test_video


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """Two videos in a folder of a store, and a folder of frames."""
    from PIL import Image

    store = Store("memory://bucket/videos")
    store.remove("")
    Store("memory://bucket/out").remove("")
    for number in range(2):
        path = write_test_video(tmp_path / f"v{number}.mp4", num_frames=3 + number)
        store.put(path.name, path)
    for number in range(3):
        Image.new("RGB", (40, 24), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
        Store("memory://bucket/frames").put(f"{number}.png", tmp_path / f"{number}.png")
    return "memory://bucket"


def test_addresses_of_stores_are_told_from_those_that_are_streamed() -> None:
    words = (
        "s3://bucket/a.mp4",
        "gs://bucket/folder",
        "memory://x",
        "http://host/a.mp4",
        "rtsp://host",
        "a.mp4",
        "C:/a",
    )
    assert [is_stored(word) for word in words] == [True, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("videos", ["videos/v0.mp4", "videos/v1.mp4"]),
        ("videos/v1.mp4", ["videos/v1.mp4"]),
        ("videos/*0.mp4", ["videos/v0.mp4"]),
        ("frames", ["frames"]),
    ],
)
def test_files_folders_and_patterns_of_a_store_are_found(word: str, names: list[str], bucket: str) -> None:
    found = find_sources([f"{bucket}/{word}"])
    assert [source.name.replace("memory:///", "memory://") for source in found] == [
        f"{bucket}/{name}" for name in names
    ]


def test_frames_of_a_store_are_fetched_and_removed_behind(bucket: str) -> None:
    (source,) = find_sources([f"{bucket}/frames"])
    opened = source.open()
    folder = opened._files.folder  # type: ignore[attr-defined]
    assert [frame.pixels[0, 0, 0] for frame in opened] == [0, 80, 160]
    assert folder.is_dir()
    del opened
    assert not folder.exists()


def test_results_in_a_store_are_those_of_a_folder_and_are_resumed(
    bucket: str, model_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{bucket}/videos", "--no-overlay", "--save", "masks"]
    assert predict(model_folder, *words, "--out", tmp_path / "out") == 0
    assert predict(model_folder, *words, "--out", f"{bucket}/out") == 0
    store = Store(f"{bucket}/out")
    here = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert store.names() == here - {"written.json"}
    for name in ("v0.json", "v1.json"):
        store.get(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    fsspec.filesystem("memory").pipe_file("/bucket/out/v1.json", b"{}")
    capsys.readouterr()
    assert predict(model_folder, *words, "--out", f"{bucket}/out", "--resume", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["resumed"], report["out"]) == (1, f"{bucket}/out")
    assert [one["masklets"] for one in report["videos"]] == [f"{bucket}/out/v1.json"]
    store.get("v1.json", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out/v1.json").read_bytes()
    assert "v1.json.changed-1" in store.names()
    store.get(MANIFEST, tmp_path / MANIFEST)
    assert len((tmp_path / MANIFEST).read_text().splitlines()) == 2
    fsspec.filesystem("memory").rm_file(f"/bucket/out/{MANIFEST}")
    assert predict(model_folder, *words, "--out", f"{bucket}/out") == 2
    assert predict(model_folder, *words, "--out", f"{bucket}/out", "--resume") == 2
    assert capsys.readouterr().err.count("no manifest there lists it") == 2
    # A command that is killed has sent results that its manifest does not list yet.
    fsspec.filesystem("memory").pipe_file(f"/bucket/out/{MANIFEST}", b"")
    assert predict(model_folder, *words, "--out", f"{bucket}/out", "--resume") == 0
    store.get("v1.json", tmp_path / "more.json")
    assert (tmp_path / "more.json").read_bytes() == (tmp_path / "out/v1.json").read_bytes()


def test_what_is_missing_or_refused_is_one_sentence(
    bucket: str, model_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(model_folder, f"{bucket}/none.mp4") == 2
    assert "none.mp4: no such file or folder in the storage" in capsys.readouterr().err
    assert main(["predict", model_folder, "gs://bucket/a.mp4"]) == 2
    assert "gs://bucket/a.mp4" in capsys.readouterr().err
    with (
        pytest.raises(UsageError, match=r"s3://x: the storage refuses \(Forbidden\); see to its credentials"),
        told_of("s3://x"),
    ):
        raise PermissionError("Forbidden")
