"""What visitors sent and what was found in it: in a private folder, each under a name that nobody can guess.

An upload is deleted when it is refused, when the last visitor who holds it leaves (the same file sent by two is one
file), and `KEPT` seconds after anybody last wanted it looked at, whole or broken off. A result is forgotten, with its
link to the video, when its visitor leaves, after `KEPT` seconds, when there are more than `MOST`, and when the server
ends. Names of files are made here; none comes from outside.
"""

import filecmp
import os
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from maskreel.errors import DataError
from maskreel.geometry.masklets import Masklets
from maskreel.inference.predictor import VideoPredictor
from maskreel.serve.limits import Limits
from maskreel.video.files import VideoFile
from maskreel.visualize.report.video_report import report
from maskreel.visualize.takeaways.kinds import TAKEAWAYS, Kind
from maskreel.visualize.video import write_overlay

KEPT, MOST = 1800.0, 64
SWEEP = 60.0
"""Seconds between two looks for what has been kept for too long."""
LEAST_SCORE = 0.05
"""Objects below are nobody's; from here on the page's threshold chooses."""


@dataclass(frozen=True)
class Download:
    """A file that a visitor can take away."""

    title: str
    name: str
    """Of the file."""


DOWNLOADS = {
    "json": Download("masklets (JSON)", "objects.json"),
    "youtube-vis": Download("YouTube-VIS results", "objects_youtube_vis.json"),
    "csv": Download("boxes (CSV)", "objects.csv"),
    "overlay": Download("overlay video (mp4)", "overlay.mp4"),
    "cutouts": Download("cut-outs with alpha (zip)", "cutouts.zip"),
}
"""By the word of its address."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a prediction is."""

    frames: int
    declared: int | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Something found in a visitor's video, and the folder that holds both."""

    token: str
    visitor: str
    folder: Path
    masklets: Masklets
    made: float = field(default_factory=time.monotonic)


