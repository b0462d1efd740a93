"""Ground truth and results files in the YouTube-VIS layout, read and validated.

Files keep their masks as they stand in the JSON; they are decoded and checked video by video when they are measured.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskreel.errors import DataError, UsageError
from maskreel.files import collector_paused

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationVideo:
    """What has to be known of a video to measure its masks."""

    id: int
    height: int
    width: int
    num_frames: int
    name: str = ""
    """Folder of its frames, where the file tells."""


@dataclass(frozen=True, kw_only=True)
class GroundTruthTrack:
    """One annotated object."""

    id: int
    video_id: int
    category_id: int
    segmentations: Sequence[Any]
    """One per frame: `Rle`, null, or a mask as JSON files hold it."""
    is_crowd: bool = False
    areas: Sequence[int | float | None] | None = None
    """Pixels per frame as the file states them; None measures the masks instead."""
    occlusion: Sequence[str | None] | None = None
    """OVIS label per frame, where there is one."""


@dataclass(frozen=True, kw_only=True)
class PredictedTrack:
    """One predicted object."""

    video_id: int
    category_id: int
    score: float
    segmentations: Sequence[Any]
    """One per frame: `Rle`, null, or a mask as JSON files hold it."""


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """All videos of a split with their annotated objects."""

    videos: tuple[EvaluationVideo, ...]
    categories: dict[int, str]
    """Name of each class by its id."""
    tracks: tuple[GroundTruthTrack, ...]
    """In the order of the file, on which ties depend."""
    source: str = "ground truth"
    """The file, for messages."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """All predicted objects of a split, in the order of the file, on which ties depend."""

    tracks: tuple[PredictedTrack, ...]
    source: str = "predictions"
    """The file, for messages."""


def read_ground_truth(path: Path, *, strict_reference: bool = False) -> GroundTruth:
    """Annotations of a split; raises DataError for anything but a YouTube-VIS file with annotations.

    Missing `iscrowd` and `areas` and ids that are 0 or repeated are repaired with a warning; with `strict_reference`
    they have the effect that they have in the reference evaluator.
    """
    data = _read_layout(path)
    if data.get("annotations") is None:
        raise DataError(
            f"{path}: there is no ground truth in it (no annotations), as in the public validation files; "
            "score against a file with annotations, such as a part held out of the train file"
        )
    if not isinstance(data["annotations"], list) or not isinstance(data.get("categories"), list):
        raise DataError(f"{path}: annotations and categories must be lists, as in the YouTube-VIS layout")
    videos, categories = _videos_and_classes(data, path)
    annotations: list[dict[str, Any]] = []
    for index, record in enumerate(data["annotations"]):
        _require(record, ("id", "video_id", "category_id"), f"{path}: annotation {index}")
        annotations.append(record)
    if strict_reference:
        annotations = _as_the_reference_sees(annotations, path)
    else:
        _warn_of_repairs(annotations, path)
    known = {video.id: video for video in videos}
    tracks = []
    for index, record in enumerate(annotations):
        where = f"{path}: annotation {index} (id {record['id']})"
        if strict_reference and not (record["video_id"] in known and record["category_id"] in categories):
            continue
        tracks.append(_ground_truth_track(record, known, categories, strict_reference, where))
    return GroundTruth(videos=videos, categories=categories, tracks=tuple(tracks), source=str(path))


def read_videos(path: Path) -> GroundTruth:
    """Videos and classes of a split, whose annotations may be held back: they are left out here."""
    data = _read_layout(path)
    videos, categories = _videos_and_classes({"categories": [], **data}, path)
    return GroundTruth(videos=videos, categories=categories, tracks=(), source=str(path))


def read_predictions(path: Path, ground_truth: GroundTruth, *, strict_reference: bool = False) -> Predictions:
    """A results file; raises DataError naming the entry that does not fit the ground truth.

    With `strict_reference`, an unknown class is dropped, NaN scores and lists of any length pass, and what crashes the
    reference evaluator (an empty list, an unknown video, masks that are not compressed strings) is refused.
    """
    data = read_json(path)
    if isinstance(data, dict) and "annotations" in data:
        raise DataError(f"{path}: an annotation file; the annotations come first, the results second")
    if not isinstance(data, list):
        raise DataError(f"{path}: a results file is a list of entries with video_id, category_id, score, segmentations")
    if strict_reference and not data:
        raise DataError(
            f"{path}: an empty list, on which the reference evaluator fails; drop --strict-reference for AP 0"
        )
    tracks = []
    for index, record in enumerate(data):
        where = f"{path}: entry {index}"
        _require(record, ("video_id", "category_id"), where)
        masks = _masks(record, None, where)
        if strict_reference:
            _refuse_uncompressed(masks, where)
        tracks.append(
            PredictedTrack(
                video_id=record["video_id"],
                category_id=record["category_id"],
                score=_score(record, where),
                segmentations=masks,
            )
        )
    predictions = Predictions(tracks=tuple(tracks), source=str(path))
    check_predictions(predictions, ground_truth, strict_reference=strict_reference)
    return predictions


def check_predictions(predictions: Predictions, ground_truth: GroundTruth, *, strict_reference: bool = False) -> None:
    """Raise DataError naming the first entry that does not fit the ground truth (see `read_predictions`)."""
    lengths = {video.id: video.num_frames for video in ground_truth.videos}
    for index, track in enumerate(predictions.tracks):
        where = f"{predictions.source}: entry {index}"
        num_frames = lengths.get(track.video_id)
        if num_frames is None:
            raise DataError(f"{where}: video_id {track.video_id} is not in {ground_truth.source}; drop the entry")
        if strict_reference:
            continue
        if track.category_id not in ground_truth.categories:
            raise DataError(
                f"{where}: category_id {track.category_id} is not in {ground_truth.source}; "
                "map it to one of its classes, or drop the entry"
            )
        if not math.isfinite(track.score):
            raise DataError(f"{where}: score is {track.score}; give it a finite number or drop the entry")
        _check_length(track.segmentations, num_frames, "segmentations", where)


def read_json(path: Path) -> Any:
    """Content of a JSON file; UsageError when it cannot be opened, DataError when it is not JSON."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if not content.strip():
        raise DataError(f"{path}: the file is empty")
    try:
        with collector_paused():
            return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a JSON file, or cut short ({error})") from error


