"""Uploads and results: limits, privacy, deletion; with a predictor that needs no network."""

import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from maskreel.errors import DataError
from maskreel.geometry.masklets import Masklets
from maskreel.inference.options import PredictorOptions
from maskreel.inference.predictor import VideoPredictor
from maskreel.serve import results as room
from maskreel.serve.limits import Limits
from maskreel.serve.results import DOWNLOADS, Progress, Result, Results
from maskreel.video.files import VideoFile
from tests.browser.clips import Blocks
from tests.video.videos import cut, noise, write_sound, write_test_video


class KnownObjects(VideoPredictor):
    """A predictor that finds the blocks of a clip, however its pixels look."""

    def __init__(self) -> None:
        self.options = PredictorOptions()

    def session(self, **_: object) -> "KnownSession":  # type: ignore[override]
        return KnownSession()


class KnownSession:
    def __init__(self) -> None:
        self.num_frames = 0

    def push(self, frame: object) -> None:
        self.num_frames += 1

    def finish(self) -> None: ...

    def video(self, source: VideoFile) -> "KnownSession":
        self.size = source.size
        return self

    def masklets(self, least: float) -> Masklets:
        return Blocks(self.num_frames, *self.size, name="the video").result()


@pytest.fixture
def results() -> Iterator[Results]:
    made = Results(KnownObjects(), Limits(megabytes=1, seconds=5.0, side=200, frames=100))
    yield made
    made.close()


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    return write_test_video(tmp_path / "upload.mp4", num_frames=20)


def found(results: Results, upload: Path, visitor: str = "somebody") -> Result:
    *_, last = results.find(upload, visitor)
    assert isinstance(last, Result)
    return last


def test_a_video_becomes_a_page(results: Results, upload: Path) -> None:
    news = list(results.find(upload, "somebody"))
    assert [one.frames for one in news[:-1] if isinstance(one, Progress)] == list(range(21))
    result = news[-1]
    assert isinstance(result, Result)
    page = results.page(result.token)
    assert page is not None
    assert 'data-kind="cutouts"' in page
    assert '"least":0.3' in page


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_every_download_opens_and_has_the_objects_from_a_score_on(kind: str, results: Results, upload: Path) -> None:
    path = results.download(found(results, upload).token, kind, 0.5)
    assert path is not None
    if kind == "json":
        assert [one.score for one in Masklets.load(path)] == [0.92, 0.71]
    elif kind == "youtube-vis":
        assert [entry["score"] for entry in json.loads(path.read_text())] == [0.92, 0.71]
    elif kind == "csv":
        assert {line.split(",")[2] for line in path.read_text().splitlines()[1:]} == {"1", "2"}
    elif kind == "overlay":
        assert len(list(VideoFile(path))) == 20
    else:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert {name.split("/")[0] for name in archive.namelist()} == {"001", "002"}


def test_nobody_gets_a_result_without_its_name(results: Results, upload: Path) -> None:
    result = found(results, upload)
    assert len(result.token) >= 40
    for token in ("", "..", result.token[:-1], result.token + "x", f"../{result.token}"):
        assert results.page(token) is None
        assert results.download(token, "json", 0.0) is None
    assert results.download(result.token, "../video", 0.0) is None


def test_a_visitor_who_leaves_takes_everything_along(results: Results, upload: Path, tmp_path: Path) -> None:
    mine = found(results, upload, "me")
    other = found(results, write_test_video(tmp_path / "other.mp4", num_frames=5), "you")
    results.forget("me")
    assert results.page(mine.token) is None
    assert not mine.folder.exists()
    assert results.page(other.token) is not None


