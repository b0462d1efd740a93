"""DAVIS: palette PNG files whose values are object numbers, beside `JPEGImages`.

There are no classes (all objects become "object") and at most 254 objects of a video; 255 marks a region to ignore,
which becomes a crowd. Masks of one object in black and white (DAVIS 2016) have 255 alone: there it is the object. The
same files come with YouTube-VOS, whose `meta.json` names the classes.
"""

import logging
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    check_name,
    flat_name,
    label_map,
    tidy,
)
from maskreel.data.formats.images import (
    check_folder,
    first_folder,
    images_by_stem,
    mode_of,
    numbers_in,
    one_size,
    paired_images,
    read_indices,
    read_lines,
    video_folders,
    video_of_files,
    voc_palette,
)
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files
from maskreel.data.records import read_document, whole
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle
from maskreel.video.images import is_image

logger = logging.getLogger(__name__)

OBJECT = Category(id=1, name="object")
VOID = 255
MODES = ("P", "PA", "L", "LA", "1", "RGB", "RGBA", "I;16", "I;16B", "I")
MOST_GREYS = 64
"""Values of one video beyond which grey masks are taken for photographs, or for masks with soft edges."""
IMAGE_SETS = ("2017", "2016", "480p", "1080p")
META = "meta.json"
ANNOTATIONS = ("Annotations", "Annotations_unsupervised")
RESOLUTIONS = ("480p", "Full-Resolution", "1080p")
"""Folders between `Annotations` and the sequences; some sets have none."""


def recognises(look: Look) -> bool:
    """`Annotations` with PNG files, or folders of palette images alone."""
    masks = [path for path in look.ending(".png") if "Annotations" in path.relative_to(look.given).parts]
    return bool(masks) or (not look.ending(".json") and any(mode_of(path) == "P" for path in look.ending(".png")[:3]))


def read(given: Path, options: ReadOptions) -> Annotations:
    """`Annotations/480p/SEQUENCE/00000.png`, with other resolutions, without that folder, or sequences alone.

    Where `ImageSets/2017/SPLIT.txt` (or 2016, or 480p) lists sequences, those are read in that order, else all. Of a
    folder with `SPLIT/Annotations` (YouTube-VOS) that split is read.
    """
    check_folder(given, "a folder with Annotations/480p/SEQUENCE/00000.png")
    if not (given / "Annotations").is_dir() and (given / options.split / "Annotations").is_dir():
        given = given / options.split
    root = first_folder(given / name for name in ANNOTATIONS) or given
    folder = first_folder(root / name for name in RESOLUTIONS) or root
    objects = _classes_of_objects(given / META)
    names = sorted(set(objects.values()))
    ids = {name: number for number, name in enumerate(names, start=1)}
    videos = []
    for number, sequence in enumerate(_sequences(given, folder, options.split), start=1):
        images = options.images or given / "JPEGImages"
        folder = first_folder([images / name / sequence.name for name in RESOLUTIONS] + [images / sequence.name])
        classes = {value: ids[name] for (video, value), name in objects.items() if video == sequence.name}
        videos.append(_read_video(number, sequence, images_by_stem(folder), classes, options))
    if not videos:
        raise DataError(f"{folder}: no folders of PNG files.")
    categories = tuple(Category(id=number, name=name) for name, number in ids.items())
    return Annotations(categories=categories or (OBJECT,), videos=tuple(videos))


def _classes_of_objects(path: Path) -> dict[tuple[str, int], str]:
    """Names of classes by video and value, as YouTube-VOS states them; none where there is no such file."""
    if not path.is_file():
        return {}
    document, _ = read_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("videos"), dict):
        return {}
    found = {}
    for video, record in document["videos"].items():
        objects = record.get("objects") if isinstance(record, dict) else None
        for value, one in objects.items() if isinstance(objects, dict) else ():
            number = whole(value)
            if number is not None and isinstance(one, dict) and isinstance(one.get("category"), str):
                found[video, number] = one["category"]
    return found


def _sequences(given: Path, folder: Path, split: str) -> list[Path]:
    for year in IMAGE_SETS:
        path = given / "ImageSets" / year / f"{split}.txt"
        if path.is_file():
            names = list(dict.fromkeys(_listed(line, path) for line in read_lines(path) if line.strip()))
            missing = [name for name in names if not (folder / name).is_dir()]
            if missing:
                raise DataError(f"{path}: the sequence {missing[0]!r} is not in {folder}.")
            return [folder / name for name in names]
    return video_folders(folder)


