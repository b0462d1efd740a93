"""One pass over a video: its frames are read, searched, and come out with their objects as soon as these are final."""

from collections.abc import Callable, Iterable, Iterator

from maskreel.errors import DataError
from maskreel.inference.pending import FrameObjects
from maskreel.inference.session import Session
from maskreel.video.ahead import ReadAhead
from maskreel.video.arrays import GivenFrames
from maskreel.video.files import Frame, FrameSource
from maskreel.video.held import HeldFrames


def follow(
    session: Session, source: FrameSource, *, on_frame: Callable[[], None] | None = None
) -> Iterator[FrameObjects]:
    """What is seen in the frames of a source, until it ends; then the session is finished.

    `on_frame` is told of every frame that was read, before it is searched. A DataError of the source comes after what
    is seen in the frames before it.
    """
    return _pushed(session, in_reach(source), on_frame)


def follow_shown(
    session: Session, source: FrameSource, *, on_frame: Callable[[], None] | None = None
) -> Iterator[tuple[Frame, FrameObjects]]:
    """As `follow`, with the frames themselves, which wait until what is seen in them is final."""
    held = HeldFrames()

    def holding() -> Iterator[Frame]:
        for frame in in_reach(source):
            held.append(frame)
            yield frame

    for final in _pushed(session, holding(), on_frame):
        yield held.popleft(), final


def _pushed(session: Session, frames: Iterable[Frame], on_frame: Callable[[], None] | None) -> Iterator[FrameObjects]:
    try:
        for frame in frames:
            if on_frame is not None:
                on_frame()
            yield from session.push(frame)
    except DataError:
        yield from session.finish()
        raise
    yield from session.finish()


def in_reach(source: FrameSource) -> FrameSource:
    """A source that reads ahead; frames that a program holds or makes are taken when they are due."""
    return source if isinstance(source, ReadAhead | GivenFrames) else ReadAhead(source)
