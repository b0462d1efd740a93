"""Videos in a store: files and folders of frames are fetched when they are read, and removed behind."""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath

from maskreel.errors import UsageError
from maskreel.geometry.masklets import SkippedFrame
from maskreel.storage import Fetched, listed
from maskreel.video.files import Frame, FrameSource, VideoFile
from maskreel.video.frame_folders import FrameImages, numbered_frames
from maskreel.video.frame_order import natural_key
from maskreel.video.images import is_image


class StoredVideo:
    """A source whose files are on this machine as long as it is kept."""

    def __init__(self, name: str, source: FrameSource, files: Fetched) -> None:
        self._source, self._files = source, files
        self.name = name
        self.size: tuple[int, int] = source.size
        self.declared: int | None = source.declared
        self.frame_rate: Fraction = source.frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        yield from self._source
        self.skipped = self._source.skipped


def open_stored(address: str, is_folder: bool, frame_rate: Fraction) -> FrameSource:
    """Fetch and open a video file, or a folder of frames; errors as for files of this machine."""
    files = Fetched(address, Path(tempfile.mkdtemp(prefix="maskreel-")))
    if not is_folder:
        return StoredVideo(address, VideoFile(files.folder / PurePosixPath(address).name), files)
    images = [path for path in files.folder.iterdir() if is_image(path)]
    frames = FrameImages(numbered_frames(files.folder, images), name=address, frame_rate=frame_rate)
    return StoredVideo(address, frames, files)


def stored_videos(address: str, suffixes: frozenset[str]) -> list[tuple[str, bool]]:
    """What an address names: videos by their addresses, and whether each is a folder of frames.

    A file, a folder of frames, a folder of videos or of folders of frames, a pattern. UsageError where nothing is there
    that is read.
    """
    files, folders = listed(address)
    if files == [address]:
        return [(address, False)]
    videos = [one for one in files if PurePosixPath(one).suffix.lower() in suffixes]
    if videos:
        return [(one, False) for one in sorted(videos, key=natural_key)]
    if any(is_image(Path(one)) for one in files):
        return [(address.rstrip("/"), True)]
    inner = [one for one in folders if any(is_image(Path(name)) for name in listed(one)[0])]
    if not inner:
        raise UsageError(f"{address}: no videos and no images in it")
    return [(one, True) for one in sorted(inner, key=natural_key)]
