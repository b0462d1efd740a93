"""The page of `maskreel serve` in a browser, with a predictor that knows its objects."""

import json
import logging
import secrets
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskreel.serve.limits import Limits
from maskreel.serve.results import Results, keep_uploads_in
from maskreel.visualize.video import TimedImage, write_video
from tests.browser.chromium import FAINT, PHONE, WIDE, browser, screenshot, until
from tests.browser.clips import Blocks
from tests.browser.test_report import PICTURES
from tests.serve.test_results import KnownObjects, KnownSession

pytest.importorskip("gradio")
pytestmark = pytest.mark.nightly


class SlowObjects(KnownObjects):
    """Takes its time, so that one can watch and cancel."""

    pause = 0.0

    def session(self, **_: object) -> KnownSession:  # type: ignore[override]
        pause = self.pause

        class Slow(KnownSession):
            def push(self, frame: object) -> None:
                time.sleep(pause)
                super().push(frame)

        return Slow()


class Served:
    """A server in a thread of this process."""

    def __init__(self, password: str | None = None) -> None:
        import uvicorn

        from maskreel.serve import app

        self.predictor = SlowObjects()
        self.results = Results(self.predictor, Limits(megabytes=5, seconds=60.0, side=400, frames=500))
        keep_uploads_in(self.results.uploads)
        application = app.application(self.results, title="Maskreel: known", password=password)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)
        self.results.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()
    assert not made.results.folder.exists()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with browser() as started:
        yield started


@pytest.fixture
def visit(chromium, served: Served) -> Iterator:
    contexts = []

    def open_page():
        context = chromium.new_context(viewport=WIDE, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.outside = []
        page.on(
            "request",
            lambda request: (
                page.outside.append(request.url)
                if not request.url.startswith((served.address, "data:", "blob:"))
                else None
            ),
        )
        page.goto(served.address)
        page.get_by_role("button", name="find the objects").wait_for()
        return page

    yield open_page
    served.predictor.pause = 0.0
    for context in contexts:
        context.close()


def video(path: Path, num_frames: int = 20, width: int = 320) -> Path:
    clip = Blocks(num_frames, 180, width)
    frames = (TimedImage(frame.time, frame.pixels, frame.duration) for frame in clip)
    write_video(path, frames, frame_rate=clip.frame_rate)
    return path


def send(page, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)
    page.locator("video").first.wait_for(state="attached")
    page.get_by_role("button", name="find the objects").click()


def said(page, words: str) -> str:
    until(page, f"document.querySelector('#said').innerText.includes({json.dumps(words)})")
    return page.locator("#said").inner_text()


def test_a_video_is_sent_watched_played_and_taken_away(visit, served: Served, tmp_path: Path) -> None:
    served.predictor.pause = 0.1
    page = visit()
    assert page.evaluate(FAINT) == []
    assert "up to 5 MB, 1 minute, 500 frames and 400 pixels" in page.locator("body").inner_text()
    send(page, video(tmp_path / "mine.mp4"))
    said(page, "of 20 frames")
    said(page, "3 objects in 20 frames")
    frame = page.frame_locator("#shown iframe")
    assert frame.locator("tbody tr").count() == 3
    inside = page.frames[-1]
    inside.evaluate("(v => { v.playbackRate = 4; v.play() })(document.querySelector('video'))")
    until(inside, "document.querySelector('video').ended")
    frame.get_by_role("button", name="solo disc 2").click()
    assert inside.evaluate("document.documentElement.dataset.drawn") in ("2", "")
    frame.get_by_label("score from").fill("0.8")
    for kind, check in {
        "json": lambda path: [one["score"] for one in json.loads(path.read_text())["masklets"]] == [0.92],
        "csv": lambda path: {line.split(",")[2] for line in path.read_text().splitlines()[1:]} == {"1"},
        "cutouts": lambda path: len(zipfile.ZipFile(path).namelist()) == 20,
    }.items():
        with page.expect_download() as download:
            frame.locator(f"a.download[data-kind={kind}]").click()
        target = tmp_path / f"taken-{kind}"
        download.value.save_as(target)
        assert check(target), kind
    assert page.outside == []
    assert page.evaluate(FAINT) == []
    assert inside.evaluate(FAINT) == []
    screenshot(page, PICTURES, "serve_wide")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    screenshot(page, PICTURES, "serve_phone")


def test_cancel_stops_the_work_and_leaves_nothing(visit, served: Served, tmp_path: Path) -> None:
    served.predictor.pause = 0.5
    page = visit()
    before = set(served.results.folder.iterdir())
    send(page, video(tmp_path / "mine.mp4"))
    said(page, "Looked at")
    page.get_by_role("button", name="cancel").click()
    said(page, "Cancelled")
    end = time.monotonic() + 60
    while set(served.results.folder.iterdir()) - before - {served.results.uploads}:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_cancelling_a_video_that_waits_for_its_turn_takes_it_out_of_the_queue(
    visit, served: Served, tmp_path: Path
) -> None:
    served.predictor.pause = 0.2
    first, second = visit(), visit()
    send(first, video(tmp_path / "first.mp4", num_frames=15))
    said(first, "Looked at")
    send(second, video(tmp_path / "second.mp4", num_frames=16))
    said(second, "begins when those before it are done")
    second.get_by_role("button", name="cancel").click()
    said(second, "Cancelled")
    said(first, "in 15 frames")
    second.wait_for_timeout(1000)
    assert "Cancelled" in second.locator("#said").inner_text()


def test_bad_files_are_one_sentence_and_make_room_for_the_next(visit, tmp_path: Path) -> None:
    page = visit()
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    send(page, text)
    assert said(page, "cannot be used").count(".") == 1
    send(page, video(tmp_path / "wide.mp4", num_frames=2, width=480))
    assert "at most 400" in said(page, "480 x 180")
    send(page, video(tmp_path / "good.mp4", num_frames=4))
    said(page, "in 4 frames")


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(visit, served: Served, tmp_path: Path) -> None:
    page = visit()
    large = tmp_path / "large.mp4"
    large.write_bytes(b"0" * 6_000_000)
    before = set(served.results.uploads.rglob("*"))
    page.locator("input[type=file]").first.set_input_files(large)
    refusal = page.get_by_text("exceed the maximum allowed size of 5")
    refusal.wait_for()
    assert page.locator("video").count() == 0
    assert set(served.results.uploads.rglob("*")) == before
    screenshot(page, PICTURES, "serve_too_large")


@pytest.mark.parametrize(("files", "has_length"), [(1, True), (3, True), (3, False)])
def test_the_server_itself_takes_no_more_than_it_says(files: int, has_length: bool, served: Served) -> None:
    body = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%d.mp4"\r\n\r\n%s\r\n'
        % (number, b"%d" % number * (6_000_000 if files == 1 else 4_000_000))
        for number in range(files)
    )
    pieces = iter([body, b"--edge--\r\n"])
    asked = urllib.request.Request(
        served.address + "/gradio_api/upload",
        data=b"".join(pieces) if has_length else pieces,
        headers={"Content-Type": "multipart/form-data; boundary=edge"},
    )
    before = set(served.results.uploads.rglob("*"))
    with pytest.raises((urllib.error.URLError, ConnectionError)) as refused:
        urllib.request.urlopen(asked, timeout=60)
    if isinstance(refused.value, urllib.error.HTTPError):
        assert refused.value.code == 413
        assert refused.value.read().decode().count("\n") == 0
    if has_length:
        assert set(served.results.uploads.rglob("*")) == before


