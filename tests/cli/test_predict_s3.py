"""Sources and results in an object store that speaks S3, over the loopback."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from maskreel.manifest import MANIFEST
from tests.cli.test_predict import random_model
from tests.spread.clusters import two_nodes
from tests.video.videos import write_test_video

pytestmark = pytest.mark.nightly
KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a store with five videos in `bucket/videos`, one of them long."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{address}/moto-api/reset", method="POST")).close()
    client = pytest.importorskip("boto3").client("s3")
    client.create_bucket(Bucket="bucket")
    for number, length in enumerate((3, 4, 160, 5, 6)):
        video = write_test_video(tmp_path / "videos" / f"v{number}.mp4", num_frames=length)
        client.upload_file(str(video), "bucket", f"videos/{video.name}")
    yield client
    server.stop()


@pytest.fixture(autouse=True)
def folder_of_videos(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()


def command(model: str, *words: str) -> list[str]:
    start = [sys.executable, "-m", "maskreel.cli.main", "predict", model, "--min-score", "0", "--device", "cpu"]
    return [*start, "--no-overlay", "--quiet", *words]


def names(client: Any, prefix: str) -> list[str]:
    return [one["Key"] for one in client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])]


def stored(client: Any, prefix: str) -> dict[str, bytes]:
    return {
        name.removeprefix(prefix): client.get_object(Bucket="bucket", Key=name)["Body"].read()
        for name in names(client, prefix)
    }


def results_of(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in found.items() if name.startswith("v")}


@pytest.fixture
def whole(bucket: Any, model_folder: str, tmp_path: Path) -> dict[str, bytes]:
    """What one process makes of the same videos in a folder."""
    out = tmp_path / "whole"
    subprocess.run(command(model_folder, "s3://bucket/videos", "--out", str(out)), check=True)
    return {path.name: path.read_bytes() for path in out.glob("v*.json")}


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["one process", "two workers"])
def test_results_in_s3_are_those_of_a_folder_and_nothing_else_is_left(
    words: list[str], bucket: Any, model_folder: str, whole: dict[str, bytes]
) -> None:
    subprocess.run(command(model_folder, "s3://bucket/videos", "--out", "s3://bucket/out", *words), check=True)
    found = stored(bucket, "out/")
    assert results_of(found) == whole
    assert sorted(found) == [MANIFEST, "manifest.settings", *sorted(whole)]


def test_a_cluster_reads_and_writes_s3_as_one_process_does(
    bucket: Any, model_folder: str, whole: dict[str, bytes]
) -> None:
    with two_nodes() as cluster:
        words = ["--out", "s3://bucket/out", "--ray", "--ray-address", cluster.address, "--workers", "3"]
        subprocess.run(command(model_folder, "s3://bucket/videos", *words), check=True)
    assert results_of(stored(bucket, "out/")) == whole


def test_a_driver_that_is_killed_goes_on_from_s3(bucket: Any, model_folder: str, whole: dict[str, bytes]) -> None:
    words = command(model_folder, "s3://bucket/videos", "--out", "s3://bucket/out", "--workers", "1")
    driver = subprocess.Popen(words)
    while not names(bucket, "out/v"):
        assert driver.poll() is None
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    subprocess.run([*words, "--resume"], check=True)
    found = stored(bucket, "out/")
    assert results_of(found) == whole
    bucket.put_object(Bucket="bucket", Key="out/v3.json", Body=b"{}")
    done = subprocess.run([*words, "--resume", "--json"], check=True, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["resumed"] == len(whole) - 1
    assert results_of(stored(bucket, "out/"))["v3.json"] == whole["v3.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["s3://nowhere/videos", "--out", "OUT"], "s3://nowhere/videos: no such file or folder in the storage"),
        (["s3://bucket/videos", "--out", "s3://nowhere/out"], "s3://nowhere/out: "),
    ],
)
def test_a_bucket_that_is_not_there_is_one_sentence(
    words: list[str], sentence: str, bucket: Any, model_folder: str, tmp_path: Path
) -> None:
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    done = subprocess.run(command(model_folder, *words), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert sentence in done.stderr
    assert not stored(bucket, "out/")


class Refusing(BaseHTTPRequestHandler):
    """Answers 403 to everything."""

    def do_GET(self) -> None:
        self.send_response(403)
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("is_there", [True, False], ids=["refuses", "nobody answers"])
@pytest.mark.parametrize("is_source", [True, False], ids=["source", "out"])
def test_a_storage_that_refuses_is_one_sentence(
    is_source: bool, is_there: bool, model_folder: str, tmp_path: Path
) -> None:
    pytest.importorskip("s3fs")
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    if is_there:
        Thread(target=server.serve_forever, daemon=True).start()
    else:
        server.server_close()
    video = write_test_video(tmp_path / "videos" / "v.mp4", num_frames=2)
    words = ["s3://bucket/v.mp4", "--out", str(tmp_path / "out")]
    if not is_source:
        words = [str(video), "--out", "s3://bucket/out"]
    environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    done = subprocess.run(
        command(model_folder, *words), capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    if is_there:
        server.shutdown()
        server.server_close()
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert "s3://bucket" in done.stderr
    assert "refuses" in done.stderr or not is_there
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("v*"))
