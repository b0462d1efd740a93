"""YOLO segmentation with track ids: a text file per frame, `class x1 y1 x2 y2 ... id` a line, as trackers save them.

Coordinates are shares of the frame; a confidence may stand before the id. Classes count from 0 in the files and from 1
here; their names come from `data.yaml`, `classes.txt` or `obj.names`. Files without ids hold objects of single images,
and boxes have no masks: both are refused by name.
"""

import ast
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions, tidy
from maskreel.data.formats.archives import is_of_mac
from maskreel.data.formats.images import (
    check_folder,
    image_size,
    images_by_stem,
    in_order,
    paired_images,
    read_lines,
    video_of_files,
)
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files, odd_shapes, polygon_mask, united
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.geometry.rle import Rle

logger = logging.getLogger(__name__)

NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "names.txt", "labels.txt")
SPLITS = ("train", "val", "valid", "test")
BOX = 5
"""Values of a line that holds a box: class, centre, size."""

Words = list[str]


@dataclass(frozen=True)
class _Line:
    file: Path
    place: str
    class_id: int
    corners: tuple[float, ...]
    """Shares of width and height in turn."""
    track_id: int
    fault: str = ""
    """Why it names no object, if so."""


def recognises(look: Look) -> bool:
    """Text files of class numbers and shares, below `labels` or beside `data.yaml`."""
    return any(
        path.suffix == ".txt" and path.name not in NAME_FILES and _is_line(look.first_line(path))
        for path in look.ending(".txt")[:20]
    )


def read(given: Path, options: ReadOptions) -> Annotations:
    """`labels/VIDEO/*.txt`, `labels/SPLIT/...`, `labels/VIDEO_12.txt` or the text files alone; images in `images`
    likewise, or beside them."""
    check_folder(given, "a folder of text files, one per frame, with images beside them")
    labels = given / "labels" if (given / "labels").is_dir() else given
    groups = _groups(labels, options.split)
    if not groups:
        raise DataError(f"{labels}: no text files of frames for the split {options.split!r}")
    words: dict[Path, list[tuple[int, Words]]] = {}
    every = [path for files in groups.values() for path in files.values()]
    for path in every:
        with odd_files(options, path, among=every):
            words[path] = _words(path)
    lines = _with_ids(words, labels)
    names = _class_names(given)
    videos = []
    for number, ((folder, prefix), files) in enumerate(groups.items(), start=1):
        images = _images(given, labels, folder, prefix, options)
        # A frame whose file cannot be read is left out; one without a file shows no object.
        images = {stem: path for stem, path in images.items() if files.get(stem) in (None, *lines)}
        files = {stem: path for stem, path in files.items() if path in lines}
        if not files:
            continue
        video_lines = {stem: lines[path] for stem, path in files.items()}
        videos.append(_video(number, _video_name(given, labels, folder, prefix), files, video_lines, images, options))
    used = {track.category_id for video in videos for track in video.tracks}
    by_id = {number: f"class_{number - 1}" for number in used or {1}} | dict(enumerate(names, start=1))
    categories = tuple(Category(id=number, name=name) for number, name in sorted(by_id.items()))
    return Annotations(categories=categories, videos=tuple(videos))


def _groups(labels: Path, split: str) -> dict[tuple[Path, str], dict[str, Path]]:
    """Text files of each video by their stems: those of a folder, apart by the words before the frame number."""
    root = labels
    if any((labels / name).is_dir() for name in SPLITS):
        root = labels / split
        if not root.is_dir():
            found = [name for name in SPLITS if (labels / name).is_dir()]
            raise UsageError(f"{labels}: no split {split!r}; --split names one of {', '.join(found)}")
    by_folder: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in sorted(root.rglob("*.txt")):
        if path.name not in NAME_FILES and path.stem not in SPLITS and not is_of_mac(path.relative_to(root)):
            by_folder[path.parent][path.stem] = path
    groups: dict[tuple[Path, str], dict[str, Path]] = {}
    for folder, files in by_folder.items():
        prefixes = {stem: _prefix(stem) for stem in files}
        is_mixed = len(set(prefixes.values())) > 1 and None not in prefixes.values()
        for stem in in_order(files):
            groups.setdefault((folder, prefixes[stem] or "" if is_mixed else ""), {})[stem] = files[stem]
    return groups