def test_who_leaves_while_sending_is_no_error_of_the_server(served: Served) -> None:
    kept: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = kept.append  # type: ignore[method-assign]
    log = logging.getLogger("uvicorn.error")
    log.addHandler(listener)
    header = "POST /gradio_api/upload HTTP/1.1\r\nHost: page\r\nContent-Length: 100000\r\nContent-Type: "
    part = (
        'multipart/form-data; boundary=edge\r\n\r\n--edge\r\nContent-Disposition: form-data; name="files"; filename="a"'
    )
    with socket.create_connection(("127.0.0.1", int(served.address.rpartition(":")[2]))) as connection:
        connection.sendall(f"{header}{part}\r\n\r\nhalf".encode())
        time.sleep(1)
    time.sleep(1)
    log.removeHandler(listener)
    assert kept == []


def asked_for(served: Served, sent: object) -> tuple[bool, str]:
    """What the server answers to a request that names a video, whoever wrote it: did it go well, and its words."""
    with urllib.request.urlopen(served.address + "/config") as answer:
        (find,) = (one["id"] for one in json.load(answer)["dependencies"] if one["api_name"] == "find")
    session = secrets.token_hex(8)
    body = json.dumps({"data": [sent], "fn_index": find, "session_hash": session}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(served.address + "/gradio_api/queue/join", body, headers)).close()
    with urllib.request.urlopen(f"{served.address}/gradio_api/queue/data?session_hash={session}") as lines:
        for line in lines:
            if b"process_completed" in line:
                news = json.loads(line.removeprefix(b"data:"))
                return news["success"], json.dumps(news["output"])
    raise AssertionError("no answer")


