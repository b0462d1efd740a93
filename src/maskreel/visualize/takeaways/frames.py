"""The frames of a source once more, as long as they are those in which objects were found."""

from collections.abc import Iterator

from maskreel.errors import DataError
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import Frame, FrameSource


def seen_frames(masklets: Masklets, source: FrameSource) -> Iterator[Frame]:
    """Every decoded frame; DataError where their number or size is not that of the masklets."""
    last = -1
    for frame in source:
        if frame.index >= masklets.decoded or frame.pixels.shape[:2] != (masklets.height, masklets.width):
            raise _changed(source)
        last = frame.index
        yield frame
    if last != masklets.decoded - 1:
        raise _changed(source)


def _changed(source: FrameSource) -> DataError:
    return DataError(f"{source.name}: no longer has the frames that its objects were found in; predict it again")
