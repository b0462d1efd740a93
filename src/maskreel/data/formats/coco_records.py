"""What COCO files of images and of videos have in common: ids in any form, names, sizes and places of images."""

import logging
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from maskreel.data.formats.annotations import ReadOptions, annotation_file, tidy
from maskreel.data.formats.located import ImageFinder, plain_path, size_of
from maskreel.data.formats.look import panoptic_words
from maskreel.data.formats.shapes import odd_shapes, united
from maskreel.data.records import field_of, id_of, identified, read_document, records_of, whole
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle, RleError

logger = logging.getLogger(__name__)

Record = dict[str, Any]

_USES = {
    "categories": ("category_id",),
    "videos": ("video_id",),
    "images": ("image_id",),
    "annotations": (),
}
"""The lists of a file, and the keys under which others name their records."""


@dataclass(frozen=True)
class CocoImage:
    """An image of the file, with what the file does not tell taken from the image itself."""

    id: int
    record: Record
    name: str
    """Relative path, with slashes."""
    path: Path | None
    size: tuple[int, int]
    """(height, width)"""


def read_coco(given: Path, options: ReadOptions) -> tuple[Path, Record]:
    """The annotation file that `given` is, or the one in it, with whole numbers for ids."""
    path = annotation_file(given, "COCO", options.split, "*.json", "annotations/instances_*.json", "annotations/*.json")
    document, _ = read_document(path)
    if isinstance(document, list) and any(isinstance(one, dict) and "image_id" in one for one in document[:1]):
        raise DataError(f"{path}: COCO results (a list with image_id), not annotations; give the annotation file.")
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise DataError(f'{path}: not a COCO file; expected an object with "images", "annotations", "categories".')
    if any("segments_info" in one for one in _records(document, "annotations")):
        raise DataError(f"{path}: {panoptic_words()}.")
    for key, uses in _USES.items():
        _number(document, key, uses, path)
    return path, document


def images_of(document: Record, path: Path, options: ReadOptions) -> dict[int, CocoImage]:
    """The images by id; DataError for names that leave the folder, and for sizes that nothing tells."""
    records = identified(document, "images", f"{path}: image")
    names = {}
    for number, record in records.items():
        where = f"{path}: image {number}"
        names[number] = plain_path(field_of(record, "file_name", str, where), where)
    finder = ImageFinder(_image_folders(path, options.images), names.values())
    found = {}
    for number, name in names.items():
        image = finder.find(name)
        record = records[number]
        size = size_of(record.get("height"), record.get("width"), image, f"{path}: image {number}")
        found[number] = CocoImage(number, record, name, image, size)
    return found


def annotations_of(document: Record, path: Path) -> dict[int, Record]:
    """The annotations by id, in the order of the file; those without an id of their own get free numbers.

    Nothing else in the file names an annotation, so that its id may be lost, as where two files were put together.
    """
    records = [record for record, _ in records_of(document, "annotations", f"{path}: annotation")]
    numbers = [whole(record.get("id")) for record in records]
    free = count(max((number for number in numbers if number is not None), default=0) + 1)
    found: dict[int, Record] = {}
    for number, record in zip(numbers, records, strict=True):
        found[next(free) if number is None or number in found else number] = record
    lost = len(records) - len(set(numbers) - {None})
    if lost:
        logger.warning("%s: %d annotations without an id of their own; they are numbered anew", path, lost)
    return found


def listed_id(record: Record, key: str, known: Container[int], where: str) -> int:
    """The number of another record that this one names; DataError for one that is not listed."""
    number = id_of(record, key, where)
    if number not in known:
        raise DataError(f'{where}: "{key}" {number} is used but not listed.')
    return number


def check_masks(records: Collection[Record], path: Path) -> None:
    """DataError for annotations none of which has a mask."""
    if records and not any(record.get("segmentation") for record in records):
        raise DataError(f"{path}: its {len(records)} annotations are boxes without masks; export segmentations.")


def mask_of(record: Record, image: CocoImage, path: Path, item: str, options: ReadOptions) -> Rle | None:
    """The mask of an annotation; None where it has no pixel, or is left out.

    Of several polygons those are left out alone that cannot be drawn.
    """
    height, width = image.size
    stored = record.get("segmentation")
    try:
        return tidy(rle.parse(stored, height=height, width=width, where=f"{path}: {item}"))
    except RleError:
        is_in_parts = isinstance(stored, list) and len(stored) > 1 and isinstance(stored[0], list)
        parts = [[part] for part in stored] if isinstance(stored, list) and is_in_parts else [stored]
    masks = []
    for number, part in enumerate(parts):
        with odd_shapes(options, path, f"{item}, part {number}" if is_in_parts else item) as where:
            mask = rle.parse(part, height=height, width=width, where=where)
            masks += [] if mask is None else [mask]
    return tidy(united(masks)) if masks else None


def _image_folders(path: Path, images: Path | None) -> list[Path]:
    """Where images may lie: as COCO, CVAT and FiftyOne unpack them beside the annotations, or beside the file."""
    if images is not None:
        return [images]
    word = path.stem.removeprefix("instances_")
    above = path.parent.parent if path.parent.name == "annotations" else path.parent
    return [
        *(path.parent / "images", path.parent / word, path.parent / "data"),
        *(above / "images" / word, above / "images", above / word, above / "data", path.parent),
    ]


def _number(document: Record, key: str, uses: Iterable[str], path: Path) -> None:
    """Make the ids of a list whole numbers, where they are floats or texts; names are counted from 1."""
    records = list(_records(document, key))
    ids = [record.get("id") for record in records]
    if all(type(one) is int for one in ids) and not any(
        _is_text(one.get(use)) for use in uses for one in _all(document)
    ):
        return
    numbers = [whole(one) for one in ids]
    if None in numbers or len(set(numbers)) < len({str(one) for one in ids}):
        if any(one is None or isinstance(one, bool | list | dict) for one in ids):
            return
        known = {name: number for number, name in enumerate(dict.fromkeys(map(_name, ids)), start=1)}
        logger.warning("%s: the ids of %s are names; they are numbered from 1", path, key)
    else:
        known = None
    for record, keys in [(one, ("id",)) for one in records] + [(one, tuple(uses)) for one in _all(document)]:
        for one in keys:
            value = record.get(one)
            number = (
                known.get(_name(value)) if known is not None and not isinstance(value, list | dict) else whole(value)
            )
            if number is not None:
                record[one] = number


def _name(value: Any) -> str:
    number = whole(value) if not isinstance(value, str) else None
    return str(value if number is None else number)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | float)


def _all(document: Record) -> Iterator[Record]:
    for key in ("images", "annotations", "tracks"):
        yield from _records(document, key)


def _records(document: Record, key: str) -> Iterator[Record]:
    values = document.get(key)
    return (one for one in (values if isinstance(values, list) else ()) if isinstance(one, dict))
