"""`maskreel serve` as a process: twenty visitors at once, two hundred bad files, and nothing left of either."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_serve import video
from tests.serve.test_results import KINDS, bad_upload

gradio_client = pytest.importorskip("gradio_client")
pytestmark = pytest.mark.nightly

VISITORS, BAD = 20, 200


class Process:
    """The command, with a folder for temporary files of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder / "temporary"
        self.folder.mkdir()
        self.said = folder / "said"
        words = ["-m", "maskreel.cli.main", "serve", "bundled", "--port", "0", *options]
        environment = {**os.environ, "TMPDIR": str(self.folder), "PYTHONUNBUFFERED": "1"}
        with self.said.open("w") as said:
            self.process = subprocess.Popen([sys.executable, *words], stdout=said, stderr=said, env=environment)
        while (found := re.search(r"http://127\.0\.0\.1:\d+", self.said.read_text())) is None:
            assert self.process.poll() is None, self.said.read_text()
        self.address = found[0]

    def client(self) -> Any:
        # On a busy machine an answer may take longer than the five seconds that the client waits of itself.
        return gradio_client.Client(self.address, verbose=False, httpx_kwargs={"timeout": 300})

    def uploads(self) -> Path:
        return next(self.folder.glob("maskreel-serve-*/uploads"))

    def send(self, content: bytes) -> None:
        """One file, as the page sends it."""
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        urllib.request.urlopen(
            urllib.request.Request(f"{self.address}/gradio_api/upload", head + content + b"\r\n--x--\r\n", kind)
        )

    def sent(self) -> list[Path]:
        """Files of visitors; the examples belong to the server."""
        examples = {path.read_bytes() for path in self.folder.glob("maskreel-serve-*/example-*.mp4")}
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return [path for path in files if path.read_bytes() not in examples and path.suffix != ".json"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    started = Process(tmp_path_factory.mktemp("serve"), "--megabytes", "1", "--side", "400")
    try:
        yield started
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(timeout=60) in (0, 130)
    finally:
        started.process.kill()
    assert list(started.folder.iterdir()) == []
    assert "Traceback" not in started.said.read_text()


def find(client: Any, path: Path) -> tuple[str, str]:
    """What the page says at last, and the frame with the result."""
    _, said, shown = client.predict(gradio_client.handle_file(path), api_name="/find")
    return re.sub(r"<[^>]*>", "", said), shown


def test_twenty_visitors_at_once_see_their_own(served: Process, tmp_path: Path) -> None:
    def visit(number: int) -> tuple[str, int]:
        client = served.client()
        said, shown = find(client, video(tmp_path / f"{number}.mp4", num_frames=2 + number))
        address = served.address + re.search(r'src="(/result/[^"]+)"', shown)[1]  # type: ignore[index]
        with urllib.request.urlopen(address + "/json") as answer:
            decoded = json.load(answer)["frames"]["decoded"]
        client.close()
        assert f"in {2 + number} frames" in said
        return address, decoded

    with ThreadPoolExecutor(VISITORS) as pool:
        visits = list(pool.map(visit, range(VISITORS)))
    assert [decoded for _, decoded in visits] == [2 + number for number in range(VISITORS)]
    assert len({address for address, _ in visits}) == VISITORS
    with urllib.request.urlopen(served.address) as answer:
        assert answer.status == 200


def test_two_hundred_bad_files_get_a_sentence_each_and_leave_nothing(served: Process, tmp_path: Path) -> None:
    def visit(start: int) -> set[str]:
        client, sentences = served.client(), set()
        for number in range(start, BAD, 4):
            folder = tmp_path / str(number)
            folder.mkdir()
            kind = KINDS[number // 4 % len(KINDS)]
            path = video(folder / "wide.mp4", 2, width=480) if kind in ("wide", "long") else bad_upload(kind, folder)
            with path.open("ab") as file:
                file.write(number.to_bytes(4, "big"))
            if kind == "large":
                with pytest.raises(Exception, match=r"exceed|larger than what is taken|413"):
                    find(client, path)
            else:
                said, shown = find(client, path)
                assert shown == ""
                sentences.add(said)
            shutil.rmtree(folder)
        client.close()
        return sentences

    with ThreadPoolExecutor(4) as pool:
        sentences = set().union(*pool.map(visit, range(4)))
    assert len(sentences) == 3, sentences  # not readable, too wide, sound alone
    assert all(said.startswith("This video cannot be used: ") and said.endswith(".") for said in sentences)
    assert all("\n" not in said and str(served.folder) not in said for said in sentences)
    end = time.monotonic() + 60
    while served.sent():
        assert time.monotonic() < end, served.sent()
        time.sleep(0.2)
    with urllib.request.urlopen(served.address) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("route", "kind", "body"),
    [
        (
            "upload",
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=files\r\n\r\na\r\n--x--",
        ),
        ("queue/join", "application/json", b"\x00\xff"),
        ("run/find", "application/json", b'{"data": [5], "fn_index": 99}'),
        ("component_server", "multipart/form-data; boundary=x", b"--x--"),
        ("cancel", "text/plain", b"\xff"),
    ],
)
def test_a_request_that_no_page_sends_gets_a_sentence(served: Process, route: str, kind: str, body: bytes) -> None:
    request = urllib.request.Request(f"{served.address}/gradio_api/{route}", body, {"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code in (400, 422)
    if refused.value.code == 400:
        assert json.load(refused.value)["error"] == "This is not a request that the page sends."


def test_a_full_disk_is_told_to_who_sends(tmp_path: Path) -> None:
    small = Process(tmp_path)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small.uploads()], check=True)
        with pytest.raises(urllib.error.HTTPError) as refused:
            small.send(bytes(4_000_000))
        assert refused.value.code == 500
        assert json.load(refused.value)["error"] == "The server cannot take this: No space left on device."
    finally:
        small.process.kill()
        small.process.wait()
        subprocess.run(["umount", small.uploads()], check=True)