def _prefix(stem: str) -> str | None:
    """What stands before the frame number."""
    match = re.fullmatch(r"(.*?)[_\-.]?\d+", stem)
    return match[1] if match else None


def _video_name(given: Path, labels: Path, folder: Path, prefix: str) -> str:
    parts = [part for part in folder.relative_to(labels).parts if part not in SPLITS]
    return "/".join([*parts, *([prefix] if prefix else [])]) or given.resolve().name or "video"


def _images(given: Path, labels: Path, folder: Path, prefix: str, options: ReadOptions) -> dict[str, Path]:
    below = folder.relative_to(labels)
    if options.images is not None:
        places = [options.images / below, options.images / below.name, options.images / prefix, options.images]
    else:
        places = [given / "images" / below, given.parent / "images" / below, given.parent.parent / "images", folder]
        places += [given / "frames" / below, given / "JPEGImages" / below]
    found = next((images for place in places if (images := images_by_stem(place))), {})
    own = {stem: path for stem, path in found.items() if prefix and _prefix(stem) == prefix}
    return own or found


def _words(path: Path) -> list[tuple[int, Words]]:
    lines = [(number, line.split()) for number, line in enumerate(read_lines(path), start=1)]
    return [(number, words) for number, words in lines if words]


def _is_line(line: str) -> bool:
    """Whether a line is a whole number and then shares of the frame."""
    words = line.split()
    if len(words) < BOX or not words[0].isdecimal():
        return False
    return all(re.fullmatch(r"-?(?:\d*\.\d+|\d+\.?)(?:[eE][-+]?\d+)?", word) and float(word) < 2 for word in words[1:5])


def _is_whole(word: str) -> bool:
    return re.fullmatch(r"\d{1,18}(?:\.0*)?", word) is not None


def _with_ids(files: dict[Path, list[tuple[int, Words]]], labels: Path) -> dict[Path, list[_Line]]:
    """The lines of each file; DataError where they have no ids, or hold boxes."""
    every = [words for lines in files.values() for _, words in lines]
    shapes = [words for words in every if len(words) > BOX + 1]
    if every and not shapes:
        raise DataError(
            f"{labels}: boxes (class, centre, size), which have no masks; save segmentations with ids, "
            "such as with a segmentation model's track(..., save_txt=True)"
        )
    # Class and id make the count even; a confidence as well makes it odd.
    parities = [
        parity
        for parity in (0, 1)
        if (those := [words for words in shapes if len(words) % 2 == parity])
        and all(_is_whole(words[-1]) for words in those)
    ]
    if shapes and not parities:
        raise DataError(
            f"{labels}: YOLO segmentation without ids: nothing says which objects of two frames are one; track them "
            "(track(..., save_txt=True) writes the id last in each line), or import single images as COCO"
        )
    parity = parities[0] if parities else 0
    return {path: [_line(path, number, words, parity) for number, words in lines] for path, lines in files.items()}


def _line(path: Path, number: int, words: Words, parity: int) -> _Line:
    place = f"line {number}"
    if len(words) % 2 != parity or not _is_whole(words[-1]):
        return _Line(path, place, 0, (), 0, "no id at its end, as other lines have it")
    try:
        corners = tuple(float(word) for word in words[1 : -2 if parity else -1])
        return _Line(path, place, int(words[0]), corners, int(float(words[-1])))
    except ValueError:
        return _Line(path, place, 0, (), 0, f"{' '.join(words)[:60]!r} is not class, corners and id")


