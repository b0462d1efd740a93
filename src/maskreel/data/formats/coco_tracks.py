"""COCO files of videos: annotations carry track ids, images belong to videos. Import and export.

Both dialects are read and written at once: `frame_id` and `instance_id` (CocoVID), `frame_index`, `track_id` and
`tracks` (TAO). CVAT's COCO export is read too: `attributes.track_id`, without videos; an object without a track id is
a track of one frame there.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    check_name,
    numbers_of,
    with_distinct_names,
)
from maskreel.data.formats.coco import are_videos
from maskreel.data.formats.coco_records import (
    CocoImage,
    Record,
    annotations_of,
    check_masks,
    images_of,
    listed_id,
    mask_of,
    read_coco,
)
from maskreel.data.formats.images import in_order
from maskreel.data.formats.located import plain_name
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_shapes
from maskreel.data.records import (
    crowd_mark,
    frame_rate,
    id_of,
    identified,
    read_categories,
    records_of,
    shortened,
    whole,
)
from maskreel.data.tracks import AnnotatedTrack
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

logger = logging.getLogger(__name__)

TRACK_KEYS = ("track_id", "instance_id")


@dataclass(kw_only=True)
class _Object:
    category_id: int
    is_crowd: bool = False
    masks: dict[int, Rle | None] = field(default_factory=dict)
    """By image."""


Objects = dict[int, dict[Any, _Object]]
"""Per video and track id, in the order of the file."""


def recognises(look: Look) -> bool:
    document = look.document
    is_panoptic = "segments_info" in document.nested("annotations")
    return document.has_list("images") and are_videos(document) and not is_panoptic


def read(given: Path, options: ReadOptions) -> Annotations:
    """Videos whose annotations carry track ids."""
    path, document = read_coco(given, options)
    categories = read_categories(document, path)
    images = images_of(document, path, options)
    videos, by_video = _videos(document, images, path)
    known = {category.id for category in categories}
    video_of = {one: number for number, ones in by_video.items() for one in ones}
    objects = _objects(document, images, video_of, known, path, options)
    result = []
    for number, frames in by_video.items():
        if not frames:
            options.left_out.leave_out("video", path, f"video {number}", "it has no images")
            continue
        ordered = _ordered([images[one] for one in frames], path)
        result.append(_video(number, videos.get(number), ordered, objects[number], path))
    return Annotations(categories=categories, videos=tuple(with_distinct_names(result)))


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`SPLIT.json`; images go to the places of `image_path`."""
    images: list[Record] = []
    records: list[Record] = []
    tracks: list[Record] = []
    for video in annotations.videos:
        first = len(images) + 1
        images += list(_image_records(video, first))
        for track in video.tracks:
            own = {"id": track.id, "category_id": track.category_id, "iscrowd": int(track.is_crowd)}
            tracks.append({**own, "video_id": video.id})
            for t, mask in enumerate(track.segmentations):
                if mask is not None:
                    common = {"id": len(records) + 1, "image_id": first + t, "video_id": video.id}
                    records.append({**common, **_annotation_record(track, mask)})
    document = {
        "videos": [_video_record(video) for video in annotations.videos],
        "images": images,
        "categories": [{"id": category.id, "name": category.name} for category in annotations.categories],
        "tracks": tracks,
        "annotations": records,
    }
    (folder / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    return f"{split}/{video.file_names[frame]}"


def _videos(
    document: Record, images: Mapping[int, CocoImage], path: Path
) -> tuple[dict[int, Record], dict[int, list[int]]]:
    """The records of videos by id, and the images of each; where the file lists none, by folder or all in one."""
    if "videos" in document or any("video_id" in one.record for one in images.values()):
        videos = identified({"videos": [], **document}, "videos", f"{path}: video")
        members: dict[int, list[int]] = {number: [] for number in videos}
        for number, image in images.items():
            video_id = id_of(image.record, "video_id", f"{path}: image {number}")
            if video_id not in videos and "videos" in document:
                raise DataError(f'{path}: "video_id" {video_id} is used but not listed.')
            members.setdefault(video_id, []).append(number)
        return videos, members
    folders = {number: PurePosixPath(image.name).parent.as_posix() for number, image in images.items()}
    seen: dict[Any, set[str]] = defaultdict(set)
    for record, where in records_of(document, "annotations", f"{path}: annotation"):
        seen[_track_key(record)].add(folders.get(id_of(record, "image_id", where), ""))
    if any(len(places) > 1 for key, places in seen.items() if key is not None):
        # A track that goes from folder to folder: they are parts of one video.
        folders = dict.fromkeys(folders, ".")
    groups: dict[str, list[int]] = defaultdict(list)
    for number, folder in folders.items():
        groups[folder].append(number)
    return {}, dict(enumerate(groups.values(), start=1))


def _track_key(record: Record) -> Any:
    """What names the track of an annotation; None where nothing does."""
    attributes = record.get("attributes")
    for place in (record, attributes if isinstance(attributes, dict) else {}):
        for key in TRACK_KEYS:
            if place.get(key) is not None:
                value = place[key]
                return value if isinstance(value, int) and not isinstance(value, bool) else _whole_or_name(value)
    return None


def _whole_or_name(value: Any) -> Any:
    number = whole(value)
    return number if number is not None else value if isinstance(value, str) else shortened(value)


def _objects(
    document: Record,
    images: Mapping[int, CocoImage],
    video_of: Mapping[int, int],
    known: Container[int],
    path: Path,
    options: ReadOptions,
) -> Objects:
    objects: Objects = defaultdict(dict)
    for record, where in records_of({"tracks": [], **document}, "tracks", f"{path}: track"):
        video_id, key = id_of(record, "video_id", where), _whole_or_name(record.get("id"))
        one = _Object(category_id=listed_id(record, "category_id", known, where), is_crowd=crowd_mark(record, where))
        objects[video_id][key] = one
    annotations = annotations_of(document, path)
    check_masks(annotations.values(), path)
    _check_tracks(annotations.values(), path)
    for number, record in annotations.items():
        item = f"annotation {number}"
        is_crowd = crowd_mark(record, f"{path}: {item}")
        with odd_shapes(options, path, item) as where:
            image_id = listed_id(record, "image_id", images, where)
            category_id = listed_id(record, "category_id", known, where)
            key = _track_key(record)
            key = f"annotation {number}" if key is None else key
            mask = mask_of(record, images[image_id], path, item, options)
            if mask is None and key not in objects[video_of[image_id]]:
                continue
            one = objects[video_of[image_id]].setdefault(key, _Object(category_id=category_id))
            if one.category_id != category_id:
                raise DataError(f"{where}: track {key} has class {category_id} here and {one.category_id} elsewhere.")
            if image_id in one.masks:
                raise DataError(f"{where}: track {key} has another mask in image {image_id}")
            one.is_crowd |= is_crowd
            one.masks[image_id] = mask
    return objects


def _check_tracks(records: Collection[Record], path: Path) -> None:
    """DataError for annotations none of which has a track id."""
    if records and all(_track_key(record) is None for record in records):
        raise DataError(
            f'{path}: no annotation has a "track_id" or "instance_id", so objects are not told from frame to frame; '
            "--from coco reads single images."
        )


def _ordered(images: list[CocoImage], path: Path) -> list[tuple[int, CocoImage]]:
    """The images of a video with their frame numbers: those stated, else those of the names."""
    if all(_frame_key(image.record) for image in images):
        numbered = [(_frame_number(image, path), image) for image in images]
        return sorted(numbered, key=lambda pair: pair[0])
    by_name = {str(PurePosixPath(image.name).with_suffix("")): image for image in images}
    if len(by_name) < len(images):
        raise DataError(f"{path}: two images of a video have one name, and no frame_id tells their order.")
    ordered = [by_name[name] for name in in_order(by_name)]
    return list(zip(numbers_of(image.name for image in ordered), ordered, strict=True))


def _frame_key(record: Record) -> str | None:
    return next((key for key in ("frame_index", "frame_id") if record.get(key) is not None), None)


def _frame_number(image: CocoImage, path: Path) -> int:
    key = _frame_key(image.record)
    assert key is not None, "looked for before"
    return id_of(image.record, key, f"{path}: image {image.id}")


def _video(
    number: int, record: Record | None, frames: list[tuple[int, CocoImage]], objects: dict[Any, _Object], path: Path
) -> AnnotatedVideo:
    sizes = {image.size for _, image in frames}
    if len(sizes) != 1:
        raise DataError(f"{path}: video {number} has images of {len(sizes)} sizes; expected one.")
    height, width = sizes.pop()
    folder = PurePosixPath(frames[0][1].name).parent.as_posix()
    stated = record.get("name") if record is not None else None
    name = plain_name(stated) if isinstance(stated, str) and stated else folder if folder != "." else _name_of(path)
    if stated and name != stated:
        logger.warning("%s: video %r is named %r here, as not every file system takes its name", path, stated, name)
    check_name(name, f"{path}: video {number}")
    ids = _ids(objects)
    return AnnotatedVideo(
        id=number,
        name=name,
        width=width,
        height=height,
        frame_numbers=tuple(frame for frame, _ in frames),
        file_names=tuple(image.name if "/" in image.name else f"{name}/{image.name}" for _, image in frames),
        images=tuple(image.path for _, image in frames),
        tracks=tuple(
            AnnotatedTrack(
                id=ids[key],
                category_id=one.category_id,
                segmentations=tuple(one.masks.get(image.id) for _, image in frames),
                is_crowd=one.is_crowd,
            )
            for key, one in objects.items()
        ),
        fps=None if record is None else frame_rate(record, f"{path}: video {number}"),
    )


def _name_of(path: Path) -> str:
    """Of a video that the file does not name: that of the export."""
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    return root.resolve().name or path.stem


def _ids(objects: Mapping[Any, _Object]) -> dict[Any, int]:
    """Whole numbers as they are; names are numbered behind them in the order of the file."""
    numbers = [key for key in objects if isinstance(key, int)]
    names = [key for key in objects if not isinstance(key, int)]
    first = max(numbers, default=0) + 1
    return {key: key for key in numbers} | {key: first + at for at, key in enumerate(names)}


def _video_record(video: AnnotatedVideo) -> Record:
    record = {"id": video.id, "name": video.name, "width": video.width, "height": video.height}
    return {**record, **video.plain_fps}


def _image_records(video: AnnotatedVideo, first: int) -> Iterator[Record]:
    for t, (name, number) in enumerate(zip(video.file_names, video.frame_numbers, strict=True)):
        yield {
            "id": first + t,
            "file_name": name,
            "width": video.width,
            "height": video.height,
            "video_id": video.id,
            "frame_id": t,
            "frame_index": number,
        }


def _annotation_record(track: AnnotatedTrack, mask: Rle) -> Record:
    return {
        "category_id": track.category_id,
        "track_id": track.id,
        "instance_id": track.id,
        "iscrowd": int(track.is_crowd),
        "segmentation": mask.to_json(),
        "area": rle.area(mask),
        "bbox": list(rle.bounding_box(mask)),
    }