@pytest.mark.parametrize("extra", [{}, {"is_stream": True}])
@pytest.mark.parametrize("place", ["file", "folder", "result", "address", "up"])
def test_a_request_names_no_file_of_the_server(place: str, extra: dict, served: Served, tmp_path: Path) -> None:
    mine = video(tmp_path / "mine.mp4", num_frames=3)
    before = set(served.results.uploads.rglob("*"))
    kept = served.results.folder / "another"
    kept.mkdir(exist_ok=True)
    shutil.copyfile(mine, kept / "video")
    path = {
        "file": str(mine),
        "folder": str(tmp_path),
        "result": str(kept / "video"),
        "address": f"{served.address}/robots.txt",
        "up": str(served.results.uploads / ".." / "another" / "video"),
    }[place]
    _, words = asked_for(served, {"path": path, "meta": {"_type": "gradio.FileData"}, **extra})
    assert "it was not sent with this page" in words
    assert str(tmp_path) not in words
    assert mine.exists()
    assert (kept / "video").exists()
    assert set(served.results.uploads.rglob("*")) == before
    shutil.rmtree(kept)


def test_recordings_of_the_screen_are_not_taken(served: Served) -> None:
    asked = urllib.request.Request(served.address + "/gradio_api/process_recording", data=b"x")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    assert refused.value.code == 404


def test_the_keyboard_alone_sends_a_video_and_looks_at_its_objects(visit, served: Served, tmp_path: Path) -> None:
    page = visit()
    focused = "(e => (e.title || e.ariaLabel || e.getAttribute('aria-label') || e.innerText || e.tagName).trim())"

    def tab_to(words: str, inside=None) -> None:
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append((inside or page).evaluate(f"{focused}(document.activeElement)"))
            if words in seen[-1]:
                return
        raise AssertionError(f"{words} is not among {seen}")

    tab_to("Drop a video file here")
    choosers: list = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    while not choosers:  # a key that is pressed before the page listens is lost
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
    choosers[-1].set_files(video(tmp_path / "mine.mp4", num_frames=12))
    page.locator("video").first.wait_for(state="attached")
    tab_to("find the objects")
    page.keyboard.press("Enter")
    said(page, "in 12 frames")
    tab_to("the result")
    inside = page.frames[-1]
    tab_to("solo disc 2", inside)
    page.keyboard.press("Space")
    assert inside.evaluate("document.documentElement.dataset.drawn") == "2"
    tab_to("where disc 2 is seen", inside)
    page.keyboard.press("ArrowRight")
    until(inside, "document.documentElement.dataset.frame === '1'")
    tab_to("cut-outs with alpha", inside)
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert zipfile.ZipFile(download.value.path()).testzip() is None


def test_two_visitors_at_once_see_their_own(visit, tmp_path: Path) -> None:
    pages = [visit(), visit()]
    for number, page in enumerate(pages):
        send(page, video(tmp_path / f"{number}.mp4", num_frames=10 + number))
    for number, page in enumerate(pages):
        said(page, f"in {10 + number} frames")
    addresses = [page.locator("#shown iframe").get_attribute("src") for page in pages]
    assert addresses[0] != addresses[1]


def test_a_visitor_who_leaves_leaves_nothing(visit, served: Served, tmp_path: Path) -> None:
    page = visit()
    send(page, video(tmp_path / "mine.mp4", num_frames=7))
    said(page, "in 7 frames")
    token = page.locator("#shown iframe").get_attribute("src").rpartition("/")[2]
    assert served.results.page(token) is not None
    page.close()
    end = time.monotonic() + 60
    while served.results.page(token) is not None:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_visitor_who_leaves_in_the_middle_stops_the_work_and_leaves_nothing(
    visit, served: Served, tmp_path: Path
) -> None:
    served.predictor.pause = 0.3
    page = visit()
    before = set(served.results.folder.rglob("*"))
    send(page, video(tmp_path / "mine.mp4", num_frames=200))
    said(page, "Looked at")
    page.close()
    end = time.monotonic() + 40
    while {path for path in set(served.results.folder.rglob("*")) - before if path.is_file()}:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_with_a_password_nothing_is_shown_without_it() -> None:
    guarded = Served(password="opensesame")
    try:
        for path in ("/", "/result/x", "/gradio_api/info", "/config"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(guarded.address + path)
            assert refused.value.code == 401, path
        asked = urllib.request.Request(guarded.address, headers={"Authorization": "Basic eDpvcGVuc2VzYW1l"})
        assert urllib.request.urlopen(asked).status == 200
    finally:
        guarded.close()
