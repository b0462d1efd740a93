"""A video of a YouTube-VIS split as a source of frames."""

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from maskreel.data.layouts import find_annotations
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame
from maskreel.video.frame_folders import FRAME_RATE


def open_dataset_video(root: Path, split: str, video_index: int, frame_rate: Fraction) -> "DatasetVideo":
    """A video of a split by the words that name it, as another process opens it; the split is read once in each."""
    return DatasetVideo(load_split(root, split), video_index, frame_rate=frame_rate)


def load_split(root: Path, split: str) -> YouTubeVIS:
    """As `YouTubeVIS.load`; the last split stays in memory as long as its file does not change."""
    found = find_annotations(root, split).stat()
    return _loaded(root, split, (found.st_mtime_ns, found.st_size, found.st_ino))


@lru_cache(maxsize=1)
def _loaded(root: Path, split: str, state: tuple[int, int, int]) -> YouTubeVIS:
    return YouTubeVIS.load(root, split)


class DatasetVideo:
    """A video of a YouTube-VIS split; every frame must be readable, or the masks would not fit the annotations."""

    def __init__(self, dataset: YouTubeVIS, video_index: int, *, frame_rate: Fraction = FRAME_RATE) -> None:
        video = dataset.videos[video_index]
        self.name = f"{dataset.annotation_path}: video {video.id}"
        self.video_id = video.id
        self.size = (video.height, video.width)
        self.declared: int | None = video.length
        self.frame_rate = frame_rate
        self.skipped: tuple[SkippedFrame, ...] = ()
        self._dataset = dataset
        self._index = video_index

    def __iter__(self) -> Iterator[Frame]:
        """Raises DataError for a frame that is missing, unreadable or of another size."""
        for place in range(self._dataset.videos[self._index].length):
            pixels = self._dataset.decode_frames(self._index, [place])[0].permute(1, 2, 0).numpy()
            yield Frame(place, round(float(place / self.frame_rate), 6), pixels)
