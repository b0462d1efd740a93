"""Counts of a small data set that is known by construction."""

import json
from pathlib import Path

import numpy as np

from maskreel.data.statistics import statistics
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.geometry.rle import encode
from tests.builders import write_youtube_vis


def test_counts_are_those_of_the_data(tmp_path: Path) -> None:
    write_youtube_vis(tmp_path, num_videos=3, num_frames=6)
    counted = statistics(YouTubeVIS.load(tmp_path, "train"))
    assert (counted.videos, counted.frames) == (3, 18)
    assert counted.sizes == {"40x24": 3}
    assert counted.frames_per_video == (6, 6.0, 6)
    assert counted.tracks_per_video == (2, 2.0, 2)
    # Of the two tracks of a video one is seen in all frames, the other in the first half.
    assert counted.visible == 0.75
    line, block = counted.classes
    assert (line.name, line.videos, line.tracks, line.masks, line.small) == ("line", 3, 3, 9, 3)
    assert (block.name, block.tracks, block.masks, block.crowds) == ("block", 3, 18, 0)
    assert (counted.total.tracks, counted.total.masks, counted.total.large) == (6, 27, 0)


def test_a_split_without_tracks_has_zeros(tmp_path: Path) -> None:
    document = write_youtube_vis(tmp_path, num_videos=1)
    (tmp_path / "train.json").write_text(str({**document, "annotations": []}).replace("'", '"'))
    counted = statistics(YouTubeVIS.load(tmp_path, "train"))
    assert counted.visible is None
    assert counted.total.tracks == counted.total.masks == 0
    assert [one.tracks for one in counted.classes] == [0, 0]


def test_both_ends_belong_to_the_larger_size_and_frames_without_the_object_do_not_count(tmp_path: Path) -> None:
    sides = {"large": 256, "medium": 128, "just medium": 255, "small": 127}
    masks = {name: np.zeros((260, 260), dtype=bool) for name in sides}
    for name, side in sides.items():
        masks[name][:side, :side] = True
    document = write_youtube_vis(tmp_path, num_videos=1, num_frames=3, size=(260, 260))
    document["annotations"] = [
        # Seen in one of three frames.
        {**document["annotations"][0], "id": number, "segmentations": [None, encode(mask).to_json(), None]}
        for number, mask in enumerate(masks.values(), start=1)
    ]
    (tmp_path / "train.json").write_text(json.dumps(document))
    total = statistics(YouTubeVIS.load(tmp_path, "train")).total
    assert (total.small, total.medium, total.large) == (1, 2, 1)
