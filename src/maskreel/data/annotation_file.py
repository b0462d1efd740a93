"""The annotation file of YouTube-VIS 2019, 2021, 2022 and OVIS, read for training, scoring and conversion alike.

The whole file is checked at once; masks stay as they stand in the JSON and are decoded when they are needed. Categories
keep the ids of the file, gaps included; a label is the position among the categories sorted by id. Needs no torch.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from maskreel.data.layouts import LEAVES_ROOT
from maskreel.data.records import (
    crowd_mark,
    field_of,
    frame_rate,
    id_of,
    identified,
    listing,
    read_categories,
    read_document,
    records_of,
    shortened,
)
from maskreel.data.tracks import AnnotatedTrack, Category, GroundTruth, Video
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle

log = logging.getLogger(__name__)

_LARGEST = 1e15
"""Pixels, beyond any area."""

Record = dict[str, Any]

Faults = Literal["refuse", "repair", "reference"]
"""What becomes of faults with which masks can still be measured: names of classes and frames that are missing,
annotations with equal ids, without areas or crowd marks. They are refused, where frames are opened and classes named;
or repaired, with a warning; or they have the effect that they have in the reference evaluator."""


def read_ground_truth(path: Path, *, strict_reference: bool = False) -> GroundTruth:
    """A split to score against; raises UsageError for a path that cannot be opened, DataError for anything but a
    YouTube-VIS file with annotations.

    Missing `iscrowd` and `areas` and ids that are 0 or repeated are repaired with a warning; with `strict_reference`
    they have the effect that they have in the reference evaluator.
    """
    document, _ = read_document(path, unreadable=UsageError)
    truth = parse_annotations(document, path, faults="reference" if strict_reference else "repair")
    if truth.tracks is None:
        raise DataError(
            f"{path}: there is no ground truth in it (no annotations), as in the public validation files; "
            "score against a file with annotations, such as a part held out of the train file"
        )
    warn_without_objects(truth)
    return truth


def warn_without_objects(truth: GroundTruth) -> None:
    """Say that there is nothing to measure against, where that is so."""
    tracks = [track for of_video in truth.tracks or () for track in of_video]
    if all(track.is_crowd for track in tracks):
        what = f"only crowds ({len(tracks)}), which are ignored" if tracks else "no annotation"
        log.warning("%s: no object to measure against: it holds %s; metrics of objects are null", truth.source, what)


def read_videos(path: Path) -> GroundTruth:
    """Videos and classes of a split, whose annotations may be held back: they are left out here."""
    document, _ = read_document(path, unreadable=UsageError)
    _check_layout(document, path)
    return parse_annotations({"categories": [], **document, "annotations": None}, path, faults="repair")


def parse_annotations(document: Any, path: Path, *, faults: Faults) -> GroundTruth:
    """What the JSON of the file at `path` says; raises DataError naming place and value of what is wrong."""
    _check_layout(document, path)
    if faults != "reference":
        _fill_sizes(document)
    categories = _categories(document, path, faults)
    videos = tuple(
        _video(record, f"{path}: video {number}", faults)
        for number, record in identified(document, "videos", f"{path}: video").items()
    )
    is_held_back = document.get("annotations", None if faults != "refuse" else ()) is None
    return GroundTruth(
        videos=videos,
        categories=categories,
        tracks=None if is_held_back else _tracks(document, path, categories, videos, faults),
        source=str(path),
    )


def _check_layout(document: Any, path: Path) -> None:
    if isinstance(document, dict) and "videos" in document:
        return
    what, hint = "something else", ""
    if isinstance(document, list):
        what, hint = "something else (a list, as in a results file)", "; the annotations come first, the results second"
    elif isinstance(document, dict) and "images" in document:
        what, hint = "COCO images", "; maskreel data convert --from coco imports it"
    raise DataError(
        f"{path}: not a YouTube-VIS file but {what}; "
        f'expected an object with "videos", "categories", "annotations"{hint}.'
    )


def _fill_sizes(document: Record) -> None:
    """Give videos whose size the file leaves open, as -1, that of their masks."""
    videos, annotations = document["videos"], document.get("annotations")
    if not isinstance(videos, list) or not isinstance(annotations, list):
        return
    open_ones = [
        video for video in videos if isinstance(video, dict) and -1 in (video.get("width"), video.get("height"))
    ]
    if not open_ones:
        return
    sizes = {}
    for record in annotations:
        masks = record.get("segmentations") if isinstance(record, dict) else None
        for mask in masks if isinstance(masks, list) else ():
            size = mask.get("size") if isinstance(mask, dict) else None
            if isinstance(size, list) and len(size) == 2:
                sizes.setdefault(str(record.get("video_id")), size)
    for video in open_ones:
        if str(video.get("id")) in sizes:
            video["height"], video["width"] = sizes[str(video.get("id"))]


def _categories(document: Record, path: Path, faults: Faults) -> tuple[Category, ...]:
    if faults == "refuse":
        return read_categories(document, path)
    records = identified(document, "categories", f"{path}: category")
    return tuple(
        Category(id=number, name=str(record.get("name", number))) for number, record in sorted(records.items())
    )


def _video(record: Record, where: str, faults: Faults) -> Video:
    names = record.get("file_names")
    if faults == "refuse" or (names is None and "length" not in record):
        names = field_of(record, "file_names", list, where)
        _check_names(names, where)
    names = names if isinstance(names, list) else None
    length = field_of(record if names is None else {"length": len(names), **record}, "length", int, where)
    if length < 0 or (names is not None and length != len(names)) or (faults == "refuse" and not names):
        raise DataError(
            f'{where}: {len(names or ())} "file_names" but "length" {length}; they must agree, and be at least 1.'
        )
    width, height = (field_of(record, side, int, where) for side in ("width", "height"))
    if min(width, height) < 1 or (faults == "refuse" and width * height > rle.MAX_PIXELS):
        raise DataError(f"{where}: size {width}x{height}; expected 1 to {rle.MAX_PIXELS} pixels.")
    known = tuple(names or ()) if all(isinstance(name, str) for name in names or ()) else ()
    video = Video(id=record["id"], width=width, height=height, length=length, file_names=known)
    return with_our_keys(video, record, where) if faults == "refuse" else video


def _check_names(names: Sequence[Any], where: str) -> None:
    for name in names:
        if not isinstance(name, str) or not name or LEAVES_ROOT.search(name):
            raise DataError(
                f"{where}: file name {shortened(name)} leaves the folder of frames; "
                "expected a relative path without '..', such as 'video/00000.jpg'."
            )


def with_our_keys(video: Video, record: Record, where: str) -> Video:
    """The same video with what only our own files say of one."""
    dials = field_of({"dials": [], **record}, "dials", list, where)
    numbers = None
    if record.get("frame_numbers") is not None:
        numbers = field_of(record, "frame_numbers", list, where)
        if len(numbers) != video.length or any(type(number) is not int for number in numbers):
            raise DataError(f'{where}: "frame_numbers" is {shortened(numbers)}; expected {video.length} whole numbers.')
    return replace(
        video,
        dials=tuple(str(dial) for dial in dials),
        frame_numbers=None if numbers is None else tuple(numbers),
        fps=frame_rate(record, where),
    )


def _tracks(
    document: Record, path: Path, categories: Sequence[Category], videos: Sequence[Video], faults: Faults
) -> tuple[tuple[AnnotatedTrack, ...], ...]:
    """Tracks of each video."""
    labels = {category.id: label for label, category in enumerate(categories)}
    places = {video.id: place for place, video in enumerate(videos)}
    tracks: list[list[AnnotatedTrack]] = [[] for _ in videos]
    for record in _annotations(document, path, faults):
        where = f"{path}: annotation {record['id']}"
        video_id = id_of(record, "video_id", where)
        if video_id not in places and faults != "reference":
            raise DataError(f'{where}: "video_id" {video_id} is not among the {len(videos)} videos.')
        where = f"{path}: video {video_id}, annotation {record['id']}"
        category_id = id_of(record, "category_id", where)
        if category_id not in labels and faults != "reference":
            raise DataError(
                f'{where}: "category_id" {category_id} is not among the categories ({listing(sorted(labels))}).'
            )
        if video_id in places and category_id in labels:
            place = places[video_id]
            length = None if faults == "reference" else videos[place].length
            tracks[place].append(_track(record, labels[category_id], length, where, faults))
    return tuple(map(tuple, tracks))


def _annotations(document: Record, path: Path, faults: Faults) -> Iterable[Record]:
    """The records, each with an id; in the reference, the last of several with one id takes the place of all."""
    where = f"{path}: annotation"
    if faults == "refuse":
        return identified(document, "annotations", where).values()
    records = [{**record, "id": id_of(record, "id", at)} for record, at in records_of(document, "annotations", where)]
    if faults == "repair":
        _warn_of_repairs(records, path)
        return records
    for place, record in enumerate(records):
        for key in ("iscrowd", "areas"):
            if key not in record:
                raise DataError(
                    f"{where} at position {place} has no {key}, on which the reference evaluator fails; "
                    "drop --strict-reference to have it repaired"
                )
    last = {record["id"]: record for record in records}
    return [last[record["id"]] for record in records]


def _warn_of_repairs(records: Sequence[Record], path: Path) -> None:
    ids = [record["id"] for record in records]
    faults = {
        "with id 0": ids.count(0),
        "with an id that stands twice": len(ids) - len(set(ids)),
        "without iscrowd (taken as 0)": sum("iscrowd" not in record for record in records),
        "without areas (measured from the masks)": sum(record.get("areas") is None for record in records),
    }
    found = [f"{number} {fault}" for fault, number in faults.items() if number]
    if found:
        log.warning("%s: repaired annotations: %s", path, ", ".join(found))


def _track(record: Record, label: int, length: int | None, where: str, faults: Faults) -> AnnotatedTrack:
    """One object; `length` is the number of its frames, None for any."""
    segmentations = field_of(record, "segmentations", list, where)
    for key in ("segmentations", "areas", "occlusion", *(("bboxes",) if faults == "refuse" else ())):
        if record.get(key) is not None:
            check_length(field_of(record, key, list, where), length, key, where)
    if faults == "refuse":
        _check_masks(segmentations, where)
        check_occlusion(record, where)
    areas = record.get("areas")
    if areas is not None and not all(area is None or _is_area(area) for area in areas):
        raise DataError(f'{where}: "areas" must hold numbers and null only.')
    return AnnotatedTrack(
        id=record["id"],
        category_id=id_of(record, "category_id", where),
        label=label,
        segmentations=segmentations,
        is_crowd=bool(record.get("iscrowd", 0)) if faults == "reference" else crowd_mark(record, where),
        areas=areas,
        occlusion=record.get("occlusion"),
        track_id=record["track_id"] if type(record.get("track_id")) is int else None,
    )


def check_occlusion(record: Record, where: str) -> None:
    """Raise DataError unless OVIS's labels, where there are any, are words or null."""
    for label in record.get("occlusion") or ():
        if label is not None and not isinstance(label, str):
            raise DataError(f'{where}: "occlusion" holds {shortened(label)}; expected words and null.')


def _is_area(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


def _check_masks(segmentations: Sequence[Any], where: str) -> None:
    for frame, mask in enumerate(segmentations):
        if mask is not None and not isinstance(mask, dict | list):
            raise DataError(f"{where}, frame {frame}: mask is {shortened(mask)}; expected RLE, polygons or null.")


def check_length(values: Sequence[Any], length: int | None, what: str, where: str) -> None:
    """Raise DataError unless there is one value per frame; any number is right where `length` is None."""
    if length is not None and len(values) != length:
        raise DataError(
            f'{where}: {len(values)} "{what}" for {length} frames; give one per frame, null where the object is absent.'
        )
