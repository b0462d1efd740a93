"""CVAT "for video 1.1": one XML file per video, with masks and polygons on tracks.

CVAT writes a mask as runs of its box, row by row, background first: neither the order nor the frame of COCO. Class ids
are no part of the format: labels are counted from 1 in the order of the file. A shape that was drawn without a track
comes out of CVAT as a track of one frame, and is read as such.
"""

import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np
from jaxtyping import Bool

from maskreel.data.formats.annotations import (
    MAX_FRAMES,
    SHOWN,
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    check_name,
    flat_name,
    tidy,
    with_distinct_names,
)
from maskreel.data.formats.cvat_keys import fill_between, is_outside
from maskreel.data.formats.images import frame_names, images_by_number
from maskreel.data.records import crowd_mark, listing
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.geometry.rle import MAX_PIXELS, Rle

logger = logging.getLogger(__name__)

FILE_NAME = "annotations.xml"
CROWD = "iscrowd"
"""Attribute of a track."""
CROWD_ATTRIBUTE = {
    "name": CROWD,
    "mutable": "False",
    "input_type": "checkbox",
    "default_value": "false",
    "values": "false",
}
SIDES = ("width", "height")


def read(given: Path, options: ReadOptions) -> Annotations:
    """A file, or all of a folder and its folders; images lie in `images` beside each, as CVAT exports them."""
    if given.is_dir():
        paths = sorted([*given.glob("*.xml"), *given.glob("*/*.xml")])
    else:
        paths = [given] if given.is_file() else []
    if not paths:
        raise UsageError(f"{given}: no XML files; expected an export as 'CVAT for video 1.1'")
    roots = [(path, parse_xml(path)) for path in paths]
    names = list(dict.fromkeys(name for path, root in roots for name in _labels(root, path)))
    ids = {name: number for number, name in enumerate(names, start=1)}
    videos = [_read_video(path, root, number, ids, options) for number, (path, root) in enumerate(roots, start=1)]
    if len({video.id for video in videos}) < len(videos):
        raise DataError(f"{given}: two of its files have the same task id; convert them one by one.")
    categories = tuple(Category(id=number, name=name) for name, number in ids.items())
    return Annotations(categories=categories, videos=with_distinct_names(videos))


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`VIDEO/annotations.xml`; images go to `VIDEO/images`."""
    names = {category.id: category.name for category in annotations.categories}
    for video in annotations.videos:
        target = folder / flat_name(video)
        target.mkdir()
        tree = ET.ElementTree(_document(video, names))
        ET.indent(tree)
        tree.write(target / FILE_NAME, encoding="utf-8", xml_declaration=True)


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    suffix = Path(video.file_names[frame]).suffix
    return f"{flat_name(video)}/images/frame_{_numbering(video)[frame]:06d}{suffix}"


def _numbering(video: AnnotatedVideo) -> range:
    """Frame numbers as a task has them, from the first in equal steps; other numbers are lost."""
    numbers = video.frame_numbers
    steps = {b - a for a, b in zip(numbers[:-1], numbers[1:], strict=True)}
    step = steps.pop() if len(steps) == 1 else 1
    return range(numbers[0], numbers[0] + step * len(numbers), step)


def parse_xml(path: Path) -> ET.Element:
    """The root of an XML file; a file that declares a document type is refused, since that is where entities hide."""
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> NoReturn:
        raise DataError(f"{path}: line {parser.CurrentLineNumber}: a document type is declared; CVAT writes none.")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise DataError(f"{path}: not an XML file ({error}); export it again.") from error
    return builder.close()


def decode_runs(counts: str, *, width: int, height: int, where: str) -> Bool[np.ndarray, "height width"]:
    """The box of a mask: runs row by row, background first."""
    words = [word.strip() for word in counts.split(",")]
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        raise DataError(f"{where}: rle is {counts!r:.60}; expected run lengths with commas between them.")
    runs = np.array([int(word) for word in words], dtype=np.int64)
    if runs.sum() != width * height:
        raise DataError(f"{where}: runs cover {runs.sum()} pixels of a box of {width}x{height}.")
    return np.repeat(np.arange(runs.size) % 2 == 1, runs).reshape(height, width)


def encode_runs(box: Bool[np.ndarray, "height width"]) -> str:
    """Inverse of `decode_runs`."""
    # The rows of a box are the columns of its transpose, which COCO counts.
    return ", ".join(map(str, rle.run_lengths(rle.encode(box.T))))


def _labels(root: ET.Element, path: Path) -> list[str]:
    if root.tag != "annotations" or root.find("meta") is None:
        raise DataError(f"{path}: not a CVAT file; expected <annotations> with <meta>.")
    if root.find("meta/project") is not None:
        raise DataError(f"{path}: a whole project; export its tasks one by one.")
    if root.find("image") is not None:
        raise DataError(f"{path}: exported 'for images', where objects have no tracks; export 'CVAT for video 1.1'.")
    names = [name.text or "" for name in root.iterfind("meta//labels/label/name")]
    return names or list(dict.fromkeys(track.get("label", "") for track in root.iterfind("track")))


def _read_video(path: Path, root: ET.Element, number: int, ids: dict[str, int], options: ReadOptions) -> AnnotatedVideo:
    meta = root.find("meta")
    assert meta is not None, "looked for with the labels"
    width, height = (_number(meta.findtext(f".//original_size/{side}"), f"{path}: {side}") for side in SIDES)
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise DataError(f"{path}: frames of {width}x{height} pixels.")
    frames = _frame_numbers(meta, path)
    name = meta.findtext("task/name") or (path.parent.name if path.name == FILE_NAME else path.stem)
    check_name(name, f"{path}: task name")
    folder = options.images / name if options.images is not None else path.parent / "images"
    by_number = images_by_number(folder)
    found = [by_number.get(frame) for frame in frames]
    spans: list[str] = []
    tracks = tuple(_read_track(track, frames, (height, width), ids, path, spans) for track in root.iterfind("track"))
    if spans:
        logger.warning("%s: no shapes between keyframes: %s", path, listing(spans, SHOWN))
    return AnnotatedVideo(
        id=_number(meta.findtext("task/id") or str(number), f"{path}: task id"),
        name=name,
        width=width,
        height=height,
        frame_numbers=tuple(frames),
        file_names=frame_names(name, (f"{frame:06d}" for frame in frames), found),
        images=tuple(found),
        tracks=tracks,
    )


def _frame_numbers(meta: ET.Element, path: Path) -> range:
    """Numbers in the source video: the first, and a step where frames were left out."""
    size = _number(meta.findtext(".//size"), f"{path}: size")
    start = _number(meta.findtext(".//start_frame") or "0", f"{path}: start_frame")
    step = _number(
        (meta.findtext(".//frame_filter") or "step=1").strip().removeprefix("step="), f"{path}: frame_filter"
    )
    if not 0 < size <= MAX_FRAMES or step < 1:
        raise DataError(f"{path}: {size} frames in steps of {step}; expected 1 to {MAX_FRAMES} in steps of at least 1.")
    return range(start, start + size * step, step)


def _read_track(
    track: ET.Element, frames: range, size: tuple[int, int], ids: dict[str, int], path: Path, spans: list[str]
) -> AnnotatedTrack:
    """`spans` is told of frames between keyframes."""
    number = _number(track.get("id"), f"{path}: track id")
    where = f"{path}: track {number}"
    label = track.get("label", "")
    if label not in ids:
        raise DataError(f"{where}: label {label!r} is not among the labels of <meta>.")
    masks: list[Rle | None] = [None] * len(frames)
    keys: dict[int, ET.Element] = {}
    for shape in track:
        if shape.tag == "attribute":
            continue
        frame = _number(shape.get("frame"), f"{where}: frame")
        place = f"{where}, frame {frame}"
        if frame not in frames or frames.index(frame) in keys:
            fault = "two shapes in one frame." if frame in frames else "no frame of the task."
            raise DataError(f"{place}: {fault}")
        keys[frames.index(frame)] = shape
        if not is_outside(shape):
            masks[frames.index(frame)] = tidy(_read_shape(shape, size, place))
    filled, left = fill_between(
        masks, keys, lambda shape, t: tidy(_read_shape(shape, size, f"{where}, frame {frames[t]}"))
    )
    for places, fate in ((filled, "filled as CVAT shows them"), (left, "left empty: export all frames")):
        if places:
            spans.append(f"track {number}, frames {frames[places[0]]} to {frames[places[-1]]}: {fate}")
    crowd = next((one.text for one in track.iter("attribute") if one.get("name") == CROWD), None)
    return AnnotatedTrack(
        id=number,
        category_id=ids[label],
        segmentations=tuple(masks),
        is_crowd=crowd_mark({CROWD: crowd}, where),
    )


def _read_shape(shape: ET.Element, size: tuple[int, int], where: str) -> Rle | None:
    height, width = size
    if shape.tag == "polygon":
        try:
            flat_points = [float(word) for pair in shape.get("points", "").split(";") for word in pair.split(",")]
        except ValueError as error:
            raise DataError(f"{where}: points are {shape.get('points')!r:.60}; expected x,y;x,y;...") from error
        return rle.parse([flat_points], height=height, width=width, where=where)
    if shape.tag != "mask":
        raise DataError(f"{where}: a {shape.tag} has no mask; masks and polygons have. Delete it, or draw one.")
    left, top, columns, rows = (
        _number(shape.get(key), f"{where}: {key}") for key in ("left", "top", "width", "height")
    )
    if left + columns > width or top + rows > height or columns * rows < 1:
        raise DataError(f"{where}: box of {columns}x{rows} at {left},{top} leaves the frame of {width}x{height}.")
    mask = np.zeros((height, width), dtype=bool)
    box = decode_runs(shape.get("rle", ""), width=columns, height=rows, where=where)
    mask[top : top + rows, left : left + columns] = box
    return rle.encode(mask)


def _number(text: str | None, where: str) -> int:
    words = (text or "").strip()
    if not words.isdecimal() or len(words) > 18:
        raise DataError(f"{where} is {text!r}; expected a whole number.")
    return int(words)


def _document(video: AnnotatedVideo, names: dict[int, str]) -> ET.Element:
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    meta = ET.SubElement(root, "meta")
    task = ET.SubElement(meta, "task")
    frames = _numbering(video)
    entries = {
        "id": video.id,
        "name": video.name,
        "size": len(frames),
        "mode": "interpolation",
        "start_frame": frames[0],
        "stop_frame": frames[-1],
        "frame_filter": "" if frames.step == 1 else f"step={frames.step}",
    }
    for key, value in entries.items():
        ET.SubElement(task, key).text = str(value)
    labels = ET.SubElement(task, "labels")
    has_crowds = any(track.is_crowd for track in video.tracks)
    for name in names.values():
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = name
        attributes = ET.SubElement(label, "attributes")
        if has_crowds:
            attribute = ET.SubElement(attributes, "attribute")
            for key, value in CROWD_ATTRIBUTE.items():
                ET.SubElement(attribute, key).text = value
    original = ET.SubElement(task, "original_size")
    for side, value in zip(SIDES, (video.width, video.height), strict=True):
        ET.SubElement(original, side).text = str(value)
    for track in video.tracks:
        _add_track(root, track, names[track.category_id], frames)
    return root


def _add_track(root: ET.Element, track: AnnotatedTrack, label: str, frames: Iterable[int]) -> None:
    """A track, with an outside shape where the object goes away: CVAT shows a shape until it ends."""
    element = ET.SubElement(root, "track", id=str(track.id), label=label, source="manual")
    before: dict[str, str] | None = None
    for frame, mask in zip(frames, track.segmentations, strict=True):
        if mask is not None:
            before = _box_of(mask)
        elif before is None:
            continue
        state = {"frame": str(frame), "outside": str(int(mask is None)), "keyframe": "1", "occluded": "0"}
        shape = ET.SubElement(element, "mask", {**state, **before, "z_order": "0"})
        if track.is_crowd:
            ET.SubElement(shape, "attribute", name=CROWD).text = "true"
        before = before if mask is not None else None


def _box_of(mask: Rle) -> dict[str, str]:
    left, top, columns, rows = (int(side) for side in rle.bounding_box(mask))
    box = rle.decode(mask)[top : top + rows, left : left + columns]
    sides = {"left": left, "top": top, "width": columns, "height": rows}
    return {"rle": encode_runs(box), **{key: str(value) for key, value in sides.items()}}
