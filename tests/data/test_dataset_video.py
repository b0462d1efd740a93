"""A video of a data set as a source of frames."""

from fractions import Fraction
from pathlib import Path

from maskreel.data.dataset_video import DatasetVideo
from maskreel.data.youtube_vis import YouTubeVIS
from tests.builders import write_youtube_vis


def test_frames_come_in_order_with_times_from_zero(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_videos=2, num_frames=3)
    video = DatasetVideo(YouTubeVIS.load(tmp_path, "train"), 1, frame_rate=Fraction(8))
    frames = list(video)
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0.0), (1, 0.125), (2, 0.25)]
    assert [frame.pixels[0, 0].tolist() for frame in frames] == [[20] * 3, [21] * 3, [22] * 3]
    assert (video.video_id, video.size, video.declared, video.skipped) == (12, (24, 40), 3, ())
