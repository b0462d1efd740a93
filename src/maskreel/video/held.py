"""Frames that wait until their objects are final: in memory up to a limit, the others in a temporary file."""

import tempfile
from collections import deque

import numpy as np
from jaxtyping import UInt8

from maskreel.video.files import Frame

MEMORY_LIMIT = 64 * 2**20
"""Bytes of pixels held in memory."""


class HeldFrames:
    """First in, first out; frames are of one size. Places in the file are used again."""

    def __init__(self, memory_limit: int = MEMORY_LIMIT) -> None:
        self._limit = memory_limit
        self._in_memory = 0
        # A spooled file with no room in memory becomes a real one when it is first written to.
        self._file = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115 (closed with its last user)
        self._free: list[int] = []
        self._places = 0
        self._held: deque[tuple[Frame, int | None, tuple[int, ...]]] = deque()
        """Each frame, without its pixels where they lie in the file, at a place there; and the shape of its pixels."""

    def __len__(self) -> int:
        return len(self._held)

    def append(self, frame: Frame) -> None:
        pixels, place = frame.pixels, None
        if self._in_memory + pixels.nbytes > self._limit:
            place = self._free.pop() if self._free else self._places
            self._places = max(self._places, place + 1)
            self._file.seek(place * pixels.nbytes)
            self._file.write(np.ascontiguousarray(pixels).data)
            frame = Frame(frame.index, frame.time, _NO_PIXELS, frame.duration)
        else:
            self._in_memory += pixels.nbytes
        self._held.append((frame, place, pixels.shape))

    def popleft(self) -> Frame:
        frame, place, shape = self._held.popleft()
        if place is None:
            self._in_memory -= frame.pixels.nbytes
            return frame
        count = int(np.prod(shape))
        self._file.seek(place * count)
        self._free.append(place)
        return Frame(frame.index, frame.time, _pixels(self._file.read(count), shape), frame.duration)


_NO_PIXELS = np.zeros((0, 0, 3), np.uint8)


def _pixels(content: bytes, shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w 3"]:
    return np.frombuffer(content, np.uint8).reshape(shape)
