"""A video of a YouTube-VIS split as a source of frames."""

from collections.abc import Iterator
from fractions import Fraction

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry.masklets import SkippedFrame
from maskreel.video.files import Frame
from maskreel.video.frame_folders import FRAME_RATE


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