def test_results_are_forgotten_after_a_while_and_when_there_are_many(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST", 2)
    made = [found(results, write_test_video(tmp_path / f"{n}.mp4", num_frames=3)) for n in range(3)]
    assert [results.page(one.token) is not None for one in made] == [False, True, True]
    monkeypatch.setattr(room, "KEPT", 0.0)
    assert results.page(made[2].token) is None
    assert not made[2].folder.exists()


def test_the_end_of_the_server_deletes_everything(results: Results, upload: Path) -> None:
    found(results, upload)
    results.close()
    assert not results.folder.exists()


def test_cancelling_leaves_nothing(results: Results, upload: Path) -> None:
    running = results.find(upload, "somebody")
    for _ in range(5):
        next(running)
    running.close()
    assert list(results.folder.iterdir()) == []
    results.forget("somebody")
    assert not upload.exists()


def test_an_upload_stays_while_anybody_holds_it(results: Results, upload: Path) -> None:
    results.hold(upload, "second")
    found(results, upload, "first")
    results.forget("first")
    assert upload.exists()
    found(results, upload, "second")
    results.forget("second")
    assert not upload.exists()


def test_a_visitor_who_leaves_ends_the_work_on_what_was_sent(results: Results, upload: Path) -> None:
    running = results.find(upload, "somebody")
    for _ in range(5):
        next(running)
    results.forget("somebody")
    assert list(running) == []
    assert list(results.folder.iterdir()) == []


def test_nothing_is_kept_for_a_visitor_who_leaves_after_the_last_frame(results: Results, upload: Path) -> None:
    running = results.find(upload, "somebody")
    for _ in range(21):
        next(running)
    results.forget("somebody")
    assert list(running) == []
    assert list(results.folder.iterdir()) == []


def test_what_was_sent_and_never_looked_at_goes_after_a_while_and_examples_stay(
    results: Results, upload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.examples = [tmp_path / "example.mp4"]
    shutil.copyfile(upload, results.examples[0])
    kept = {name: results.uploads / name / "video.mp4" for name in ("example", "old", "new", "held")}
    for name, path in kept.items():
        path.parent.mkdir(parents=True)
        shutil.copyfile(upload, path)
        with path.open("ab") as file:
            file.write(b"" if name == "example" else b"x")
        if name != "new":
            os.utime(path, (0, 0))
    broken_off = results.uploads / "tmpabc"
    broken_off.touch()
    os.utime(broken_off, (0, 0))
    results.hold(kept["held"], "somebody")
    emptied = results.uploads / "emptied"
    emptied.mkdir()
    os.utime(emptied, (0, 0))
    monkeypatch.setattr(room, "SWEEP", 0.01)
    with closing(Results(KnownObjects(), Limits())) as swept:
        swept.uploads, swept.examples = results.uploads, results.examples
        end = time.monotonic() + 30
        while kept["old"].exists() or broken_off.exists() or emptied.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
    assert {name for name, path in kept.items() if path.exists()} == {"example", "new", "held"}


def test_the_folder_of_an_upload_that_is_just_arriving_stays(results: Results, upload: Path) -> None:
    """It is made empty, and the file is moved into it while other visitors come and go."""
    arriving = results.uploads / "0123abcd"
    arriving.mkdir(parents=True)
    results.page(found(results, upload).token)
    results.forget_old()
    assert arriving.is_dir()


def test_a_path_is_that_of_an_upload_or_an_example_or_nobodys(results: Results, upload: Path, tmp_path: Path) -> None:
    results.examples = [tmp_path / "example.mp4"]
    inside = results.uploads / "0123" / "video.mp4"
    inside.parent.mkdir(parents=True)
    shutil.copyfile(upload, inside)
    way_out = inside.with_name("way-out.mp4")
    way_out.symlink_to(upload)
    assert results.is_sent(inside)
    assert results.is_sent(results.examples[0])
    for path in (upload, way_out, inside / "../../../somebody/video", Path("/etc/passwd"), Path("http://page/a.mp4")):
        assert not results.is_sent(path), path
    assert not results.is_sent(results.uploads.with_name("uploads-of-others") / "video.mp4")


def test_an_example_is_never_deleted(results: Results, upload: Path, tmp_path: Path) -> None:
    results.examples = [tmp_path / "example.mp4"]
    shutil.copyfile(upload, results.examples[0])
    found(results, upload, "somebody")
    results.forget("somebody")
    assert upload.exists()


def test_an_upload_that_has_gone_is_told(results: Results, upload: Path) -> None:
    upload.unlink()
    with pytest.raises(DataError, match="send it once more"):
        list(results.find(upload, "somebody"))


def bad_upload(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "text":
        path.write_text("this is no video")
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        return cut(write_test_video(path, num_frames=20), 0.5)
    elif kind == "sound":
        return write_sound(path)
    elif kind == "large":
        path.write_bytes(b"\0" * 1_200_000)
    elif kind == "wide":
        write_test_video(path, num_frames=2, picture=lambda index: noise(index, size=(48, 240)))
    elif kind == "long":
        write_test_video(path, num_frames=101)
    else:
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path


KINDS = ("text", "empty", "cut", "sound", "large", "wide", "long", "noise")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_upload_is_one_sentence_and_leaves_nothing(kind: str, results: Results, tmp_path: Path) -> None:
    path = bad_upload(kind, tmp_path)
    with pytest.raises(DataError) as refused:
        list(results.find(path, "somebody"))
    said = str(refused.value)
    assert str(tmp_path) not in said
    assert "\n" not in said
    assert list(results.folder.iterdir()) == []
    assert not path.exists()


def test_a_length_that_the_file_denies_is_noticed_on_the_way(results: Results, tmp_path: Path) -> None:
    path = write_test_video(tmp_path / "slow.mp4", num_frames=20)
    frames = list(VideoFile(path))
    limits = Limits(seconds=frames[10].time)
    with pytest.raises(DataError, match="too long"):
        list(limits.watched(VideoFile(path)))
    assert len(list(Limits(seconds=frames[-1].time).watched(VideoFile(path)))) == 20


def test_the_model_runs_in_one_thread_whoever_asks(
    results: Results, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread that runs it keeps hundreds of megabytes, and the page asks from another one for every frame."""
    seen = []

    class Watched(KnownSession):
        def push(self, frame: object) -> None:
            seen.append(threading.get_ident())
            super().push(frame)

        def finish(self) -> None:
            seen.append(threading.get_ident())

    monkeypatch.setattr(KnownObjects, "session", lambda _: Watched())
    running = results.find(upload, "somebody")
    for _ in range(22):
        asking = threading.Thread(target=next, args=(running,))
        asking.start()
        asking.join()
    assert len(seen) == 21
    assert len(set(seen)) == 1


@pytest.mark.slow
def test_many_visitors_at_once_get_their_own_results(results: Results, tmp_path: Path) -> None:
    uploads = [write_test_video(tmp_path / f"{n}.mp4", num_frames=3 + n) for n in range(20)]
    made: dict[int, Result] = {}

    def visit(number: int) -> None:
        made[number] = found(results, uploads[number], f"visitor {number}")

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: one.masklets.decoded for number, one in made.items()} == {n: 3 + n for n in range(20)}
    assert len({one.token for one in made.values()}) == 20
    for number in range(20):
        results.forget(f"visitor {number}")
    assert list(results.folder.iterdir()) == []


@pytest.mark.slow
def test_two_hundred_bad_uploads_leave_nothing(results: Results, tmp_path: Path) -> None:
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(DataError):
            list(results.find(bad_upload(KINDS[number % len(KINDS)], folder), "somebody"))
        shutil.rmtree(folder)
    assert list(results.folder.iterdir()) == []