class Results:
    """All that is being found and that was found; safe to use from several threads."""

    def __init__(self, predictor: VideoPredictor, limits: Limits) -> None:
        self.limits, self._predictor = limits, predictor
        self.folder = Path(tempfile.mkdtemp(prefix="maskreel-serve-"))
        self.uploads = self.folder / "uploads"
        """Where the page puts what is sent."""
        self.examples: list[Path] = []
        """Videos that belong to the server; copies of them are not deleted."""
        self._holders: dict[Path, set[str]] = {}
        self._results: dict[str, Result] = {}
        self._lock, self._model = threading.Lock(), threading.Lock()
        # Every thread that runs a model keeps memory and helpers of its own, and Gradio asks from dozens.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._is_closed = threading.Event()
        threading.Thread(target=self._sweep, daemon=True, name="sweep").start()

    def is_sent(self, path: Path) -> bool:
        """Whether a path that came with a request is that of an upload or an example, and no other file's."""
        whole = path.resolve()
        return whole.is_relative_to(self.uploads.resolve()) or whole in [one.resolve() for one in self.examples]

    def hold(self, upload: Path, visitor: str) -> None:
        """A visitor has sent an upload, or wants to have it looked at, now or when it is their turn."""
        with self._lock:
            self._holders.setdefault(upload, set()).add(visitor)
        with suppress(FileNotFoundError):
            os.utime(upload)

    def find(self, upload: Path, visitor: str) -> Iterator[Progress | Result]:
        """Find the objects of an upload, and tell how it goes on; a result comes last.

        Closing the iterator cancels, and leaves nothing but the upload; a DataError leaves nothing at all. When the
        visitor leaves in the meantime, it ends without a result.
        """
        self.hold(upload, visitor)
        token = secrets.token_urlsafe(32)
        folder = self.folder / token
        folder.mkdir(mode=0o700)
        is_done = False
        try:
            video = folder / "video"
            _link(upload, video)
            source = self.limits.opened(video)
            yield Progress(frames=0, declared=source.declared)
            with self._model:
                session = self._predictor.session()
                for frame in self.limits.watched(source):
                    if not self._is_held(upload, visitor):
                        return
                    self._worker.submit(session.push, frame).result()
                    yield Progress(frames=frame.index + 1, declared=source.declared)
                self._worker.submit(session.finish).result()
                masklets = session.video(source).masklets(LEAST_SCORE)
            masklets.save(folder / "all.json")
            masklets = Masklets.load(folder / "all.json")
            least = self._predictor.options.min_score
            report(folder / "page.html", masklets, source, video_id=1, least=least, downloads=_links())
            result = Result(token=token, visitor=visitor, folder=folder, masklets=masklets)
            is_done = self._keep(result, upload)
            if is_done:
                yield result
        except DataError:
            self._release(visitor, upload)
            raise
        finally:
            if not is_done:
                shutil.rmtree(folder, ignore_errors=True)

    def page(self, token: str) -> str | None:
        """The page of a result; None where there is none of that name."""
        result = self._get(token)
        return None if result is None else (result.folder / "page.html").read_text(encoding="utf-8")

    def download(self, token: str, kind: str, least: float) -> Path | None:
        """A file with the objects from a score on; None where there is no such result or kind."""
        result = self._get(token)
        if result is None or kind not in DOWNLOADS:
            return None
        kept = tuple(one for one in result.masklets if one.score >= least)
        masklets = replace(result.masklets, masklets=kept)
        path = result.folder / f"{secrets.token_hex(8)}-{DOWNLOADS[kind].name}"
        _WRITERS[kind](path, masklets, VideoFile(result.folder / "video", name="the video"))
        return path

    def forget(self, visitor: str) -> None:
        """A visitor has left."""
        with self._lock:
            held = [path for path, holders in self._holders.items() if visitor in holders]
        for upload in held:
            self._release(visitor, upload)
        self._drop(lambda result: result.visitor == visitor)

    def forget_old(self) -> None:
        """Drop what has been kept for too long."""
        now = time.monotonic()
        self._drop(lambda result: now - result.made > KEPT)
        for path in _everything_in(self.uploads):
            with suppress(OSError):  # it has just gone, or a folder is not empty
                # An empty folder, too, only after a while: an upload may be about to be moved into it.
                if time.time() - path.stat().st_mtime <= KEPT:
                    continue
                if path.is_dir():
                    path.rmdir()
                elif not self._is_example(path):
                    path.unlink()

    def close(self) -> None:
        """Delete everything."""
        self._is_closed.set()
        self._worker.shutdown(wait=False)
        self._drop(lambda _: True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _release(self, visitor: str, upload: Path) -> None:
        with self._lock:
            holders = self._holders.get(upload, set())
            holders.discard(visitor)
            if holders:
                return
            self._holders.pop(upload, None)
        if not self._is_example(upload):
            upload.unlink(missing_ok=True)

    def _is_example(self, upload: Path) -> bool:
        return any(upload.is_file() and filecmp.cmp(upload, one, shallow=False) for one in self.examples)

    def _is_held(self, upload: Path, visitor: str) -> bool:
        with self._lock:
            return visitor in self._holders.get(upload, ()) and not self._is_closed.is_set()

    def _keep(self, result: Result, upload: Path) -> bool:
        """Keep a result, unless its visitor has left."""
        self.forget_old()
        with self._lock:
            if result.visitor not in self._holders.get(upload, ()):
                return False
            self._results[result.token] = result
            surplus = sorted(self._results.values(), key=lambda one: one.made)[:-MOST]
        self._drop(lambda one: one in surplus)
        return True

    def _sweep(self) -> None:
        while not self._is_closed.wait(SWEEP):
            self.forget_old()

    def _get(self, token: str) -> Result | None:
        self.forget_old()
        with self._lock:
            return self._results.get(token)

    def _drop(self, is_wanted_gone: Callable[[Result], bool]) -> None:
        with self._lock:
            gone = [result for result in self._results.values() if is_wanted_gone(result)]
            for result in gone:
                del self._results[result.token]
        for result in gone:
            shutil.rmtree(result.folder, ignore_errors=True)


def keep_uploads_in(folder: Path) -> None:
    """Where Gradio puts what visitors send, and nothing else; before anything of it is imported."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def _everything_in(folder: Path) -> Iterator[Path]:
    """Files and folders, what is in a folder before it; unlike rglob it passes over a folder that has just gone."""
    for inside, folders, names in os.walk(folder, topdown=False):
        yield from (Path(inside, name) for name in (*names, *folders))


def _link(upload: Path, video: Path) -> None:
    """The same file under another name, or a copy where that cannot be; DataError where it is gone."""
    try:
        try:
            os.link(upload, video)
        except OSError:
            shutil.copyfile(upload, video)
    except FileNotFoundError as error:
        raise DataError("the video is no longer there; send it once more") from error


def _links() -> dict[str, str]:
    return {kind: download.title for kind, download in DOWNLOADS.items()}


def _taken(kind: Kind) -> Callable[[Path, Masklets, VideoFile], None]:
    def write(path: Path, masklets: Masklets, source: VideoFile) -> None:
        TAKEAWAYS[kind].write(path, masklets, source)

    return write


def _zipped_cutouts(path: Path, masklets: Masklets, source: VideoFile) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        TAKEAWAYS["cutouts"].write(Path(folder), masklets, source)
        with zipfile.ZipFile(path, "w") as archive:
            for image in sorted(Path(folder).rglob("*.png")):
                archive.write(image, image.relative_to(folder).as_posix())


_WRITERS: dict[str, Callable[[Path, Masklets, VideoFile], None]] = {
    "json": lambda path, masklets, _: masklets.save(path),
    "youtube-vis": _taken("youtube-vis"),
    "csv": _taken("csv"),
    "overlay": lambda path, masklets, source: write_overlay(path, source, masklets),
    "cutouts": _zipped_cutouts,
}