def _video(
    number: int,
    name: str,
    files: dict[str, Path],
    lines: dict[str, list[_Line]],
    images: dict[str, Path],
    options: ReadOptions,
) -> AnnotatedVideo:
    folder = next(iter(files.values())).parent
    if not images:
        raise UsageError(f"{folder}: shares of frames whose size only images tell; name their folder with --images")
    width, height = image_size(next(iter(images.values())))
    stems = in_order({*files, *images}) if not set(files).isdisjoint(images) else list(files)
    found = paired_images(stems, images, folder)
    masks: dict[int, dict[str, list[Rle]]] = defaultdict(lambda: defaultdict(list))
    classes: dict[int, Counter[int]] = defaultdict(Counter)
    for stem, path in files.items():
        for line in lines[stem]:
            if line.fault:
                options.left_out.leave_out("shape", path, line.place, line.fault)
                continue
            with odd_shapes(options, path, line.place) as where:
                corners = [share * (height if at % 2 else width) for at, share in enumerate(line.corners)]
                mask = polygon_mask(corners, height=height, width=width, where=where)
                masks[line.track_id][stem].append(mask)
                classes[line.track_id][line.class_id] += 1
    tracks = (
        AnnotatedTrack(
            id=track_id,
            category_id=_class_of(track_id, classes[track_id], folder) + 1,
            segmentations=tuple(tidy(united(by_stem[stem])) if stem in by_stem else None for stem in stems),
        )
        for track_id, by_stem in sorted(masks.items())
    )
    return video_of_files(number, name, (height, width), stems, found, tracks)


def _class_of(track_id: int, seen: Counter[int], folder: Path) -> int:
    """The class that most frames say; trackers decide it anew in each."""
    (best, count), *others = sorted(seen.items(), key=lambda pair: (-pair[1], pair[0]))
    if others:
        logger.warning(
            "%s: track %d has class %d in %d frames and others in %d; the first is taken",
            *(folder, track_id, best, count, sum(seen.values()) - count),
        )
    return best


def _class_names(given: Path) -> list[str]:
    """Names of the classes in their order; none where no file tells."""
    for folder in (given, given.parent):
        for name in NAME_FILES:
            path = folder / name
            if path.is_file():
                lines = read_lines(path)
                return _names_of_yaml(lines, path) if path.suffix in (".yaml", ".yml") else list(filter(None, lines))
    return []


def _names_of_yaml(lines: Sequence[str], path: Path) -> list[str]:
    """The entry `names`, as a list or as pairs of number and name, on one line or several."""
    place = next((number for number, line in enumerate(lines) if line.startswith("names:")), None)
    if place is None:
        return []
    text = lines[place].removeprefix("names:").split(" #")[0].strip()
    items: list[str] = []
    for line in lines[place + 1 :]:
        if line.strip() and not line.startswith((" ", "-", "#", "]", "}")):
            break
        items.append(line.split(" #")[0].strip())
    if text.startswith(("[", "{")):
        return _names_of_flow(" ".join([text, *items]), path)
    found = [re.fullmatch(r"(?:-|(\d+)\s*:)\s*(.*)", item) for item in items if item and not item.startswith("#")]
    pairs = [
        (int(match[1]) if match[1] else number, _unquoted(match[2])) for number, match in enumerate(found) if match
    ]
    return [name for _, name in sorted(pairs)]


def _names_of_flow(text: str, path: Path) -> list[str]:
    """Names in brackets or braces, quoted or not."""
    closing = "]" if text.startswith("[") else "}"
    inner = text[1:].partition(closing)[0]
    try:
        value = ast.literal_eval(f"{text[0]}{inner}{closing}")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = [_unquoted(part.strip().partition(":")[2] if closing == "}" else part) for part in inner.split(",")]
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value, key=str if closing == "}" else None)] if value else []
    if not all(isinstance(name, str | int) for name in value):
        raise DataError(f"{path}: names are {text[:60]!r}; expected a list of names")
    return [str(name) for name in value]


def _unquoted(text: str) -> str:
    return text.strip().strip("'\"")
