"""One source of `maskreel predict`: a single pass in which overlay, lines and result are made."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskreel.cli.predict_choice import ResultChoice
from maskreel.geometry import rle
from maskreel.geometry.masklet import json_text
from maskreel.inference.pending import FrameObjects, SeenObject
from maskreel.inference.pipeline import follow, follow_shown
from maskreel.inference.session import Session, VideoResult
from maskreel.video.ahead import ReadAhead
from maskreel.video.files import Frame
from maskreel.visualize.draw import DrawnObject, draw_objects
from maskreel.visualize.video import TimedImage
from maskreel.visualize.writer import VideoWriter

Classes = Sequence[tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class OnePass:
    """What is made while frames come: what an object is called, and its score, are those known when its frame is final.

    Objects below `min_score`, and those that are not chosen, are neither drawn nor listed.
    """

    overlay: Path | None
    lines: Path | None
    """One line of JSON per frame."""
    classes: Classes
    min_score: float
    choice: ResultChoice

    def run(self, session: Session, source: ReadAhead, *, on_frame: Callable[[], None]) -> VideoResult:
        """Search all frames of a source."""
        with ExitStack() as stack:
            write_line = stack.enter_context(_lines(self.lines, self.classes))
            if self.overlay is None:
                for final in follow(session, source, on_frame=on_frame):
                    write_line(final, self._shown(final))
            else:
                overlay = stack.enter_context(VideoWriter(self.overlay, frame_rate=source.frame_rate))
                for frame, final in follow_shown(session, source, on_frame=on_frame):
                    shown = self._shown(final)
                    overlay.write(partial(_drawn, frame, shown, self.classes))
                    write_line(final, shown)
        return session.video(source)

    def _shown(self, final: FrameObjects) -> list[SeenObject]:
        return [one for one in final.objects if one.score >= self.min_score and self.choice.shows(one.label, one.mask)]


def _drawn(frame: Frame, objects: Sequence[SeenObject], classes: Classes) -> TimedImage:
    drawn = [
        DrawnObject(
            mask=rle.decode(one.mask), track_id=one.track_id, caption=f"{classes[one.label][1]} {one.score:.2f}"
        )
        for one in objects
    ]
    return TimedImage(frame.time, draw_objects(frame.pixels, drawn), frame.duration)


@contextmanager
def _lines(path: Path | None, classes: Classes) -> Iterator[Callable[[FrameObjects, Sequence[SeenObject]], None]]:
    """Writes a line per frame, whole and at once, so that whoever ends the program leaves every line before."""
    if path is None:
        yield lambda final, objects: None
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        yield lambda final, objects: _write_whole(file, f"{_line(final, objects, classes)}\n".encode())
    finally:
        os.close(file)


def _write_whole(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]


def _line(final: FrameObjects, objects: Sequence[SeenObject], classes: Classes) -> str:
    return json_text(
        {
            "index": final.index,
            "time": final.time,
            "objects": [
                {
                    "track_id": one.track_id,
                    "category_id": classes[one.label][0],
                    "label": one.label,
                    "name": classes[one.label][1],
                    "score": one.score,
                    "segmentation": one.mask.to_json(),
                    "box": rle.bounding_box(one.mask),
                }
                for one in objects
            ],
        }
    )
