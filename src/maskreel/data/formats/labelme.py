"""LabelMe: one JSON file per frame beside its image, one folder per video.

A shape's `group_id` names its object from frame to frame; shapes of one object in a frame are united. Class ids are no
part of the format: they count from 1 in the order of `labels.txt`, or of the names. Objects are written as shapes of
the type "mask", which keep every pixel; polygons and masks are read.
"""

import base64
import binascii
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    check_name,
    flat_name,
    numbers_of,
    tidy,
)
from maskreel.data.formats.images import check_folder, frame_names, images_by_stem, in_order, read_lines, video_folders
from maskreel.data.records import crowd_mark, field_of, read_document, records_of
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.files import is_beside_results
from maskreel.geometry import rle
from maskreel.video.images import UNREADABLE

LABELS = "labels.txt"
CROWD = "iscrowd"
"""Flag of a shape."""
NO_CLASSES = ("__ignore__", "_background_")
"""Lines that LabelMe's own tools expect in `labels.txt`."""

Record = dict[str, Any]


@dataclass(kw_only=True)
class _Folder:
    """What the files of a video say, with objects by their group ids."""

    name: str
    files: dict[str, Path | None]
    """By the stem of each frame; None where a frame has an image alone."""
    image_files: dict[str, Path]
    size: tuple[int, int] = (0, 0)
    """(height, width)"""
    labels: dict[int, str] = field(default_factory=dict)
    crowds: set[int] = field(default_factory=set)
    masks: dict[tuple[int, str], Bool[np.ndarray, "h w"]] = field(default_factory=dict)
    """By object and stem."""


def read(given: Path, options: ReadOptions) -> Annotations:
    """Every folder with JSON files, or the folder itself; an image without a file is a frame without objects."""
    check_folder(given, "a folder of JSON files, or of such folders")
    folders = [folder for folder in (given, *video_folders(given)) if _label_files(folder)]
    if not folders:
        raise DataError(f"{given}: no JSON files, neither in it nor in its folders.")
    labels = _read_labels(given / LABELS)
    parts = [_read_folder(folder, options.images) for folder in folders]
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


def _read_folder(folder: Path, images: Path | None) -> _Folder:
    image_files = images_by_stem(folder if images is None else images / folder.name)
    files = {path.stem: path for path in _label_files(folder)}
    part = _Folder(name=folder.name, files={}, image_files=image_files)
    taken: dict[Path, str] = {}
    for stem, path in files.items():
        document, _ = read_document(path)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            raise DataError(f'{path}: not a LabelMe file; expected an object with "shapes".')
        size = (field_of(document, "imageHeight", int, f"{path}"), field_of(document, "imageWidth", int, f"{path}"))
        if min(size) < 1 or size[0] * size[1] > rle.MAX_PIXELS:
            raise DataError(f"{path}: a frame of {size[1]}x{size[0]} pixels.")
        if part.size not in ((0, 0), size):
            raise DataError(f"{path}: {size[1]}x{size[0]} pixels, other frames have {part.size[1]}x{part.size[0]}.")
        part.size = size
        named = check_name(field_of({"imagePath": stem, **document}, "imagePath", str, f"{path}"), f"{path}: imagePath")
        if stem not in image_files and images is None and (folder / named).is_file():
            image_files[stem] = folder / named
            taken[folder / named] = stem
        for shape, where in records_of(document, "shapes", f"{path}: shape"):
            _add_shape(part, stem, shape, where)
    # An image that a file names is the frame of that file, not one more.
    part.image_files = {stem: path for stem, path in image_files.items() if taken.get(path, stem) == stem}
    part.files = {stem: files.get(stem) for stem in in_order({*files, *part.image_files})}
    return part


