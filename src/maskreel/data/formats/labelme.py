"""LabelMe: one JSON file per frame beside its image, one folder per video.

A shape's `group_id` names its object from frame to frame; shapes of one object in a frame are united. Without it the
label names the object, where it stands once in each frame at most. Class ids are no part of the format: they count
from 1 in the order of `labels.txt`, or of the names. Objects are written as shapes of the type "mask", which keep every
pixel; polygons, rectangles, circles and masks are read.
"""

import base64
import json
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    flat_name,
    tidy,
)
from maskreel.data.formats.images import (
    check_folder,
    images_by_stem,
    in_order,
    read_lines,
    video_folders,
    video_of_files,
)
from maskreel.data.formats.labelme_shapes import Record, has_area, mask_text, shape_mask
from maskreel.data.formats.located import size_of
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files, odd_shapes, united
from maskreel.data.records import crowd_mark, field_of, read_document, records_of, shortened, whole
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.files import is_beside_results
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle
from maskreel.video.images import is_image

logger = logging.getLogger(__name__)

LABELS = "labels.txt"
CROWD = "iscrowd"
"""Flag of a shape."""
NO_CLASSES = ("__ignore__", "_background_")
"""Lines that LabelMe's own tools expect in `labels.txt`."""

Key = int | str
"""What names an object: the group id, or the label where there is none."""


@dataclass(kw_only=True)
class _Folder:
    """What the files of a video say, with objects by their group ids."""

    name: str
    files: dict[str, Path | None]
    """By the stem of each frame; None where a frame has an image alone."""
    image_files: dict[str, Path]
    size: tuple[int, int] = (0, 0)
    """(height, width)"""
    labels: dict[Key, str] = field(default_factory=dict)
    crowds: set[Key] = field(default_factory=set)
    masks: dict[tuple[Key, str], Rle] = field(default_factory=dict)
    """By object and stem."""


def recognises(look: Look) -> bool:
    return look.document.has_list("shapes") and "imagePath" in look.document.keys


