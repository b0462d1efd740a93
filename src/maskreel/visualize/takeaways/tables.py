"""Results as files of text: boxes as CSV, YouTube-VIS results, COCO."""

import csv
from pathlib import Path

from maskreel.geometry import rle
from maskreel.geometry.masklet import json_text
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import FrameSource

COLUMNS = ("frame", "time", "track_id", "category_id", "class", "score", "x", "y", "width", "height", "area")
"""Frame from 0, time in seconds; box by its left upper corner and area in pixels."""


def csv_rows(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """A row per frame and object that is seen in it, in this order, below a row of `COLUMNS`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for frame, time in enumerate(masklets.timestamps):
            for masklet in masklets:
                if (mask := masklet.segmentations[frame]) is not None:
                    head = (masklet.track_id, masklet.category_id, masklets.name(masklet), f"{masklet.score:.4f}")
                    box = (f"{side:g}" for side in rle.bounding_box(mask))
                    table.writerow((frame, f"{time:.6f}", *head, *box, rle.area(mask)))


def youtube_vis(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """A list with an entry per object, as `maskreel score` reads it."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        for place, masklet in enumerate(masklets):
            file.write("," * (place > 0) + "\n" + json_text(masklet.to_youtube_vis(video_id)))
        file.write("]\n")


def coco(path: Path, masklets: Masklets, source: FrameSource, *, video_id: int) -> None:
    """A COCO document with an image per frame; see `Masklets.to_coco`."""
    path.write_text(json_text(masklets.to_coco()) + "\n", encoding="utf-8", newline="\n")