def _add_shape(part: _Folder, stem: str, shape: Record, where: str) -> None:
    label = field_of(shape, "label", str, where)
    if shape.get("group_id") is None:
        raise DataError(f"{where}: {label!r} has no group_id, which tells objects apart from frame to frame; set one.")
    number = field_of(shape, "group_id", int, where)
    if part.labels.setdefault(number, label) != label:
        raise DataError(f"{where}: group_id {number} is {label!r} here and {part.labels[number]!r} elsewhere.")
    flags = shape.get("flags")
    if isinstance(flags, dict) and crowd_mark(flags, where):
        part.crowds.add(number)
    mask = _shape_mask(shape, part.size, where)
    before = part.masks.get((number, stem))
    part.masks[number, stem] = mask if before is None else before | mask


def _shape_mask(shape: Record, size: tuple[int, int], where: str) -> Bool[np.ndarray, "h w"]:
    height, width = size
    kind = shape.get("shape_type", "polygon")
    points = field_of(shape, "points", list, where)
    is_flat = all(isinstance(p, list) and len(p) == 2 and all(map(_is_finite, p)) for p in points)
    if not points or not is_flat:
        raise DataError(f"{where}: points are {points!r:.60}; expected pairs of numbers.")
    if kind == "polygon":
        polygon = [coordinate for point in points for coordinate in point]
        outline = rle.parse([polygon], height=height, width=width, where=where)
        assert outline is not None, "a polygon with points"
        return rle.decode(outline)
    if kind != "mask":
        raise DataError(f"{where}: a {kind} has no mask; polygons and masks have. Delete it, or draw one.")
    box = _decode_png(field_of(shape, "mask", str, where), where)
    left, top = (round(coordinate) for coordinate in points[0])
    if left < 0 or top < 0 or left + box.shape[1] > width or top + box.shape[0] > height:
        raise DataError(f"{where}: a mask of {box.shape[1]}x{box.shape[0]} at {left},{top} leaves the frame.")
    mask = np.zeros(size, dtype=bool)
    mask[top : top + box.shape[0], left : left + box.shape[1]] = box
    return mask


def _is_finite(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _decode_png(text: str, where: str) -> Bool[np.ndarray, "h w"]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as image:
            if image.width * image.height > rle.MAX_PIXELS:
                raise DataError(f"{where}: a mask of {image.width}x{image.height} pixels.")
            return np.asarray(image.convert("L")) > 0
    except DataError:
        raise
    except (binascii.Error, *UNREADABLE) as error:
        raise DataError(f"{where}: its mask is not a PNG image in base64 ({error}).") from error


def _video(part: _Folder, number: int, ids: dict[str, int]) -> AnnotatedVideo:
    height, width = part.size
    found = [part.image_files.get(stem) for stem in part.files]
    encoded = {key: tidy(rle.encode(mask)) for key, mask in part.masks.items()}
    return AnnotatedVideo(
        id=number,
        name=part.name,
        width=width,
        height=height,
        frame_numbers=numbers_of(part.files),
        file_names=frame_names(part.name, part.files, found),
        images=tuple(found),
        tracks=tuple(
            AnnotatedTrack(
                id=number,
                category_id=ids[label],
                segmentations=tuple(encoded.get((number, stem)) for stem in part.files),
                is_crowd=number in part.crowds,
            )
            for number, label in sorted(part.labels.items())
        ),
    )


def _shape_record(track: AnnotatedTrack, mask: rle.Rle, label: str) -> Record:
    """The mask as a PNG of its box; LabelMe's corners are both inside the box."""
    left, top, columns, rows = (int(side) for side in rle.bounding_box(mask))
    file = io.BytesIO()
    Image.fromarray(rle.decode(mask)[top : top + rows, left : left + columns]).save(file, format="PNG")
    return {
        "label": label,
        "points": [[left, top], [left + columns - 1, top + rows - 1]],
        "group_id": track.id,
        "description": "",
        "shape_type": "mask",
        "flags": {CROWD: True} if track.is_crowd else {},
        "mask": base64.b64encode(file.getvalue()).decode("ascii"),
    }
