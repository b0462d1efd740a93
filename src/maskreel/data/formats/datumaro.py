"""Datumaro: one JSON file of items (frames) and their annotations, as the tool itself and CVAT write it.

Objects are told from frame to frame by the attribute `track_id`, as CVAT writes it; one without it is a track of one
frame. Polygons, masks, boxes and ellipses are read. Labels count from 1 in the order of the file.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    annotation_file,
    numbers_of,
    tidy,
    with_distinct_names,
)
from maskreel.data.formats.images import in_order
from maskreel.data.formats.located import ImageFinder, plain_path, size_of
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import box_corners, ellipse_corners, odd_shapes, polygon_mask, united
from maskreel.data.records import crowd_mark, field_of, read_document, records_of, shortened, whole
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError

Record = dict[str, Any]


Key = int | tuple[int, int]
"""What names an object: its track id, or its place where it has none."""


@dataclass(kw_only=True)
class _Object:
    category_id: int
    is_crowd: bool = False
    masks: dict[int, list[Rle]] = field(default_factory=lambda: defaultdict(list))
    """By position of the frame."""


@dataclass(kw_only=True)
class _Frame:
    stem: str
    number: int | None
    image: Path | None
    name: str
    size: tuple[int, int]
    """(height, width)"""
    shapes: list[tuple[Record, str]] = field(default_factory=list)
    """Each with its place in the file."""


def recognises(look: Look) -> bool:
    return look.document.has_list("items") and "categories" in look.document.keys


def read(given: Path, options: ReadOptions) -> Annotations:
    """The file, or `annotations/SPLIT.json` or the only one of a folder; images lie in `images/SUBSET` or `images`.

    Items whose names have folders are the frames of a video for each folder.
    """
    path = annotation_file(given, "Datumaro", options.split, "*.json", "annotations/*.json")
    document, _ = read_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise DataError(f'{path}: not a Datumaro file; expected an object with "items" and "categories"')
    categories = _categories(document, path)
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    folders = [options.images] if options.images is not None else [root / "images" / path.stem, root / "images", root]
    items = records_of(document, "items", f"{path}: item")
    names = [_names(record, where) for record, where in items]
    finder = ImageFinder(folders, (name for _, name in names))
    by_video: dict[str, list[_Frame]] = defaultdict(list)
    for (record, where), (item, name) in zip(items, names, strict=True):
        frame = _frame(record, item, name, finder, where)
        by_video[str(PurePosixPath(frame.name).parent)].append(frame)
    alone = root.name or path.stem
    videos = [
        _video(number, alone if folder == "." else folder, frames, categories, path, options)
        for number, (folder, frames) in enumerate(by_video.items(), start=1)
    ]
    return Annotations(categories=categories, videos=tuple(with_distinct_names(videos)))


def _categories(document: Record, path: Path) -> tuple[Category, ...]:
    groups = field_of(document, "categories", dict, f"{path}")
    labels = groups.get("label")
    if not isinstance(labels, dict):
        raise DataError(f"{path}: its categories hold no labels")
    records = records_of(labels, "labels", f"{path}: label")
    names = [field_of(record, "name", str, where) for record, where in records]
    return tuple(Category(id=number, name=name) for number, name in enumerate(names, start=1))


def _names(record: Record, where: str) -> tuple[str, str]:
    """Of an item, and of its image."""
    item = plain_path(field_of(record, "id", str, where), where)
    media = record.get("image") or record.get("media")
    named = media.get("path") if isinstance(media, dict) else None
    return item, plain_path(named, where) if isinstance(named, str) and named else f"{item}.jpg"


def _frame(record: Record, item: str, name: str, finder: ImageFinder, where: str) -> _Frame:
    media = record.get("image") or record.get("media") or {}
    image = finder.find(name) or finder.find_stem(item)
    attributes = record.get("attr")
    number = whole(attributes.get("frame")) if isinstance(attributes, dict) else None
    suffix = (image or PurePosixPath(name)).suffix
    shapes = records_of({"annotations": [], **record}, "annotations", f"{where}: annotation")
    return _Frame(
        stem=PurePosixPath(item).name,
        number=number,
        image=image,
        name=f"{item}{suffix}",
        size=size_of(*_stated_size(media), image, where),
        shapes=shapes,
    )


def _stated_size(media: Any) -> tuple[Any, Any]:
    size = media.get("size") if isinstance(media, dict) else None
    return (size[0], size[1]) if isinstance(size, list) and len(size) == 2 else (None, None)


def _video(
    number: int,
    name: str,
    frames: list[_Frame],
    categories: Sequence[Category],
    path: Path,
    options: ReadOptions,
) -> AnnotatedVideo:
    frames = _ordered(frames)
    if len({frame.size for frame in frames}) != 1:
        raise DataError(f"{path}: video {name!r} has frames of several sizes; expected one")
    objects = _objects(frames, categories, path, options)
    ids = _ids(objects)
    stems = [frame.stem for frame in frames]
    numbers = [frame.number for frame in frames if frame.number is not None]
    is_counted = len(numbers) == len(frames) and sorted(set(numbers)) == numbers
    return AnnotatedVideo(
        id=number,
        name=name,
        width=frames[0].size[1],
        height=frames[0].size[0],
        frame_numbers=tuple(numbers) if is_counted else numbers_of(stems),
        file_names=tuple(frame.name if "/" in frame.name else f"{name}/{frame.name}" for frame in frames),
        images=tuple(frame.image for frame in frames),
        tracks=tuple(
            AnnotatedTrack(
                id=ids[key],
                category_id=one.category_id,
                segmentations=tuple(tidy(united(one.masks[t])) if t in one.masks else None for t in range(len(frames))),
                is_crowd=one.is_crowd,
            )
            for key, one in objects.items()
        ),
    )


def _objects(
    frames: Sequence[_Frame], categories: Sequence[Category], path: Path, options: ReadOptions
) -> dict[Key, _Object]:
    """What the frames show, in the order in which it is first seen."""
    objects: dict[Key, _Object] = {}
    for t, frame in enumerate(frames):
        for place, (shape, where) in enumerate(frame.shapes):
            with odd_shapes(options, path, where.removeprefix(f"{path}: ")):
                mask = _mask(shape, frame.size, where)
                if mask is None:
                    continue
                label, key = _label(shape, categories, where), _key(shape, (t, place), where)
                one = objects.setdefault(key, _Object(category_id=label))
                if one.category_id != label:
                    raise DataError(f"{where}: track {key} has another label than in frames before")
                one.masks[t].append(mask)
                attributes = _attributes(shape)
                one.is_crowd |= crowd_mark({"iscrowd": attributes.get("is_crowd", attributes.get("iscrowd"))}, where)
    return objects


def _ordered(frames: list[_Frame]) -> list[_Frame]:
    """By the numbers that the items state, else by those in their names."""
    numbers = {frame.number for frame in frames}
    if None not in numbers and len(numbers) == len(frames):
        return sorted(frames, key=lambda frame: frame.number or 0)
    by_stem = {frame.stem: frame for frame in frames}
    return [by_stem[stem] for stem in in_order(by_stem)]


def _attributes(shape: Record) -> Record:
    attributes = shape.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _key(shape: Record, place: tuple[int, int], where: str) -> Key:
    """The track id of a shape; where it has none, its place."""
    value = _attributes(shape).get("track_id")
    if value is None:
        return place
    number = whole(value)
    if number is None:
        raise DataError(f"{where}: track_id is {shortened(value)}; expected a whole number")
    return number


def _ids(keys: Iterable[Key]) -> dict[Key, int]:
    """Track ids; shapes without one get those that follow the greatest."""
    numbers = {key: key for key in keys if isinstance(key, int)}
    loose = [key for key in keys if not isinstance(key, int)]
    return numbers | dict(zip(loose, count(max(numbers, default=0) + 1), strict=False))


def _label(shape: Record, categories: Sequence[Category], where: str) -> int:
    number = field_of(shape, "label_id", int, where)
    if not 0 <= number < len(categories):
        raise DataError(f"{where}: label_id {number} is none of the {len(categories)} labels")
    return number + 1


def _mask(shape: Record, size: tuple[int, int], where: str) -> Rle | None:
    """None for an annotation that is no shape."""
    kind = shape.get("type")
    if kind in ("label", "caption", "tag"):
        return None
    sides = {"height": size[0], "width": size[1], "where": where}
    if kind == "mask":
        return rle.parse(shape.get("rle"), **sides)
    if kind == "polygon":
        return polygon_mask(field_of(shape, "points", list, where), **sides)
    if kind not in ("bbox", "rotated_bbox", "ellipse"):
        raise RleError(f"{where}: a {shortened(kind)} has no mask")
    values = field_of(shape, "bbox" if "bbox" in shape else "points", list, where)
    turn = _attributes(shape).get("rotation", shape.get("rotation", 0.0))
    are_numbers = all(type(value) in (int, float) and abs(value) < 2**31 for value in [*values, turn])
    if not are_numbers or not 4 <= len(values) <= 5:
        raise RleError(f"{where}: its box is {shortened(values)}; expected four numbers")
    first, second, third, fourth, *rotation = map(float, values)
    turn = float(turn)
    if kind == "ellipse":
        left, top, right, bottom = (first, second, third, fourth)
        if "points" not in shape:
            right, bottom = left + third, top + fourth
        across, down = (right - left) / 2, (bottom - top) / 2
        return polygon_mask(ellipse_corners(left + across, top + down, across, down, rotation=turn), **sides)
    if kind == "rotated_bbox":
        first, second, turn = first - third / 2, second - fourth / 2, rotation[0] if rotation else turn
    return polygon_mask(box_corners(first, second, first + third, second + fourth, rotation=turn), **sides)
