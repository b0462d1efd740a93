"""What a data set holds, as plots."""

from pathlib import Path

import numpy as np

from maskreel.data.joint import TrainingData
from maskreel.files import complete_file
from maskreel.visualize.plots import write_table


def labels(path: Path, dataset: TrainingData) -> None:
    """How often each class occurs, how many objects a video has, how long they are seen, and how large videos are."""
    from matplotlib.figure import Figure

    names = [category.name for category in dataset.categories]
    per_video = [dataset.tracks(index) for index in range(len(dataset.videos))]
    tracks = [track for video_tracks in per_video for track in video_tracks]
    figure = Figure(figsize=(12, 8), layout="constrained")
    (class_axes, count_axes), (length_axes, size_axes) = figure.subplots(2, 2)
    class_axes.bar(range(len(names)), np.bincount([track.label for track in tracks], minlength=len(names)))
    class_axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 8 else 0)
    class_axes.set_title("objects per class")
    counts = np.bincount([len(video_tracks) for video_tracks in per_video])
    count_axes.bar(range(len(counts)), counts)
    count_axes.set_title("videos by number of objects")
    length_axes.hist([sum(mask is not None for mask in track.segmentations) for track in tracks] or [0], bins=20)
    length_axes.set_title("objects by number of frames they are seen in")
    size_axes.scatter([video.width for video in dataset.videos], [video.height for video in dataset.videos], alpha=0.3)
    size_axes.set_title("videos by width and height")
    with complete_file(path) as new:
        figure.savefig(new, dpi=100)


def label_table(path: Path, dataset: TrainingData) -> None:
    """What `labels` draws, as CSV: a row per object with its video, class and number of frames; videos without objects
    have a row too."""
    rows = []
    for index, video in enumerate(dataset.videos):
        tracks = [
            (track.id, dataset.categories[track.label].name, sum(mask is not None for mask in track.segmentations))
            for track in dataset.tracks(index)
        ]
        rows += [(video.id, video.width, video.height, *track) for track in tracks or [("", "", 0)]]
    write_table(path, ["video", "width", "height", "object", "class", "frames"], rows)
