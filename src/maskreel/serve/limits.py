"""What a visitor may bring, shown on the page and checked here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maskreel.errors import DataError
from maskreel.video.files import Frame, FrameSource, VideoFile
from maskreel.visualize.report.video_report import counted

MEGABYTE = 10**6


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one video."""

    megabytes: int = 200
    seconds: float = 600.0
    side: int = 1920
    """Pixels of the longest side."""
    frames: int = 18_000

    def described(self) -> str:
        """In words, for the page."""
        minutes, seconds = divmod(round(self.seconds), 60)
        length = counted(minutes, "minute") if minutes and not seconds else f"{self.seconds:g} seconds"
        size = f"{counted(self.frames, 'frame')} and {self.side} pixels on the longest side"
        return f"up to {self.megabytes} MB, {length}, {size}"

    def opened(self, path: Path) -> FrameSource:
        """A video within the limits as far as its beginning tells; DataError, in one sentence, for anything else.

        Its name is left out of all messages: it comes from outside.
        """
        size = path.stat().st_size
        if size > self.megabytes * MEGABYTE:
            raise DataError(f"the file has {size / MEGABYTE:.0f} MB; at most {self.megabytes} MB are taken")
        video = VideoFile(path, name="the video")
        if max(video.size) > self.side:
            shown = f"{video.size[1]} x {video.size[0]}"
            raise DataError(f"the video is {shown} pixels large; at most {self.side} on the longest side are taken")
        if video.declared is not None and video.declared > self.frames:
            raise DataError(f"the video says that it has {video.declared} frames; at most {self.frames} are taken")
        return video

    def watched(self, source: FrameSource) -> Iterator[Frame]:
        """The frames of a source; DataError when there are more, or they last longer, than is allowed."""
        start = None
        for frame in source:
            start = frame.time if start is None else start
            if frame.index >= self.frames or frame.time - start > self.seconds:
                raise DataError(f"the video is too long; {self.described()} are taken")
            yield frame