def _listed(line: str, path: Path) -> str:
    """The sequence of a line: its name, or the folder of the files that the lists of 2016 have for every frame."""
    name = line.split()[0] if line.startswith("/") else line.strip()
    image = PurePosixPath(name)
    return image.parent.name if is_image(Path(name)) and len(image.parts) > 1 else check_name(name, f"{path}")


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`Annotations/RESOLUTION/SEQUENCE/00000.png`; where numbers do not fit, tracks are counted from 1 anew."""
    for video in annotations.videos:
        target = folder / "Annotations" / _resolution(video) / flat_name(video)
        target.mkdir(parents=True)
        values = np.array([0, *_values(video)], dtype=np.uint8)
        for t, frame in enumerate(video.frame_numbers):
            image = Image.fromarray(values[label_map(video, t)])
            image.putpalette(voc_palette().flatten().tolist())
            image.save(target / f"{frame:05d}.png")
    names = folder / "ImageSets" / IMAGE_SETS[0] / f"{split}.txt"
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"{flat_name(video)}\n" for video in annotations.videos), encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    suffix = Path(video.file_names[frame]).suffix
    return f"JPEGImages/{_resolution(video)}/{flat_name(video)}/{video.frame_numbers[frame]:05d}{suffix}"


def _resolution(video: AnnotatedVideo) -> str:
    return RESOLUTIONS[0] if min(video.width, video.height) == 480 else RESOLUTIONS[1]


def _read_video(
    number: int, sequence: Path, images: dict[str, Path], classes: dict[int, int], options: ReadOptions
) -> AnnotatedVideo:
    paths = [path for path in images_by_stem(sequence).values() if path.suffix.lower() == ".png"]
    if not paths:
        raise DataError(f"{sequence}: no PNG files; every folder in {sequence.parent} is taken for a sequence.")
    masks: dict[int, dict[str, Rle]] = defaultdict(dict)
    files: dict[str, tuple[int, ...]] = {}
    for path in paths:
        with odd_files(options, path, among=paths):
            values = read_indices(path, MODES, "a palette image whose values are object numbers")
            found = numbers_in(values, path)
            files[path.stem] = values.shape
            for value in found:
                masks[value][path.stem] = rle.encode(values == value)
    size = one_size(files.values(), sequence)
    void = _void(masks, sequence)
    found = paired_images(list(files), images, sequence)
    tracks = (
        AnnotatedTrack(
            id=value,
            category_id=classes.get(value, OBJECT.id),
            segmentations=tuple(tidy(by_frame.get(stem)) for stem in files),
            is_crowd=value == void,
        )
        for value, by_frame in sorted(masks.items())
    )
    return video_of_files(number, sequence.name, size, files, found, tracks)


def _void(values: Collection[int], sequence: Path) -> int | None:
    """The number of the region to ignore; None where 255 is an object, as the only one or as the end of a grey ramp."""
    if VOID not in values:
        return None
    numbers = sorted(set(values) - {VOID})
    if len(numbers) > MOST_GREYS and (numbers[-1] > len(numbers) or len(numbers) == VOID - 1):
        raise DataError(
            f"{sequence}: {len(numbers) + 1} different values, as in masks with soft edges or photographs; "
            "save masks without smoothing, a value for each object."
        )
    if not numbers:
        return None
    steps = [abs(number - VOID * place / (len(numbers) + 1)) for place, number in enumerate(numbers, start=1)]
    if max(steps) <= 1:
        logger.warning(
            "%s: the values %s divide the range of grey; 255 is taken for an object, not for a region to ignore",
            sequence,
            ", ".join(map(str, numbers)),
        )
        return None
    return VOID


def _values(video: AnnotatedVideo) -> list[int]:
    """Pixel value per track."""
    values = [track.id for track in video.tracks]
    if all(0 < track.id < VOID or (track.is_crowd and track.id == VOID) for track in video.tracks):
        return values
    if len(values) >= VOID:
        raise DataError(f"video {video.name!r}: its {len(values)} tracks do not fit DAVIS files (at most 254).")
    return list(range(1, len(values) + 1))
