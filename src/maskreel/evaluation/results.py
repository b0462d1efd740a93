"""Results files: what was found in the videos of a split, read and held against its ground truth.

Masks stay as they stand in the JSON; they are decoded and checked video by video when they are measured.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskreel.data.annotation_file import check_length
from maskreel.data.records import field_of, id_of, read_document, shortened
from maskreel.data.tracks import GroundTruth, Video
from maskreel.errors import DataError, UsageError
from maskreel.files import complete_file
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet
from maskreel.geometry.rle import Rle


class FileMasks(Sequence[Rle | None]):
    """Masks of an entry as the file holds them, each parsed when it is asked for (RleError for a malformed one)."""

    def __init__(self, stored: list[Any], *, height: int, width: int, where: str) -> None:
        self.stored = stored
        self._size = {"height": height, "width": width}
        self._where = where

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[frame] for frame in range(*index.indices(len(self)))]
        return rle.parse(self.stored[index], **self._size, where=f"{self._where}, frame {index}")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """All predicted objects of a split."""

    tracks: Mapping[int, Sequence[Masklet]]
    """By video id, each in the order of the file, on which ties depend. The `track_id` of those from a file is the
    position of the entry."""
    source: str = "predictions"
    """The file, for messages."""

    def place(self, track: Masklet) -> str:
        """Names a prediction in messages."""
        return f"{self.source}: entry {track.track_id}"


def read_predictions(path: Path, ground_truth: GroundTruth, *, strict_reference: bool = False) -> Predictions:
    """A results file; raises DataError naming the entry that does not fit the ground truth.

    With `strict_reference`, NaN scores, unknown classes and lists of any length pass, and what crashes the reference
    evaluator (an empty list, an unknown video, masks that are not compressed strings) is refused.
    """
    data, _ = read_document(path, unreadable=UsageError)
    if isinstance(data, dict) and "annotations" in data:
        raise DataError(f"{path}: an annotation file; the annotations come first, the results second")
    if not isinstance(data, list):
        raise DataError(f"{path}: a results file is a list of entries with video_id, category_id, score, segmentations")
    if strict_reference and not data:
        raise DataError(
            f"{path}: an empty list, on which the reference evaluator fails; drop --strict-reference for AP 0"
        )
    tracks: dict[int, list[Masklet]] = defaultdict(list)
    labels = {category.id: label for label, category in enumerate(ground_truth.categories)}
    videos = {video.id: video for video in ground_truth.videos}
    for index, record in enumerate(data):
        where = f"{path}: entry {index}"
        if not isinstance(record, dict):
            raise DataError(f"{where}: {shortened(record)}; expected an object.")
        if "video_id" not in record and "image_id" in record:
            raise DataError(
                f"{where}: results for images (image_id, segmentation); results for videos have video_id and "
                "segmentations, one mask per frame, null where the object is absent"
            )
        video_id, category_id = (id_of(record, key, where) for key in ("video_id", "category_id"))
        stored = field_of(record, "segmentations", list, where)
        if strict_reference:
            _refuse_uncompressed(stored, where)
        video = videos.get(video_id)
        if video is None:
            raise DataError(f"{where}: {_not_in('video_id', video_id, ground_truth)}; drop the entry")
        track = Masklet(
            track_id=index,
            label=labels.get(category_id, -1),
            category_id=category_id,
            score=_score(record, where),
            segmentations=FileMasks(stored, height=video.height, width=video.width, where=where),
        )
        if not strict_reference:
            _check_track(track, video, labels, ground_truth, where)
        tracks[video_id].append(track)
    return Predictions(tracks=dict(tracks), source=str(path))


def check_predictions(predictions: Predictions, ground_truth: GroundTruth) -> None:
    """Raise DataError naming the first entry that does not fit the ground truth (see `read_predictions`)."""
    videos = {video.id: video for video in ground_truth.videos}
    class_names = ground_truth.class_names
    for video_id, tracks in predictions.tracks.items():
        for track in tracks:
            where = predictions.place(track)
            if video_id not in videos:
                raise DataError(f"{where}: {_not_in('video_id', video_id, ground_truth)}; drop the entry")
            _check_track(track, videos[video_id], class_names, ground_truth, where)


def _check_track(
    track: Masklet, video: Video, classes: Mapping[int, object], ground_truth: GroundTruth, where: str
) -> None:
    if track.category_id not in classes:
        raise DataError(
            f"{where}: {_not_in('category_id', track.category_id, ground_truth)}; "
            "map it to one of its classes, or drop the entry"
        )
    if not math.isfinite(track.score):
        raise DataError(f"{where}: score is {track.score}; give it a finite number or drop the entry")
    check_length(track.segmentations, video.length, "segmentations", where)


def _not_in(key: str, value: int, ground_truth: GroundTruth) -> str:
    return f"{key} {value} is not in {ground_truth.source}"


def write_results(path: Path, predictions: Predictions) -> None:
    """Write them as a results file."""
    with complete_file(path) as new, new.open("w", encoding="utf-8") as out:
        out.write("[")
        is_first = True
        for video_id, tracks in predictions.tracks.items():
            for track in tracks:
                entry = json.dumps(track.to_youtube_vis(video_id), allow_nan=False, separators=(",", ":"))
                out.write(entry if is_first else f",\n{entry}")
                is_first = False
        out.write("]\n")


def _score(record: dict[str, Any], where: str) -> float:
    score = record.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool):
        state = f"{shortened(score)}, not a number" if "score" in record else "missing"
        raise DataError(f"{where}: score is {state}")
    try:
        return float(score)
    except OverflowError:
        return math.inf


def _refuse_uncompressed(masks: Sequence[Any], where: str) -> None:
    for frame, mask in enumerate(masks):
        if mask and not (isinstance(mask, dict) and isinstance(mask.get("counts"), str)):
            raise DataError(
                f"{where}, frame {frame}: not a compressed mask, on which the reference evaluator fails; "
                "drop --strict-reference to have it read"
            )