def _read_layout(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if isinstance(data, list):
        raise DataError(f"{path}: a list, as in a results file; the annotations come first, the results second")
    if not isinstance(data, dict) or not isinstance(data.get("videos"), list):
        raise DataError(f"{path}: not in the YouTube-VIS layout: an object with videos, categories and annotations")
    return data


def _videos_and_classes(data: dict[str, Any], path: Path) -> tuple[tuple[EvaluationVideo, ...], dict[int, str]]:
    videos = tuple(_video(record, f"{path}: video {index}") for index, record in enumerate(data["videos"]))
    _refuse_repeats([video.id for video in videos], f"{path}: video id")
    categories = dict(_category(record, f"{path}: category {index}") for index, record in enumerate(data["categories"]))
    _refuse_repeats([record["id"] for record in data["categories"]], f"{path}: category id")
    return videos, categories


def _require(record: Any, keys: Sequence[str], where: str) -> None:
    """Raise DataError unless the record is an object with these whole numbers."""
    if not isinstance(record, dict):
        raise DataError(f"{where}: must be an object with {', '.join(keys)}, not {str(record)[:40]!r}")
    for key in keys:
        if type(record.get(key)) is not int:
            state = f"{record[key]!r:.40} where a whole number belongs" if key in record else "missing"
            raise DataError(f"{where}: {key} is {state}")


def _video(record: Any, where: str) -> EvaluationVideo:
    _require(record, ("id", "height", "width"), where)
    names = record.get("file_names")
    length = record.get("length", len(names) if isinstance(names, list) else None)
    if type(length) is not int or length < 0 or record["height"] <= 0 or record["width"] <= 0:
        raise DataError(
            f"{where} (id {record['id']}): height, width and length (or file_names) must be positive numbers"
        )
    if isinstance(names, list) and len(names) != length:
        raise DataError(f"{where} (id {record['id']}): length is {length}, but it lists {len(names)} file names")
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    name = first.partition("/")[0] or f"video {record['id']}"
    return EvaluationVideo(
        id=record["id"], height=record["height"], width=record["width"], num_frames=length, name=name
    )


def _category(record: Any, where: str) -> tuple[int, str]:
    _require(record, ("id",), where)
    return record["id"], str(record.get("name", record["id"]))


def _refuse_repeats(ids: Sequence[int], what: str) -> None:
    if len(set(ids)) < len(ids):
        seen: set[int] = set()
        repeated = next(one for one in ids if one in seen or seen.add(one))
        raise DataError(f"{what} {repeated} stands twice; ids must be unique")


def _as_the_reference_sees(annotations: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """The last of several annotations with one id takes the place of all; missing keys are an error there."""
    for index, record in enumerate(annotations):
        for key in ("iscrowd", "areas"):
            if key not in record:
                raise DataError(
                    f"{path}: annotation {index} has no {key}, on which the reference evaluator fails; "
                    "drop --strict-reference to have it repaired"
                )
    last = {record["id"]: record for record in annotations}
    return [last[record["id"]] for record in annotations]


def _warn_of_repairs(annotations: list[dict[str, Any]], path: Path) -> None:
    ids = [record["id"] for record in annotations]
    faults = {
        "with id 0": ids.count(0),
        "with an id that stands twice": len(ids) - len(set(ids)),
        "without iscrowd (taken as 0)": sum("iscrowd" not in record for record in annotations),
        "without areas (measured from the masks)": sum(record.get("areas") is None for record in annotations),
    }
    found = [f"{number} {fault}" for fault, number in faults.items() if number]
    if found:
        log.warning("%s: repaired annotations: %s", path, ", ".join(found))


def _ground_truth_track(
    record: dict[str, Any],
    videos: dict[int, EvaluationVideo],
    categories: dict[int, str],
    strict_reference: bool,
    where: str,
) -> GroundTruthTrack:
    video = videos.get(record["video_id"])
    if video is None:
        raise DataError(f"{where}: video_id {record['video_id']} is not among the videos of the file")
    if record["category_id"] not in categories:
        raise DataError(f"{where}: category_id {record['category_id']} is not among the categories of the file")
    num_frames = None if strict_reference else video.num_frames
    areas, occlusion = record.get("areas"), record.get("occlusion")
    if areas is not None:
        _list(areas, num_frames, "areas", where)
        if not all(area is None or (type(area) in (int, float) and math.isfinite(area)) for area in areas):
            raise DataError(f"{where}: areas must hold numbers and null only")
    if occlusion is not None:
        _list(occlusion, num_frames, "occlusion", where)
    return GroundTruthTrack(
        id=record["id"],
        video_id=video.id,
        category_id=record["category_id"],
        segmentations=_masks(record, num_frames, where),
        is_crowd=bool(record.get("iscrowd", 0)),
        areas=areas,
        occlusion=occlusion,
    )


def _masks(record: dict[str, Any], num_frames: int | None, where: str) -> list[Any]:
    if "segmentations" not in record:
        raise DataError(f"{where}: has no segmentations; they hold one mask or null per frame")
    return _list(record["segmentations"], num_frames, "segmentations", where)


def _list(values: Any, num_frames: int | None, what: str, where: str) -> list[Any]:
    """The value itself; raises DataError unless it is a list, of this length if one is given."""
    if not isinstance(values, list):
        raise DataError(f"{where}: {what} must be a list with one value per frame")
    if num_frames is not None:
        _check_length(values, num_frames, what, where)
    return values


def _check_length(values: Sequence[Any], num_frames: int, what: str, where: str) -> None:
    if len(values) != num_frames:
        raise DataError(
            f"{where}: {len(values)} {what} where the video has {num_frames} frames; "
            "give one per frame, null where the object is absent"
        )


def _score(record: dict[str, Any], where: str) -> float:
    score = record.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool):
        state = f"{score!r:.40}, not a number" if "score" in record else "missing"
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
