"""Faults inside an annotation file: records, ids, lists, masks, boxes and areas."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from maskreel.data.annotation_file import check_occlusion, with_our_keys
from maskreel.data.check.problems import Problems
from maskreel.data.layouts import LEAVES_ROOT
from maskreel.data.records import crowd_mark
from maskreel.data.tracks import Video
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError
from maskreel.video.frame_order import misplaced

BOX_TOLERANCE = 1.5
"""Pixels by which an edge of a box may lie beside the mask's: some tools count the last pixel, some do not."""
AREA_TOLERANCE = 0.01
"""Share by which an area may differ from the mask's: some tools measure the polygon."""


@dataclass(frozen=True, kw_only=True)
class CheckedVideo:
    """What the tracks of a video are held against."""

    id: int
    width: int
    height: int
    file_names: tuple[str, ...]


def check_document(document: dict[str, Any], problems: Problems) -> list[CheckedVideo]:
    """Note every fault of an annotation file, and return the videos that are sound enough to look for their frames."""
    records = section(document, "videos", problems)
    videos = list(_videos(records, problems))
    categories = _categories(section(document, "categories", problems), problems)
    if "annotations" in document and document["annotations"] is None:
        problems.note("held-back", "annotations", "null: there is nothing to train on or to score against")
        return videos
    annotations = section(document, "annotations", problems)
    _annotation_ids(annotations, problems)
    by_id = {video.id: video for video in videos}
    used: Counter[int] = Counter()
    labelled: set[int] = set()
    masks_seen: dict[Any, int] = {}
    # A video whose own record is faulty is reported once, not again with each of its tracks.
    known = {record["id"] for record in records if isinstance(record, dict) and is_whole(record.get("id"))}
    for place, record in enumerate(annotations):
        where = _record_place(record, place)
        if not _is_annotation(record, where, problems):
            continue
        video_id, category_id = record["video_id"], record["category_id"]
        labelled.add(video_id)
        used[category_id] += 1
        if category_id not in categories:
            problems.note("annotation-category", where, f"category_id {category_id} is not among the categories")
        if video_id not in known:
            problems.note("annotation-video", where, f"video_id {video_id} is not among the videos")
        elif video_id in by_id:
            where = f"video {video_id}, {where}"
            masks = _check_track(record, by_id[video_id], where, problems)
            key = (video_id, category_id, tuple(masks))
            if any(masks) and masks_seen.setdefault(key, record["id"]) != record["id"]:
                problems.note("track-repeated", where, f"has the class and the masks of annotation {masks_seen[key]}")
    if not any(is_object(record) for record in annotations):
        problems.note("no-objects", "annotations", f"{len(annotations)} annotations, none of them an object")
    if unused := [name for category_id, name in categories.items() if not used[category_id]]:
        problems.note("category-unused", f"{len(unused)} of {len(categories)} categories", ", ".join(unused))
    if unlabelled := [video.id for video in videos if video.id not in labelled]:
        problems.note("video-unlabelled", f"{len(unlabelled)} of {len(videos)} videos", f"ids {_listed(unlabelled)}")
    return videos


def is_object(record: Any) -> bool:
    """Whether a record may be more than a crowd or an empty track; masks are not decoded."""
    if not isinstance(record, dict) or record.get("iscrowd") in (1, "1", "true"):
        return False
    masks = record.get("segmentations")
    return isinstance(masks, list) and any(mask not in (None, []) for mask in masks)


def section(document: dict[str, Any], key: str, problems: Problems) -> list[Any]:
    """A list of the file; empty, and noted, where there is none."""
    records = document.get(key)
    if not isinstance(records, list):
        state = f"{_short(records)} in place of a list" if key in document else "missing"
        problems.note("section", key, state)
        return []
    if not records and key != "annotations":
        problems.note("section", key, "an empty list")
    return records


def is_whole(value: Any) -> TypeGuard[int]:
    """True and False are no numbers here, nor is what 64 bits do not hold."""
    return type(value) is int and -(2**63) <= value < 2**63


