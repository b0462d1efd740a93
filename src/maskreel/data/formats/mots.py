"""MOTS (KITTI MOTS, MOTSChallenge): text files of run lengths, or 16-bit PNG files of object numbers.

A number is class * 1000 + instance in PNG files; 10000 (class 10) marks a region to ignore, which becomes a crowd.
Class names are no part of the format: 1 is car and 2 is pedestrian, others are named by their number, unless CVAT wrote
them beside the files.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskreel.data.formats.annotations import (
    MAX_FRAMES,
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    flat_name,
    label_map,
    tidy,
)
from maskreel.data.formats.images import (
    check_folder,
    first_folder,
    frame_names,
    image_size,
    images_by_number,
    images_by_stem,
    mode_of,
    numbers_in,
    one_size,
    read_indices,
    read_lines,
    video_folders,
)
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files, odd_shapes
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

CLASS_NAMES = {1: "car", 2: "pedestrian", 10: "ignore"}
IGNORE_CLASS, IGNORE_ID = 10, 10_000
MODES = ("I;16", "I;16B", "I")
LABELS, INSTANCES_FOLDER = "labels.txt", "instances"
INSTANCES = 1000
"""Numbers of one class in a PNG file."""

Masks = dict[tuple[int, int], dict[int, Rle]]
"""Masks by (track id, class), then by frame number."""


def recognises_text(look: Look) -> bool:
    """Lines of five whole numbers and a run-length code."""
    texts = [path for path in look.ending(".txt") if path.name != "seqmap.txt"]
    return any(_is_line(words) for words in (look.first_line(path).split() for path in texts[:20]))


def recognises_png(look: Look) -> bool:
    """Grey images of 16 bits below `instances`, or in folders of their own, without a file that says more."""
    images = look.ending(".png")
    named = [path for path in images if "instances" in path.relative_to(look.given).parts]
    is_alone = not look.ending(".json") and not look.has_folder("panomasks", "panomasksRGB", "Annotations")
    return any(mode_of(path) in MODES for path in named[:3]) or (
        is_alone and not named and any(mode_of(path) in MODES for path in images[:3])
    )


def read_text(given: Path, options: ReadOptions) -> Annotations:
    """`SEQUENCE.txt` files, in the folder or in its `instances_txt`.

    Frames are those of the images, else those of `seqmap.txt` beside the files, else all from the first to the last
    that the file mentions. Sequences come in the order of `seqmap.txt`, others after them.
    """
    folder = check_folder(given, "a folder of SEQUENCE.txt files")
    folder = first_folder([folder / "instances_txt"]) or folder
    paths = sorted(path for path in folder.glob("[!.]*.txt") if path.name not in ("seqmap.txt", LABELS))
    if not paths:
        raise DataError(f"{folder}: no SEQUENCE.txt files.")
    ranges = _read_ranges(folder / "seqmap.txt")
    order = list(ranges)
    paths.sort(key=lambda path: order.index(path.stem) if path.stem in ranges else len(order))
    videos = []
    for number, path in enumerate(paths, start=1):
        with odd_files(options, path, among=paths):
            videos.append(_read_text_video(number, path, given, ranges, options))
    return _annotations(videos, CLASS_NAMES)


def _read_text_video(
    number: int, path: Path, given: Path, ranges: Mapping[str, range], options: ReadOptions
) -> AnnotatedVideo:
    masks, size = _read_lines(path, options)
    images = images_by_number(_image_folder(given, options.images, path.stem))
    mentioned = sorted({frame for frames in masks.values() for frame in frames})
    spans = range(mentioned[0], mentioned[-1] + 1) if mentioned else range(0)
    frames = _frames(images, ranges.get(path.stem, spans), str(path))
    outside = sorted(set(mentioned) - set(frames))
    if outside:
        raise DataError(f"{path}: frame {outside[0]} has objects but is none of the sequence's frames.")
    if size is None and images:
        size = image_size(next(iter(images.values())))[::-1]
    if size is None or not frames:
        raise DataError(f"{path}: neither lines nor images, so the size is unknown; name their folder: --images.")
    return _video(number, path.stem, size, frames, masks, images)


def write_text(annotations: Annotations, folder: Path, split: str) -> None:
    """`instances_txt/SEQUENCE.txt`, and the frame ranges in `seqmap.txt`."""
    target = folder / "instances_txt"
    target.mkdir()
    ranges = []
    for video in annotations.videos:
        lines = []
        for t, frame in enumerate(video.frame_numbers):
            labels = label_map(video, t)
            for position, track in enumerate(video.tracks, start=1):
                mask = tidy(rle.encode(labels == position)) if track.segmentations[t] is not None else None
                if mask is not None:
                    counts = mask.counts.decode("ascii")
                    lines.append(f"{frame} {track.id} {track.category_id} {mask.height} {mask.width} {counts}\n")
        path = target / f"{flat_name(video)}.txt"
        path.write_text("".join(lines), encoding="ascii")
        ranges.append(f"{path.stem} empty {video.frame_numbers[0]:06d} {video.frame_numbers[-1] + 1:06d}\n")
    (target / "seqmap.txt").write_text("".join(ranges), encoding="utf-8")


def read_png(given: Path, options: ReadOptions) -> Annotations:
    """`SEQUENCE/000000.png` files, in the folder or in its `instances`; every file is a frame.

    CVAT writes one sequence as `SUBSET/instances`, beside `SUBSET/images`, with the names of the classes in
    `labels.txt`.
    """
    folder = check_folder(given, "a folder of SEQUENCE/000000.png files")
    names = dict(CLASS_NAMES)
    videos = []
    for number, (sequence, name, images) in enumerate(_png_sequences(given, options.images), start=1):
        files = images_by_number(sequence)
        if not files:
            raise DataError(
                f"{sequence}: no files such as 000000.png; every folder in {sequence.parent} is a sequence."
            )
        names |= _label_names(sequence / LABELS)
        masks: Masks = defaultdict(dict)
        sizes: dict[int, tuple[int, ...]] = {}
        for frame, path in files.items():
            with odd_files(options, path, among=files):
                values = read_indices(path, MODES, "16-bit grey, class * 1000 + instance")
                found = numbers_in(values, path)
                sizes[frame] = values.shape
                for value in found:
                    masks[value, value // INSTANCES][frame] = rle.encode(values == value)
        size = one_size(sizes.values(), sequence)
        videos.append(_video(number, name, size, list(sizes), _short_ids(masks), images_by_number(images)))
    if not videos:
        raise DataError(f"{folder}: no folders of PNG files.")
    return _annotations(videos, names)


def _png_sequences(given: Path, images: Path | None) -> Iterator[tuple[Path, str, Path | None]]:
    """The folder of each sequence, its name, and that of its images."""
    exported = [root for root in (given, *video_folders(given)) if images_by_stem(root / INSTANCES_FOLDER)]
    for root in exported:
        name = root.resolve().name
        yield root / INSTANCES_FOLDER, name, first_folder(_given_or(images, name, root / "images"))
    if not exported:
        folder = first_folder([given / INSTANCES_FOLDER]) or given
        for sequence in video_folders(folder):
            yield sequence, sequence.name, _image_folder(given, images, sequence.name)


def _given_or(images: Path | None, name: str, own: Path) -> list[Path]:
    return [own] if images is None else [images / name, images]


def _label_names(path: Path) -> dict[int, str]:
    """Names of classes by their number, the first line being 1."""
    lines = [line.strip() for line in read_lines(path)] if path.is_file() else []
    return {number: name for number, name in enumerate(lines, start=1) if name}


def write_png(annotations: Annotations, folder: Path, split: str) -> None:
    """`instances/SEQUENCE/000000.png`; where numbers do not fit, tracks are counted from 1 anew."""
    for video in annotations.videos:
        target = folder / "instances" / flat_name(video)
        target.mkdir(parents=True)
        values = np.array([0, *_values(video)], dtype=np.uint16)
        for t, frame in enumerate(video.frame_numbers):
            Image.fromarray(values[label_map(video, t)]).save(target / f"{frame:06d}.png")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    suffix = Path(video.file_names[frame]).suffix
    return f"images/{flat_name(video)}/{video.frame_numbers[frame]:06d}{suffix}"


def _read_ranges(path: Path) -> dict[str, range]:
    """Frames per sequence as the maps of the benchmark list them: NAME empty FIRST END."""
    ranges = {}
    for number, line in enumerate(read_lines(path) if path.is_file() else (), start=1):
        words = line.split()
        if len(words) != 4 or not all(word.isdecimal() and len(word) < 19 for word in words[2:]):
            raise DataError(f"{path}: line {number} is {line.strip()!r}; expected NAME empty FIRST END.")
        ranges[words[0]] = range(int(words[2]), int(words[3]))
    return ranges


def _read_lines(path: Path, options: ReadOptions) -> tuple[Masks, tuple[int, int] | None]:
    """The masks of a file and their (height, width), which most lines have; None for an empty file."""
    lines = [(number, line, line.split()) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
    stated = Counter((int(words[3]), int(words[4])) for _, _, words in lines if _is_line(words))
    size = max(stated, key=stated.__getitem__, default=None)
    masks: Masks = defaultdict(dict)
    classes: dict[int, int] = {}
    for number, line, words in lines:
        with odd_shapes(options, path, f"line {number}") as where:
            if not _is_line(words) or size is None:
                raise DataError(f"{where} is {line[:60]!r}; expected FRAME ID CLASS HEIGHT WIDTH RLE.")
            frame, track_id, class_id, height, width = map(int, words[:5])
            mask = rle.parse({"size": [height, width], "counts": words[5]}, height=size[0], width=size[1], where=where)
            if classes.setdefault(track_id, class_id) != class_id:
                raise DataError(f"{where}: track {track_id} has class {class_id} here and {classes[track_id]} before.")
            if frame in masks[track_id, class_id]:
                raise DataError(f"{where}: track {track_id} stands twice in frame {frame}.")
            assert mask is not None, "a mask with counts"
            masks[track_id, class_id][frame] = mask
    return masks, size


def _is_line(words: list[str]) -> bool:
    return len(words) == 6 and all(word.isdecimal() and len(word) < 19 for word in words[:5])


def _image_folder(given: Path, images: Path | None, name: str) -> Path | None:
    if images is not None:
        return images / name
    roots = [given, given.parent]
    return first_folder(root / place / name for root in roots for place in ("images", "image_02", "training/image_02"))


def _frames(images: dict[int, Path], others: range, where: str) -> list[int]:
    """Frame numbers: of the images where there are any."""
    if images:
        return list(images)
    if len(others) > MAX_FRAMES:
        raise DataError(f"{where}: frames {others.start} to {others.stop - 1}; at most {MAX_FRAMES} are supported.")
    return list(others)


def _video(
    number: int,
    name: str,
    size: tuple[int, ...],
    frames: Sequence[int],
    masks: Masks,
    images: dict[int, Path],
) -> AnnotatedVideo:
    found = [images.get(frame) for frame in frames]
    tracks = [
        AnnotatedTrack(
            id=track_id,
            category_id=class_id,
            segmentations=tuple(tidy(by_frame.get(frame)) for frame in frames),
            is_crowd=(track_id, class_id) == (IGNORE_ID, IGNORE_CLASS),
        )
        for (track_id, class_id), by_frame in sorted(masks.items())
    ]
    return AnnotatedVideo(
        id=number,
        name=name,
        width=size[1],
        height=size[0],
        frame_numbers=tuple(frames),
        file_names=frame_names(name, (f"{frame:06d}" for frame in frames), found),
        images=tuple(found),
        tracks=tuple(tracks),
    )


def _annotations(videos: Iterable[AnnotatedVideo], class_names: Mapping[int, str]) -> Annotations:
    videos = tuple(videos)
    used = sorted({track.category_id for video in videos for track in video.tracks})
    names = [Category(id=number, name=class_names.get(number, f"class_{number}")) for number in used]
    return Annotations(categories=tuple(names or [Category(id=1, name=class_names[1])]), videos=videos)


def _short_ids(masks: Masks) -> Masks:
    """Instance numbers for ids where they tell the tracks of a video apart, else the whole values."""
    short = {value: value % INSTANCES for value, _ in masks if value != IGNORE_ID}
    if len(set(short.values())) < len(short):
        return masks
    return {(short.get(value, value), class_id): frames for (value, class_id), frames in masks.items()}


def _values(video: AnnotatedVideo) -> list[int]:
    """Pixel value per track, class * 1000 + instance."""
    values = []
    for position, track in enumerate(video.tracks, start=1):
        if not 1 <= track.category_id <= 65:
            raise DataError(f"video {video.name!r}: class {track.category_id} does not fit MOTS PNG files (1 to 65).")
        if track.is_crowd and (track.id, track.category_id) == (IGNORE_ID, IGNORE_CLASS):
            values.append(IGNORE_ID)
        elif track.id // INSTANCES == track.category_id:
            values.append(track.id)
        else:
            instance = track.id if track.id < INSTANCES else position
            values.append(track.category_id * INSTANCES + instance)
    if len(set(values)) < len(values) or max(values, default=0) > 65_535:
        values = [track.category_id * INSTANCES + n for n, track in enumerate(video.tracks, start=1)]
    if max(values, default=0) > 65_535 or len(values) >= INSTANCES:
        raise DataError(f"video {video.name!r}: its {len(values)} tracks do not fit MOTS PNG files.")
    return values