def read(given: Path, options: ReadOptions) -> Annotations:
    """Every folder with JSON files, or the folder itself; an image without a file is a frame without objects."""
    check_folder(given, "a folder of JSON files, or of such folders")
    folders = [folder for folder in (given, *video_folders(given)) if _label_files(folder)]
    if not folders:
        raise DataError(f"{given}: no JSON files, neither in it nor in its folders.")
    labels = _read_labels(given / LABELS)
    parts = [_read_folder(folder, given, options) for folder in folders]
    used = {label for part in parts for label in part.labels.values()}
    names = labels or sorted(used)
    unknown = sorted(used - set(names))
    if unknown:
        raise DataError(f"{given / LABELS}: the label {unknown[0]!r} is used but not listed.")
    ids = {name: number for number, name in enumerate(names, start=1)}
    return Annotations(
        categories=tuple(Category(id=number, name=name) for name, number in ids.items()),
        videos=tuple(_video(part, number, ids) for number, part in enumerate(parts, start=1)),
    )


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`VIDEO/00000.json` for every frame, and `labels.txt`; images go beside the files."""
    names = {category.id: category.name for category in annotations.categories}
    if any("\n" in name or name in NO_CLASSES for name in names.values()):
        raise DataError(f"classes {list(names.values())}: one of the names has a meaning of its own in {LABELS}.")
    (folder / LABELS).write_text("".join(f"{name}\n" for name in names.values()), encoding="utf-8")
    for video in annotations.videos:
        target = folder / flat_name(video)
        target.mkdir()
        for t, frame in enumerate(video.frame_numbers):
            document = {
                "version": "5.5.0",
                "flags": {},
                "shapes": [
                    _shape_record(track, mask, names[track.category_id])
                    for track in video.tracks
                    if (mask := track.segmentations[t]) is not None
                ],
                "imagePath": Path(image_path(video, t, split)).name,
                "imageData": None,
                "imageHeight": video.height,
                "imageWidth": video.width,
            }
            (target / f"{frame:05d}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    return f"{flat_name(video)}/{video.frame_numbers[frame]:05d}{Path(video.file_names[frame]).suffix}"


def _label_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("[!.]*.json")) if not is_beside_results(path)]


def _read_labels(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [line for line in read_lines(path) if line.strip() and line not in NO_CLASSES]


def _read_folder(folder: Path, given: Path, options: ReadOptions) -> _Folder:
    images = options.images
    beside = images_by_stem(folder if images is None else images / folder.name)
    image_files = beside or (images_by_stem(images) if images is not None else {})
    files = {path.stem: path for path in _label_files(folder)}
    part = _Folder(name=folder.resolve().name, files={}, image_files=image_files)
    taken: dict[Path, str] = {}
    unusable = set(files)
    for stem, path in files.items():
        with odd_files(options, path, among=files):
            document, _ = read_document(path)
            if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
                raise DataError(f'{path}: not a LabelMe file; expected an object with "shapes".')
            named = field_of({**document, "imagePath": document.get("imagePath") or stem}, "imagePath", str, f"{path}")
            if stem not in image_files and images is None:
                found = _named_image(folder, given, named) or _embedded_image(document, part.name, stem, options)
                if found is not None:
                    image_files[stem] = found
                    taken[found] = stem
            size = size_of(document.get("imageHeight"), document.get("imageWidth"), image_files.get(stem), f"{path}")
            if part.size not in ((0, 0), size):
                raise DataError(f"{path}: {size[1]}x{size[0]} pixels, other frames have {part.size[1]}x{part.size[0]}.")
            part.size = size
            _add_shapes(part, stem, document, path, options)
            unusable.discard(stem)
    if files and len(unusable) == len(files):
        raise DataError(f"{folder}: none of its {len(files)} JSON files can be used.")
    # An image that a file names is the frame of that file, not one more.
    part.image_files = {stem: path for stem, path in image_files.items() if taken.get(path, stem) == stem}
    part.files = {stem: files.get(stem) for stem in in_order({*files, *part.image_files} - unusable)}
    return part


def _named_image(folder: Path, given: Path, named: str) -> Path | None:
    """The image that a file names, where it lies in the folder that was given; else the one of that name beside it."""
    name = re.sub("[\0\ud800-\udfff]", "_", named.replace("\\", "/"))
    root = Path(os.path.realpath(given))
    for path in (folder / name, folder / name.rpartition("/")[2]):
        real = Path(os.path.realpath(path))
        if is_image(real) and real.is_relative_to(root) and real.is_file():
            return real
    return None


def _embedded_image(document: Record, name: str, stem: str, options: ReadOptions) -> Path | None:
    """The image that is stored in the file itself, written out for as long as the conversion takes."""
    text = document.get("imageData")
    if not isinstance(text, str) or options.scratch is None:
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    ending = ".png" if content.startswith(b"\x89PNG") else ".jpg"
    path = options.scratch / "labelme" / name / f"{stem}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _add_shapes(part: _Folder, stem: str, document: Record, path: Path, options: ReadOptions) -> None:
    shapes = records_of(document, "shapes", f"{path}: shape")
    loose = Counter(str(shape.get("label")) for shape, _ in shapes if _is_loose(shape) and has_area(shape))
    for shape, where in shapes:
        label, flags = str(shape.get("label")), shape.get("flags")
        if loose[label] > 1 and _is_loose(shape) and has_area(shape):
            raise DataError(
                f"{where}: {loose[label]} shapes {label!r} have no group_id, which tells objects apart from frame to "
                "frame; set one."
            )
        is_crowd = isinstance(flags, dict) and crowd_mark(flags, where)
        with odd_shapes(options, path, where.removeprefix(f"{path}: ")):
            mask = shape_mask(shape, part.size, where)
            label, key = field_of(shape, "label", str, where), _key(shape, where)
            if part.labels.setdefault(key, label) != label:
                raise DataError(f"{where}: group_id {key} is {label!r} here and {part.labels[key]!r} elsewhere.")
            part.crowds |= {key} if is_crowd else set()
            before = part.masks.get((key, stem))
            part.masks[key, stem] = mask if before is None else united([before, mask])


def _is_loose(shape: Record) -> bool:
    return shape.get("group_id") in (None, "")


def _key(shape: Record, where: str) -> Key:
    """The group id, also one that is a word; the label where there is none."""
    if _is_loose(shape):
        return shape["label"]
    group = shape["group_id"]
    number = whole(group)
    if number is None and not isinstance(group, str):
        raise DataError(f"{where}: group_id is {shortened(group)}; expected a whole number.")
    return f"group_id {group}" if number is None else number


def _ids(labels: dict[Key, str]) -> dict[Key, int]:
    """Group ids as they are; objects that their labels name are numbered behind them."""
    groups = sorted(key for key in labels if isinstance(key, int))
    first = max(groups, default=0) + 1
    names = sorted(key for key in labels if isinstance(key, str))
    return {key: key for key in groups} | {key: first + at for at, key in enumerate(names)}


def _video(part: _Folder, number: int, ids: dict[str, int]) -> AnnotatedVideo:
    found = [part.image_files.get(stem) for stem in part.files]
    numbers = _ids(part.labels)
    tracks = (
        AnnotatedTrack(
            id=track_id,
            category_id=ids[part.labels[key]],
            segmentations=tuple(tidy(part.masks.get((key, stem))) for stem in part.files),
            is_crowd=key in part.crowds,
        )
        for key, track_id in numbers.items()
    )
    return video_of_files(number, part.name, part.size, part.files, found, tracks)


def _shape_record(track: AnnotatedTrack, mask: Rle, label: str) -> Record:
    """The mask as a PNG of its box; LabelMe's corners are both inside the box."""
    left, top, columns, rows = (int(side) for side in rle.bounding_box(mask))
    return {
        "label": label,
        "points": [[left, top], [left + columns - 1, top + rows - 1]],
        "group_id": track.id,
        "description": "",
        "shape_type": "mask",
        "flags": {CROWD: True} if track.is_crowd else {},
        "mask": mask_text(rle.decode(mask)[top : top + rows, left : left + columns]),
    }