def _categories(records: Sequence[Any], problems: Problems) -> dict[int, str]:
    names: dict[int, str] = {}
    for place, record in enumerate(records):
        is_sound = isinstance(record, dict) and is_whole(record.get("id")) and isinstance(record.get("name"), str)
        if not is_sound:
            problems.note("category-record", f"category at position {place}", f"{_short(record)}")
        elif record["id"] in names:
            problems.note(
                "category-id-repeated", f"category {record['id']}", f"{names[record['id']]!r} and {record['name']!r}"
            )
        else:
            names[record["id"]] = record["name"]
    for name, count in Counter(names.values()).items():
        if count > 1:
            ids = [category_id for category_id, other in names.items() if other == name]
            problems.note(
                "category-name-repeated", f"categories {', '.join(map(str, ids))}", f"are all called {name!r}"
            )
    if names and sorted(names) != list(range(1, len(names) + 1)):
        # An id may be any number: what is missing is counted, not listed.
        missing = max(names) - sum(number >= 1 for number in names)
        first = next(number for number in range(1, len(names) + 2) if number not in names)
        shown = f"{missing} missing, the first is {first}" if missing > 0 else f"they start at {min(names)}"
        problems.note("category-id-gap", "categories", f"ids are not 1 to {len(names)}: {shown}")
    return names


def _videos(records: Sequence[Any], problems: Problems) -> Iterator[CheckedVideo]:
    seen: set[int] = set()
    for place, record in enumerate(records):
        if not (isinstance(record, dict) and is_whole(record.get("id"))):
            problems.note("video-record", f"video at position {place}", f"{_short(record)} has no whole id")
            continue
        where = f"video {record['id']}"
        if record["id"] in seen:
            problems.note("video-id-repeated", where, "stands twice in the file")
            continue
        seen.add(record["id"])
        sides: list[Any] = [record.get("width"), record.get("height")]
        names: Any = record.get("file_names")
        if not all(is_whole(side) and side > 0 for side in sides) or sides[0] * sides[1] > rle.MAX_PIXELS:
            problems.note("video-record", where, f"width and height are {_short(sides[0])} and {_short(sides[1])}")
            continue
        if not (isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)):
            problems.note("video-record", where, f"file_names are {_short(names)}, not a list of names")
            continue
        _check_our_keys(record, len(names), where, problems)
        if record.get("length", len(names)) != len(names):
            problems.note("video-length", where, f"length is {_short(record['length'])}, file_names are {len(names)}")
        if outside := [name for name in names if LEAVES_ROOT.search(name)]:
            problems.note("path-leaves-root", where, f"{_short(outside[0])}, {len(outside)} in all")
        if repeated := [name for name, count in Counter(names).items() if count > 1]:
            problems.note("frame-repeated", where, f"{_short(repeated[0])} is listed {names.count(repeated[0])} times")
        elif places := misplaced(names):
            problems.note("frame-order", where, f"{places[0]} stands where {places[1]} belongs")
        yield CheckedVideo(id=record["id"], width=sides[0], height=sides[1], file_names=tuple(names))


def _check_our_keys(record: dict[str, Any], length: int, where: str, problems: Problems) -> None:
    """What only our own files say of a video, and training reads."""
    try:
        with_our_keys(Video(id=record["id"], width=1, height=1, length=length), record, where)
    except DataError as error:
        problems.note("video-record", where, str(error).removeprefix(f"{where}: "))


def _annotation_ids(annotations: Sequence[Any], problems: Problems) -> None:
    ids = Counter(record["id"] for record in annotations if isinstance(record, dict) and is_whole(record.get("id")))
    for track_id, count in ids.items():
        if count > 1:
            problems.note("annotation-id-repeated", f"annotation {track_id}", f"stands {count} times in the file")
        if track_id < 1:
            problems.note("annotation-id-zero", f"annotation {track_id}", "ids start at 1; evaluators take 0 for none")


def _record_place(record: Any, place: int) -> str:
    has_id = isinstance(record, dict) and is_whole(record.get("id"))
    return f"annotation {record['id']}" if has_id else f"annotation at position {place}"


def _is_annotation(record: Any, where: str, problems: Problems) -> bool:
    if not isinstance(record, dict):
        problems.note("annotation-record", where, f"{_short(record)} is no object")
        return False
    wrong = [key for key in ("id", "video_id", "category_id") if not is_whole(record.get(key))]
    if wrong:
        problems.note("annotation-record", where, f"{wrong[0]} is {_short(record.get(wrong[0]))}, not a whole number")
    elif not isinstance(record.get("segmentations"), list):
        problems.note(
            "annotation-record", where, f"segmentations are {_short(record.get('segmentations'))}, not a list"
        )
        wrong = ["segmentations"]
    if "iscrowd" not in record:
        problems.note("crowd-missing", where, "iscrowd is missing")
    else:
        _check_crowd_mark(record, where, problems)
    return not wrong


