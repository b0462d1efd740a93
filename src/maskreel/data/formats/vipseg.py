"""VIPSeg and other video panoptic sets: a PNG per frame whose values name segments, things and stuff alike.

As downloaded: `panomasks/VIDEO/*.png`, where a value above 124 is class * 100 + instance and a smaller one a class of
stuff. As converted to COCO's way: `panomasksRGB/VIDEO/*.png`, where red + 256 green + 65536 blue is a segment's id,
and `panoptic_gt_VIPSeg.json`, which lists the videos with their frames in order. Things become tracks by their segment
id over the frames; stuff is dropped and counted. A panoptic file of images without such an order is refused.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int

from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions, check_name, tidy
from maskreel.data.formats.images import (
    MOST_COLOURED,
    first_folder,
    images_by_stem,
    in_order,
    numbers_in,
    paired_images,
    pixels_of,
    read_indices,
    read_lines,
    video_folders,
    video_of_files,
)
from maskreel.data.formats.look import Look, panoptic_words
from maskreel.data.formats.shapes import odd_files, odd_shapes
from maskreel.data.records import crowd_mark, field_of, id_of, read_document, records_of, shortened, whole
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle
from maskreel.video.images import UNREADABLE, open_image, turned

logger = logging.getLogger(__name__)

FIRST_THING, PER_CLASS = 125, 100
MODES = ("I;16", "I;16B", "I", "L")
IMAGE_FOLDERS = ("imgs", "images", "JPEGImages")

Record = dict[str, Any]


@dataclass(kw_only=True)
class _Things:
    """What the frames of a video show, by segment id."""

    classes: dict[int, int] = field(default_factory=dict)
    crowds: set[int] = field(default_factory=set)
    masks: dict[int, dict[int, Rle]] = field(default_factory=lambda: defaultdict(dict))
    """By segment and position of the frame."""
    sizes: set[tuple[int, int]] = field(default_factory=set)


def recognises(look: Look) -> bool:
    document = look.document
    in_videos = "segments_info" in document.nested("annotations", "annotations") and document.has_list("videos")
    of_videos = "segments_info" in document.nested("annotations") and "video_id" in document.nested("images")
    return in_videos or of_videos or look.has_folder("panomasks", "panomasksRGB")


def read(given: Path, options: ReadOptions) -> Annotations:
    """The folder as downloaded or as converted, or the JSON file; images lie in `imgs` or `images`."""
    if given.is_file():
        return _read_converted(given, options)
    if not given.is_dir():
        raise UsageError(f"{given}: no such folder; expected one with panomasks/VIDEO/*.png")
    if not (given / "panomasks").is_dir() or (given / "panomasksRGB").is_dir():
        files = _files(given, "*panoptic*.json")
        of_split = [path for path in files if path.stem.endswith(f"_{options.split}")]
        if of_split or len(files) == 1:
            return _read_converted((of_split or files)[0], options)
    return _read_downloaded(given, options)


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def _read_downloaded(given: Path, options: ReadOptions) -> Annotations:
    folder = first_folder([given / "panomasks"])
    if folder is None:
        raise UsageError(
            f"{given}: no folder panomasks; expected panomasks/VIDEO/*.png, or a panoptic file by its name"
        )
    things, _ = _categories(_category_records(given), str(given))
    stuff: Counter[int] = Counter()
    videos = []
    for number, sequence in enumerate(_sequences(given, folder, options.split), start=1):
        files = images_by_stem(sequence)
        if not files:
            raise DataError(f"{sequence}: no PNG files; every folder in {folder} is a video")
        seen = _Things()
        stems: list[str] = []
        for stem, path in files.items():
            with odd_files(options, path, among=files):
                values = read_indices(path, MODES, "16-bit grey, class * 100 + instance")
                found = numbers_in(values, path)
                seen.sizes.add((values.shape[0], values.shape[1]))
                stuff.update(value for value in found if value < FIRST_THING)
                for value in (value for value in found if value >= FIRST_THING):
                    # The list of classes counts from 0, the masks from 1.
                    seen.classes[value] = value // PER_CLASS - 1
                    seen.masks[value][len(stems)] = rle.encode(values == value)
                stems.append(stem)
        videos.append(_video(number, sequence, stems, seen, given, options))
    used = {track.category_id for video in videos for track in video.tracks}
    known = dict(things)
    known.update({number: f"class_{number}" for number in sorted(used - set(things))})
    return _annotations(known, videos, stuff, folder)


def _read_converted(path: Path, options: ReadOptions) -> Annotations:
    document, _ = read_document(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: not a panoptic file; expected an object with videos, annotations and categories")
    document = _nested(document, path)
    things, stuff_names = _categories(field_of(document, "categories", list, f"{path}"), f"{path}")
    frames = dict(_frames_of_videos(document, path))
    masks = first_folder([path.parent / "panomasksRGB", path.parent / path.stem, path.parent / "panoptic"])
    if masks is None:
        raise UsageError(f"{path}: no folder panomasksRGB beside it, which holds the masks")
    stuff: Counter[int] = Counter()
    videos = []
    for number, (record, where) in enumerate(records_of(document, "annotations", f"{path}: annotation"), start=1):
        name = _text(record, "video_id", where)
        if name not in frames:
            raise DataError(f"{where}: video {name!r} is not among the videos")
        by_image = {
            _text(one, "image_id", place): (one, place) for one, place in records_of(record, "annotations", where)
        }
        seen = _Things()
        stems: list[str] = []
        for image_id, file_name in frames[name].items():
            one, place = by_image.get(image_id, ({}, where))
            file = Path(check_name(str(one.get("file_name", file_name)), place)).with_suffix(".png")
            png = masks / name / file if (masks / name / file).is_file() else masks / file
            with odd_files(options, png, among=frames[name]):
                if one:
                    ids = _segment_ids(png)
                    _add_segments(seen, len(stems), ids, one, things, stuff_names, stuff, place, path, options)
                stems.append(Path(file_name).stem)
        videos.append(_video(number, masks / name, stems, seen, path.parent, options))
    return _annotations(things, videos, stuff, path)


def _add_segments(
    seen: _Things,
    frame: int,
    ids: Int[np.ndarray, "h w"],
    record: Record,
    things: dict[int, str],
    stuff_names: set[int],
    stuff: Counter[int],
    where: str,
    path: Path,
    options: ReadOptions,
) -> None:
    seen.sizes.add((ids.shape[0], ids.shape[1]))
    for segment, item in records_of(record, "segments_info", f"{where}: segment"):
        is_crowd = crowd_mark(segment, item)
        with odd_shapes(options, path, item.removeprefix(f"{path}: ")) as place:
            number, category_id = id_of(segment, "id", place), id_of(segment, "category_id", place)
            if category_id in stuff_names:
                stuff[category_id] += 1
                continue
            if category_id not in things:
                raise DataError(f"{place}: category_id {category_id} is not among the categories")
            if seen.classes.setdefault(number, category_id) != category_id:
                raise DataError(f"{place}: segment {number} has another class than in frames before")
            seen.crowds |= {number} if is_crowd else set()
            seen.masks[number][frame] = rle.encode(ids == number)


def _nested(document: Record, path: Path) -> Record:
    """The document with frames and annotations below their videos, also where images name their videos by an id."""
    images = document.get("images")
    if not isinstance(images, list):
        if not isinstance(document.get("videos"), list):
            raise DataError(f"{path}: {panoptic_words()}")
        return document
    frames: dict[str, list[Record]] = defaultdict(list)
    for image, where in records_of(document, "images", f"{path}: image"):
        if "video_id" not in image:
            raise DataError(f"{path}: {panoptic_words()}")
        image["file_name"] = check_name(field_of(image, "file_name", str, where), where)
        frames[_text(image, "video_id", where)].append(image)
    annotations = {
        _text(one, "image_id", where): one for one, where in records_of(document, "annotations", f"{path}: annotation")
    }
    videos, below = [], []
    for video_id, members in frames.items():
        members = _ordered(members)
        folders = {PurePosixPath(image["file_name"]).parent.as_posix() for image in members}
        name = folders.pop() if len(folders) == 1 and folders != {"."} else video_id
        videos.append({"video_id": name, "images": members})
        found = [annotations[str(image.get("id"))] for image in members if str(image.get("id")) in annotations]
        below.append({"video_id": name, "annotations": found})
    return {**document, "videos": videos, "annotations": below}


def _ordered(images: list[Record]) -> list[Record]:
    """By the numbers that they state, else by those in their names."""
    numbers = [whole(image.get("frame_id", image.get("frame_index"))) for image in images]
    if None not in numbers:
        return [image for _, image in sorted(zip(numbers, images, strict=True), key=lambda pair: pair[0] or 0)]
    by_stem = {str(PurePosixPath(image["file_name"]).with_suffix("")): image for image in images}
    return [by_stem[stem] for stem in in_order(by_stem)]


def _frames_of_videos(document: Record, path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """File names by image id, in order, of each video."""
    for record, where in records_of(document, "videos", f"{path}: video"):
        name = check_name(_text(record, "video_id" if "video_id" in record else "id", where), where)
        if not isinstance(record.get("images"), list):
            raise DataError(f"{where}: {panoptic_words()}")
        images = records_of(record, "images", f"{where}: image")
        yield (
            name,
            {
                _text(one, "id", place): check_name(field_of(one, "file_name", str, place), place)
                for one, place in images
            },
        )


def _text(record: Record, key: str, where: str) -> str:
    """An id of this format, which is the name of a file; numbers are taken as written."""
    value = record.get(key)
    if type(value) not in (str, int):
        raise DataError(f'{where}: "{key}" is {shortened(value)}; expected a name')
    return str(value)


def _category_records(given: Path) -> list[Any]:
    found = _files(given, "*categories*.json")
    if not found:
        logger.warning("%s: no panoVIPSeg_categories.json beside the masks, so classes have numbers for names", given)
        return []
    document, _ = read_document(found[0])
    if not isinstance(document, list):
        raise DataError(f"{found[0]}: expected a list of categories")
    return document


def _categories(records: list[Any], where: str) -> tuple[dict[int, str], set[int]]:
    """Names of things by id, and the ids of stuff."""
    things, stuff = {}, set()
    for record, place in records_of({"categories": records}, "categories", f"{where}: category"):
        number = id_of(record, "id", place)
        if record.get("isthing", 1):
            things[number] = field_of(record, "name", str, place)
        else:
            stuff.add(number)
    return things, stuff


def _sequences(given: Path, folder: Path, split: str) -> list[Path]:
    path = given / f"{split}.txt"
    if not path.is_file():
        return video_folders(folder)
    names = [check_name(line.strip(), f"{path}") for line in read_lines(path) if line.strip()]
    found = [folder / name for name in names if (folder / name).is_dir()]
    if not found:
        raise DataError(f"{path}: none of its {len(names)} videos is in {folder}")
    if len(found) < len(names):
        logger.warning("%s: %d of its %d videos are not in %s", path, len(names) - len(found), len(names), folder)
    return found


def _segment_ids(path: Path) -> Int[np.ndarray, "h w"]:
    """Red + 256 green + 65536 blue."""
    try:
        with open_image(path) as image:
            if image.width * image.height > MOST_COLOURED:
                raise DataError(f"{path}: {image.width}x{image.height} pixels in colour, more than {MOST_COLOURED}")
            shown = turned(image)
            colours = pixels_of(shown if shown.mode == "RGB" else shown.convert("RGB"))
        ids = colours[..., 2].astype(np.int32)
        for channel in (1, 0):
            ids <<= 8
            ids |= colours[..., channel]
        return ids
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: the masks of a frame are missing; unpack the set again") from error
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be decoded ({error}); unpack the set again") from error


def _video(
    number: int, sequence: Path, stems: list[str], seen: _Things, given: Path, options: ReadOptions
) -> AnnotatedVideo:
    if len(seen.sizes) != 1:
        raise DataError(f"{sequence}: PNG files of {len(seen.sizes)} sizes; expected one")
    roots = [options.images] if options.images is not None else [given / name for name in IMAGE_FOLDERS]
    found = paired_images(stems, images_by_stem(first_folder(root / sequence.name for root in roots)), sequence)
    tracks = (
        AnnotatedTrack(
            id=segment,
            category_id=seen.classes[segment],
            segmentations=tuple(tidy(by_frame.get(t)) for t in range(len(stems))),
            is_crowd=segment in seen.crowds,
        )
        for segment, by_frame in sorted(seen.masks.items())
    )
    return video_of_files(number, sequence.name, seen.sizes.pop(), stems, found, tracks)


def _annotations(things: dict[int, str], videos: list[AnnotatedVideo], stuff: Counter[int], where: Path) -> Annotations:
    if stuff:
        logger.warning(
            "%s: %d segments of stuff (%d classes) are left out; only things are tracked",
            *(where, stuff.total(), len(stuff)),
        )
    categories = tuple(Category(id=number, name=name) for number, name in sorted(things.items()))
    return Annotations(categories=categories, videos=tuple(videos))
