"""Writing a video in a thread of its own, while its images are still being made."""

import queue
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from maskreel.visualize.video import TimedImage, write_video

DEPTH = 4
"""Images that wait at most."""


class VideoWriter:
    """`write_video` for images that come one by one; whoever gives them waits when `DEPTH` are not written yet.

    The file appears when the block has ended without an error, and not otherwise.
    """

    def __init__(self, path: Path, *, frame_rate: Fraction) -> None:
        self._path = path
        self._frame_rate = frame_rate
        self._waiting: queue.Queue[Callable[[], TimedImage] | _End] = queue.Queue(DEPTH)
        self._thread = threading.Thread(target=self._run, name="maskreel-writer", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> "VideoWriter":
        self._thread.start()
        return self

    def write(self, image: Callable[[], TimedImage]) -> None:
        """The next image, made in the thread; raises what an earlier one failed with."""
        self._put(image)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put(_End(is_complete=error is None))
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _put(self, item: "Callable[[], TimedImage] | _End") -> None:
        while self._thread.is_alive():
            try:
                self._waiting.put(item, timeout=0.2)
            except queue.Full:
                continue
            return
        if self._error is not None and not isinstance(item, _End):
            raise self._error

    def _run(self) -> None:
        try:
            write_video(self._path, self._images(), frame_rate=self._frame_rate)
        except _Incomplete:
            pass
        except BaseException as error:  # handed to the thread that gives the images
            self._error = error

    def _images(self) -> Iterator[TimedImage]:
        while not isinstance(item := self._waiting.get(), _End):
            yield item()
        if not item.is_complete:
            raise _Incomplete


class _End:
    def __init__(self, *, is_complete: bool) -> None:
        self.is_complete = is_complete


class _Incomplete(Exception):
    """What was written so far is not to be kept."""