def _check_crowd_mark(record: dict[str, Any], where: str, problems: Problems) -> None:
    mark = record["iscrowd"]
    try:
        is_crowd = crowd_mark(record, where)
    except DataError:
        problems.note("crowd-flag", where, f"iscrowd is {_short(mark)}")
    else:
        if type(mark) not in (int, float):
            problems.note("crowd-type", where, f"iscrowd is {_short(mark)}, read as {int(is_crowd)}")


def _check_track(record: dict[str, Any], video: CheckedVideo, where: str, problems: Problems) -> list[bytes | None]:
    """Note the faults of one track; returns the strings of its masks."""
    length = len(video.file_names)
    for key in ("segmentations", "bboxes", "areas", "occlusion"):
        values = record.get(key)
        if values is not None and not isinstance(values, list):
            problems.note("list-length", where, f"{key} are {_short(values)}, not a list")
        elif values is not None and len(values) != length:
            problems.note("list-length", where, f"{len(values)} {key} for {length} frames")
    if isinstance(record.get("occlusion"), list):
        try:
            check_occlusion(record, where)
        except DataError as error:
            problems.note("annotation-record", where, str(error).removeprefix(f"{where}: "))
    masks = list(decoded_masks(record, video, where, problems))
    if not any(rle.area(mask) for mask in masks if mask is not None) and not any(_is_faulty(record, masks)):
        problems.note("track-empty", where, f"has no pixel in any of {len(masks)} frames")
    for kind, key in (("box-missing", "bboxes"), ("area-missing", "areas")):
        if record.get(key) is None:
            problems.note(kind, where, f"has no {key}")
    _check_boxes_and_areas(record, masks, where, problems)
    return [None if mask is None else mask.counts for mask in masks]


def decoded_masks(record: dict[str, Any], video: CheckedVideo, where: str, problems: Problems) -> Iterator[Rle | None]:
    """The masks of a track, None for null and for what cannot be decoded, which is noted."""
    for frame, mask in enumerate(record["segmentations"]):
        place = f"{where}, frame {frame}"
        try:
            sound = rle.parse(mask, height=video.height, width=video.width, where=place)
        except RleError as error:
            is_sized = isinstance(mask, dict) and "size" in mask and mask["size"] != [video.height, video.width]
            message = str(error).removeprefix(f"{place}: ")
            problems.note("mask-size" if is_sized else "mask-content", place, message)
            sound = None
        if sound is not None and not rle.area(sound):
            problems.note("mask-empty", place, "a mask without pixels; null says that an object is absent")
        yield sound


def _is_faulty(record: dict[str, Any], masks: Sequence[Rle | None]) -> Iterator[bool]:
    """Whether a frame's mask stands in the file but could not be decoded."""
    for given, mask in zip(record["segmentations"], masks, strict=True):
        yield mask is None and given not in (None, [])


def _check_boxes_and_areas(record: dict[str, Any], masks: Sequence[Rle | None], where: str, problems: Problems) -> None:
    boxes = record["bboxes"] if isinstance(record.get("bboxes"), list) else []
    areas = record["areas"] if isinstance(record.get("areas"), list) else []
    is_faulty = list(_is_faulty(record, masks))
    for frame, mask in enumerate(masks):
        place = f"{where}, frame {frame}"
        box, area = (values[frame] if frame < len(values) else None for values in (boxes, areas))
        if is_faulty[frame]:
            continue
        if mask is None or not rle.area(mask):
            if box_has_size(box) or area:
                problems.note("box-without-mask", place, f"box {_short(box)}, area {_short(area)}, no mask")
            continue
        if frame < len(boxes) and not box_agrees(box, mask):
            problems.note("box-mismatch", place, f"box {_short(box)}, mask {list(rle.bounding_box(mask))}")
        if frame < len(areas) and not area_agrees(area, mask):
            problems.note("area-mismatch", place, f"area {_short(area)}, mask {rle.area(mask)}")


def box_has_size(box: Any) -> bool:
    return box is not None and not (isinstance(box, list) and not any(box))


def box_agrees(box: Any, mask: Rle) -> bool:
    """Whether (x, y, width, height) are those of the mask, to within `BOX_TOLERANCE` at every edge."""
    if not (isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)):
        return False
    x, y, width, height = rle.bounding_box(mask)
    edges = zip((box[0], box[1], box[0] + box[2], box[1] + box[3]), (x, y, x + width, y + height), strict=True)
    return all(abs(stated - true) <= BOX_TOLERANCE for stated, true in edges)


def area_agrees(area: Any, mask: Rle) -> bool:
    true = rle.area(mask)
    return type(area) in (int, float) and abs(area - true) <= max(2, AREA_TOLERANCE * true)


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown if len(values) <= 5 else f"{shown}, ... ({len(values)})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
