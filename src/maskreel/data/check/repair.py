"""Repairs that lose nothing: masks are taken for the truth, and boxes, areas, ids and lengths follow them."""

from collections.abc import Mapping
from typing import Any

from maskreel.data.check.annotations import CheckedVideo, area_agrees, box_agrees, box_has_size, decoded_masks, is_whole
from maskreel.data.check.frames import Renamed
from maskreel.data.check.problems import Problems
from maskreel.data.records import crowd_mark
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle


def repaired(document: Mapping[str, Any], videos: list[CheckedVideo], renamed: Renamed) -> dict[str, Any]:
    """A copy of an annotation file without the faults that can be repaired safely; whatever else is in it stays."""
    by_id = {video.id: video for video in videos}
    annotations = document.get("annotations")
    result = {**document}
    if isinstance(document.get("videos"), list):
        result["videos"] = [_video(record, by_id, renamed) for record in document["videos"]]
    if isinstance(annotations, list):
        kept = [track for record in annotations if (track := _track(record, by_id)) is not None]
        result["annotations"] = _renumbered(kept)
    return result


def _video(record: Any, videos: Mapping[int, CheckedVideo], renamed: Renamed) -> Any:
    """A record that is as long as its list of frames, which have the names that they have on disk."""
    video = _known(record, "id", videos)
    if video is None or record.get("file_names") != list(video.file_names):
        return record
    names = [renamed.get((video.id, frame), name) for frame, name in enumerate(video.file_names)]
    return {**record, "length": len(names), "file_names": names}


def _track(record: Any, videos: Mapping[int, CheckedVideo]) -> Any:
    """The record with boxes and areas of its masks, null for empty masks; None for a track without pixels."""
    if not isinstance(record, dict):
        return record
    record = {**record, "iscrowd": _crowd_mark(record)}
    video, segmentations = _known(record, "video_id", videos), record.get("segmentations")
    if video is None or not isinstance(segmentations, list) or len(segmentations) != len(video.file_names):
        return record
    problems = Problems()
    masks = [
        mask if mask is not None and rle.area(mask) else None for mask in decoded_masks(record, video, "", problems)
    ]
    if any(problem.kind != "mask-empty" for problem in problems):
        return record
    boxes, areas = _boxes(record.get("bboxes"), masks), _areas(record.get("areas"), masks)
    if not any(masks) and not any(map(box_has_size, boxes)) and not any(areas):
        return None
    given = [given if mask is not None else None for given, mask in zip(segmentations, masks, strict=True)]
    return {**record, "segmentations": given, "bboxes": boxes, "areas": areas}


def _crowd_mark(record: Mapping[str, Any]) -> Any:
    try:
        return int(crowd_mark(record, ""))
    except DataError:
        return record["iscrowd"]


def _known(record: Any, key: str, videos: Mapping[int, CheckedVideo]) -> CheckedVideo | None:
    return videos.get(record[key]) if isinstance(record, dict) and is_whole(record.get(key)) else None


def _boxes(stated: Any, masks: list[Rle | None]) -> list[Any]:
    """The stated boxes where they agree with the masks; of frames without a mask they stay."""
    if not isinstance(stated, list) or len(stated) != len(masks):
        stated = [None] * len(masks)
    return [
        (box if box_has_size(box) else None)
        if mask is None
        else box
        if box_agrees(box, mask)
        else list(rle.bounding_box(mask))
        for box, mask in zip(stated, masks, strict=True)
    ]


def _areas(stated: Any, masks: list[Rle | None]) -> list[Any]:
    if not isinstance(stated, list) or len(stated) != len(masks):
        stated = [None] * len(masks)
    return [
        (area or None) if mask is None else area if area_agrees(area, mask) else rle.area(mask)
        for area, mask in zip(stated, masks, strict=True)
    ]


def _renumbered(annotations: list[Any]) -> list[Any]:
    """Ids that stand twice or lie below 1 give way to new ones; the first of two keeps its own."""
    ids = [record.get("id") if isinstance(record, dict) else None for record in annotations]
    free = max([0, *(track_id for track_id in ids if is_whole(track_id))])
    seen: set[int] = set()
    result = []
    for record, track_id in zip(annotations, ids, strict=True):
        if is_whole(track_id):
            if track_id < 1 or track_id in seen:
                free += 1
                record, track_id = {**record, "id": free}, free
            seen.add(track_id)
        result.append(record)
    return result
