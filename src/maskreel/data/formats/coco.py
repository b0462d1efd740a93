"""COCO instance files: images alone (import), and videos whose annotations carry track ids (import and export).

Of the latter both dialects are read and written at once: `frame_id` and `instance_id` (CocoVID), `frame_index`,
`track_id` and `tracks` (TAO).
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from maskreel.data.coco_clips import CLASS_MAPS
from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    annotation_file,
    check_name,
    tidy,
    with_distinct_names,
)
from maskreel.data.listed_frames import warn_of_order
from maskreel.data.records import (
    crowd_mark,
    field_of,
    frame_rate,
    identified,
    read_categories,
    read_document,
    records_of,
)
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

logger = logging.getLogger(__name__)

Record = dict[str, Any]


def read_images(given: Path, options: ReadOptions) -> Annotations:
    """Every image as a video of one frame, its objects as tracks.

    With a class map, only its classes are kept, and only images that show one of them (more than as a crowd).
    Objects without a pixel are left out and counted in the log.
    """
    path, document = _read(given)
    categories, wanted = _wanted_classes(document, path, options.classes)
    folders = _image_folders(path, options.images)
    by_image: dict[int, list[tuple[int, Record]]] = defaultdict(list)
    for number, record in identified(document, "annotations", f"{path}: annotation").items():
        by_image[field_of(record, "image_id", int, f"{path}: annotation {number}")].append((number, record))
    images = identified(document, "images", f"{path}: image")
    _check_known(by_image, images, path, "image_id")
    videos = []
    num_empty = 0
    for number, image in images.items():
        tracks = [_image_track(record, track_id, image, wanted, path) for track_id, record in by_image[number]]
        kept = tuple(track for track in tracks if track is not None and track.segmentations[0] is not None)
        num_empty += sum(track is not None for track in tracks) - len(kept)
        if options.classes is None or any(not track.is_crowd for track in kept):
            videos.append(_video([(number, image)], number, None, kept, folders, path))
    if num_empty:
        logger.warning("%s: %d annotations without a single pixel are left out", path, num_empty)
    return Annotations(categories=categories, videos=with_distinct_names(videos))


def read_tracks(given: Path, options: ReadOptions) -> Annotations:
    """Videos whose annotations carry track ids."""
    path, document = _read(given)
    categories, _ = _wanted_classes(document, path, None)
    known = {category.id for category in categories}
    folders = _image_folders(path, options.images)
    videos = identified(document, "videos", f"{path}: video")
    by_video: dict[int, list[tuple[int, Record]]] = defaultdict(list)
    images = identified(document, "images", f"{path}: image")
    for number, image in images.items():
        by_video[field_of(image, "video_id", int, f"{path}: image {number}")].append((number, image))
    _check_known(by_video, videos, path, "video_id")
    objects = _objects(document, images, known, path)
    result = []
    for number, record in videos.items():
        frames = sorted(by_video[number], key=lambda pair: _frame_number(pair[1], f"{path}: image {pair[0]}"))
        if not frames:
            raise DataError(f"{path}: video {number} has no images.")
        tracks = tuple(_track(track_id, one, frames) for track_id, one in objects[number].items())
        result.append(_video(frames, number, record, tracks, folders, path))
    warn_of_order(path, ((video.id, video.file_names) for video in result))
    return Annotations(categories=categories, videos=with_distinct_names(result))


def write_tracks(annotations: Annotations, folder: Path, split: str) -> None:
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


def _read(given: Path) -> tuple[Path, Record]:
    """The annotation file that `given` is, or the one in it."""
    given = annotation_file(given, "COCO", "*.json", "annotations/instances_*.json")
    document, _ = read_document(given)
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise DataError(f'{given}: not a COCO file; expected an object with "images", "annotations", "categories".')
    return given, document


def _wanted_classes(document: Record, path: Path, class_map: str | None) -> tuple[tuple[Category, ...], dict[int, int]]:
    """The classes to be, and the id of each by the id in the file; ids that are left out are missing."""
    categories = read_categories(document, path)
    if class_map is None:
        return categories, {category.id: category.id for category in categories}
    table = CLASS_MAPS[class_map]
    wanted = {
        category.id: table.names.index(table.renamed[category.name]) + 1
        for category in categories
        if category.name in table.renamed
    }
    if not wanted:
        raise DataError(f"{path}: none of its classes is one of COCO's that --classes {class_map} knows.")
    return tuple(Category(id=number, name=name) for number, name in enumerate(table.names, start=1)), wanted


def _image_folders(path: Path, images: Path | None) -> list[Path]:
    """Where images may lie: as COCO unpacks them beside `annotations`, or beside the file."""
    if images is not None:
        return [images]
    word = path.stem.removeprefix("instances_")
    return [
        folder
        for folder in (path.parent / "images", path.parent / word, path.parent.parent / word, path.parent)
        if folder.is_dir()
    ]


def _check_known(used: dict[int, Any], known: dict[int, Any], path: Path, key: str) -> None:
    for number in used:
        if number not in known:
            raise DataError(f'{path}: "{key}" {number} is used but not listed.')


def _image_track(
    record: Record, number: int, image: Record, wanted: dict[int, int], path: Path
) -> AnnotatedTrack | None:
    where = f"{path}: annotation {number}"
    category_id = field_of(record, "category_id", int, where)
    if category_id not in wanted:
        return None
    return AnnotatedTrack(
        id=number,
        category_id=wanted[category_id],
        segmentations=(_mask(record, image, where),),
        is_crowd=crowd_mark(record, where),
    )


def _objects(
    document: Record, images: dict[int, Record], known: set[int], path: Path
) -> dict[int, dict[int, tuple[int, bool, dict[int, Rle | None]]]]:
    """Per video and track, in the order of the file: class, whether it is a crowd, and mask by image."""
    objects: dict[int, dict[int, tuple[int, bool, dict[int, Rle | None]]]] = defaultdict(dict)

    def slot(video_id: int, record: Record, key: str, where: str, is_crowd: bool) -> dict[int, Rle | None]:
        track_id, category_id = (field_of(record, name, int, where) for name in (key, "category_id"))
        if category_id not in known:
            raise DataError(f'{where}: "category_id" {category_id} is not among the categories.')
        one = objects[video_id].setdefault(track_id, (category_id, is_crowd, {}))
        if one[0] != category_id:
            raise DataError(f"{where}: track {track_id} has class {category_id} here and {one[0]} elsewhere.")
        if is_crowd and not one[1]:
            one = objects[video_id][track_id] = (category_id, True, one[2])
        return one[2]

    for record, where in records_of({"tracks": [], **document}, "tracks", f"{path}: track"):
        slot(field_of(record, "video_id", int, where), record, "id", where, crowd_mark(record, where))
    for number, record in identified(document, "annotations", f"{path}: annotation").items():
        where = f"{path}: annotation {number}"
        image_id = field_of(record, "image_id", int, where)
        if image_id not in images:
            raise DataError(f'{where}: "image_id" {image_id} is not among the images.')
        key = "track_id" if "track_id" in record else "instance_id"
        masks = slot(images[image_id]["video_id"], record, key, where, crowd_mark(record, where))
        if image_id in masks:
            raise DataError(f"{where}: track {record[key]} has two masks in image {image_id}.")
        masks[image_id] = _mask(record, images[image_id], where)
    return objects


def _track(
    track_id: int, one: tuple[int, bool, dict[int, Rle | None]], frames: list[tuple[int, Record]]
) -> AnnotatedTrack:
    category_id, is_crowd, masks = one
    return AnnotatedTrack(
        id=track_id,
        category_id=category_id,
        segmentations=tuple(masks.get(image_id) for image_id, _ in frames),
        is_crowd=is_crowd,
    )


def _video(
    frames: list[tuple[int, Record]],
    number: int,
    record: Record | None,
    tracks: tuple[AnnotatedTrack, ...],
    folders: list[Path],
    path: Path,
) -> AnnotatedVideo:
    """A video of these images; `record` is its own, None for an image alone."""
    names, sizes = [], set()
    for image_id, image in frames:
        where = f"{path}: image {image_id}"
        names.append(check_name(field_of(image, "file_name", str, where), where))
        sizes.add((field_of(image, "width", int, where), field_of(image, "height", int, where)))
    if len(sizes) != 1:
        raise DataError(f"{path}: video {number} has images of {len(sizes)} sizes; expected one.")
    (width, height), first = sizes.pop(), PurePosixPath(names[0])
    if width < 1 or height < 1:
        raise DataError(f"{path}: image {frames[0][0]} has {width}x{height} pixels.")
    where = f"{path}: video {number}"
    if record is None:
        numbers, name, fps = (0,), first.with_suffix("").as_posix(), None
    else:
        numbers = tuple(_frame_number(image, f"{path}: image {image_id}") for image_id, image in frames)
        name = check_name(field_of(record, "name", str, where) if "name" in record else first.parent.as_posix(), where)
        fps = frame_rate(record, where)
    return AnnotatedVideo(
        id=number,
        name=name,
        width=width,
        height=height,
        frame_numbers=numbers,
        file_names=tuple(names),
        images=tuple(next((f / name for f in folders if (f / name).is_file()), None) for name in names),
        tracks=tracks,
        fps=fps,
    )


def _frame_number(image: Record, where: str) -> int:
    return field_of(image, "frame_index" if "frame_index" in image else "frame_id", int, where)


def _mask(record: Record, image: Record, where: str) -> Rle | None:
    height, width = (field_of(image, side, int, where) for side in ("height", "width"))
    return tidy(rle.parse(record.get("segmentation"), height=height, width=width, where=where))


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
