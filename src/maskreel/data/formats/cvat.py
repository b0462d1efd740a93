"""CVAT "for video 1.1": one XML file per video, with masks and polygons on tracks.

CVAT writes a mask as runs of its box, row by row, background first: neither the order nor the frame of COCO. Class ids
are no part of the format: labels are counted from 1 in the order of the file. A shape that was drawn without a track
comes out of CVAT as a track of one frame, and is read as such. CVAT counts tracks anew in every export, and makes a
shape without a track of every mask; the attribute `track_id`, which is written with each, says which are one object.
"""

import json
import logging
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

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
from maskreel.data.formats.cvat_document import CROWD, TRACK_ID, document, label_records, numbering, parse_xml
from maskreel.data.formats.cvat_keys import fill_between, is_outside
from maskreel.data.formats.cvat_shapes import shape_mask
from maskreel.data.formats.images import frame_names, images_by_stem
from maskreel.data.formats.located import plain_name, size_of
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_files, odd_shapes
from maskreel.data.records import crowd_mark, listing, whole
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError, UsageError
from maskreel.geometry.rle import Rle
from maskreel.video.frame_order import in_frame_order

logger = logging.getLogger(__name__)

FILE_NAME = "annotations.xml"
LABELS = "labels.json"
"""Labels with the attributes, for the field "Raw" where a task is made: CVAT drops attributes that it does not know."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A task, or one of a project."""

    path: Path
    meta: ET.Element
    """What the file says of it."""
    tracks: list[ET.Element]
    name: str

    def image_folder(self, images: Path | None) -> Path | None:
        """Where its images lie: in `images`, below the names of subset and task where a project is exported."""
        base = self.path.parent / "images" if images is None else images
        subset = self.meta.findtext("subset") or "default"
        places = [base / self.name, base / subset / self.name, base / subset, base]
        return next((place for place in places if images_by_stem(place)), None)


@dataclass(kw_only=True)
class _Object:
    category_id: int
    is_crowd: bool
    masks: dict[int, Rle | None]
    """By place of the frame."""

    def is_joined(self, other: "_Object") -> bool:
        """Take the masks of another part; False where both are in a frame."""
        seen = {t: mask for t, mask in other.masks.items() if mask is not None}
        if any(self.masks.get(t) is not None for t in seen):
            return False
        self.masks |= seen
        return True


def recognises(look: Look) -> bool:
    return any("<annotations" in look.beginning(path) for path in look.ending(".xml")[:3])


def read(given: Path, options: ReadOptions) -> Annotations:
    """A file, or all of a folder and its folders; images lie in `images` beside each, as CVAT exports them."""
    if given.is_dir():
        paths = sorted([*given.glob("[!.]*.xml"), *given.glob("[!._]*/[!.]*.xml")])
    else:
        paths = [given] if given.is_file() else []
    if not paths:
        raise UsageError(f"{given}: no XML files; expected an export as 'CVAT for video 1.1'")
    names: dict[str, None] = {}
    tasks: list[_Task] = []
    for path in paths:
        with odd_files(options, path, among=paths):
            root = parse_xml(path)
            labels = _labels(root, path)
            tasks += _tasks(root, path)
            names |= dict.fromkeys(labels)
    ids = {name: number for number, name in enumerate(names, start=1)}
    folders = [task.image_folder(options.images) for task in tasks]
    videos = []
    for number, (task, folder) in enumerate(zip(tasks, folders, strict=True), start=1):
        if folder is not None and folders.count(folder) > 1:
            logger.warning(
                "%s: task %r shares the images in %s with another; none are taken", *(task.path, task.name, folder)
            )
            folder = None
        with odd_files(options, task.path, among=tasks):
            videos.append(_read_video(task, number, folder, ids, options))
    if len({video.id for video in videos}) < len(videos):
        videos = [replace(video, id=number) for number, video in enumerate(videos, start=1)]
    categories = tuple(Category(id=number, name=name) for name, number in ids.items())
    return Annotations(categories=categories, videos=with_distinct_names(videos))


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`VIDEO/annotations.xml` and the labels of a task for it; images go to `VIDEO/images`."""
    names = {category.id: category.name for category in annotations.categories}
    for video in annotations.videos:
        target = folder / flat_name(video)
        target.mkdir()
        tree = ET.ElementTree(document(video, names))
        ET.indent(tree)
        tree.write(target / FILE_NAME, encoding="utf-8", xml_declaration=True)
        labels = label_records(video, names.values())
        (target / LABELS).write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    suffix = Path(video.file_names[frame]).suffix
    return f"{flat_name(video)}/images/frame_{numbering(video)[frame]:06d}{suffix}"


def _labels(root: ET.Element, path: Path) -> list[str]:
    if root.tag != "annotations" or root.find("meta") is None:
        raise DataError(f"{path}: not a CVAT file; expected <annotations> with <meta>.")
    if root.find("image") is not None:
        raise DataError(f"{path}: exported 'for images', where objects have no tracks; export 'CVAT for video 1.1'.")
    names = [name.text or "" for name in root.iterfind("meta//labels/label/name")]
    return names or list(dict.fromkeys(track.get("label", "") for track in root.iterfind("track")))


def _tasks(root: ET.Element, path: Path) -> Iterator[_Task]:
    """The task of a file, or all of a project, each with its tracks."""
    tracks = root.findall("track")
    alone = path.parent.name if path.name == FILE_NAME else path.stem
    project = root.find("meta/project")
    if project is None:
        meta = next(one for name in ("meta/task", "meta/job", "meta") if (one := root.find(name)) is not None)
        yield _Task(path=path, meta=meta, tracks=tracks, name=_task_name(meta, alone, path))
        return
    tasks = project.findall("tasks/task")
    if not tasks:
        raise DataError(f"{path}: a project without tasks; export one that has some.")
    ids = [task.findtext("id", "").strip() for task in tasks]
    lost = [track for track in tracks if track.get("task_id", ids[0] if len(ids) == 1 else "") not in ids]
    if lost:
        raise DataError(
            f"{path}: track {lost[0].get('id')} has task_id {lost[0].get('task_id')}, none of the project's."
        )
    for task_id, task in zip(ids, tasks, strict=True):
        own = [track for track in tracks if track.get("task_id", task_id) == task_id]
        yield _Task(path=path, meta=task, tracks=own, name=_task_name(task, f"task_{task_id}", path))


def _task_name(meta: ET.Element, alone: str, path: Path) -> str:
    stated = (meta.findtext("name") or "").strip()
    name = plain_name(stated) if stated else alone
    if name != stated and stated:
        logger.warning("%s: task %r is named %r here, as not every file system takes its name", path, stated, name)
    return check_name(name, f"{path}: task name")


def _read_video(
    task: _Task, number: int, folder: Path | None, ids: dict[str, int], options: ReadOptions
) -> AnnotatedVideo:
    path, meta = task.path, task.meta
    frames = _frame_numbers(meta, path)
    found = _images(folder, frames)
    height, width = (meta.findtext(f".//original_size/{side}") for side in ("height", "width"))
    # Tasks of images state none.
    size = size_of(height, width, next((image for image in found if image is not None), None), f"{path}")
    spans: list[str] = []
    tracks = _labelled(task, ids, options)
    objects = _objects(tracks, lambda track: _read_track(track, frames, size, ids, path, options, spans), path)
    if spans:
        logger.warning("%s: no shapes between keyframes: %s", path, listing(spans, SHOWN))
    return AnnotatedVideo(
        id=_number(meta.findtext("id") or str(number), f"{path}: task id"),
        name=task.name,
        width=size[1],
        height=size[0],
        frame_numbers=tuple(frames),
        file_names=frame_names(task.name, (f"{frame:06d}" for frame in frames), found),
        images=tuple(found),
        tracks=tuple(
            AnnotatedTrack(
                id=track_id,
                category_id=one.category_id,
                segmentations=tuple(one.masks.get(t) for t in range(len(frames))),
                is_crowd=one.is_crowd,
            )
            for track_id, one in objects.items()
            if any(mask is not None for mask in one.masks.values())
        ),
    )


def _labelled(task: _Task, ids: dict[str, int], options: ReadOptions) -> list[ET.Element]:
    """The tracks but those whose label the file does not list."""
    kept = []
    for track in task.tracks:
        with odd_shapes(options, task.path, f"track {track.get('id')}") as where:
            label = track.get("label", "")
            if label not in ids:
                raise DataError(f"{where}: label {label!r} is not among the labels of <meta>.")
            kept.append(track)
    return kept


def _images(folder: Path | None, frames: range) -> list[Path | None]:
    """The image of each frame: that of its number, `frame_000007`.

    Tasks of images keep their names; where numbers do not fit and there are as many, they are taken in their order.
    """
    images = images_by_stem(folder)
    order = in_frame_order(list(images.values()))
    by_number = dict(zip(order.numbers or (), order.paths, strict=False))
    if len(images) == len(frames) and not by_number.keys() >= set(frames):
        logger.warning("%s: images are taken in their order, as their names have other numbers than the frames", folder)
        return list(order.paths)
    return [by_number.get(frame) for frame in frames]


def _objects(tracks: Sequence[ET.Element], read: Callable[[ET.Element], _Object], path: Path) -> dict[int, _Object]:
    """The objects of a task by their ids: those of the attribute, where any track has it.

    Tracks of one id and label are parts of an object; copies that are there at the same time are others, as are tracks
    without an id, and get free numbers.
    """
    stated = [whole((_attribute(track, TRACK_ID) or "").strip()) for track in tracks]
    objects: dict[int, _Object] = {}
    if all(number is None for number in stated):
        for track in tracks:
            number = _number(track.get("id"), f"{path}: track id")
            if number in objects:
                raise DataError(f"{path}: track {number} stands twice; export it again.")
            objects[number] = read(track)
        return objects
    free = count(max(number for number in stated if number is not None) + 1)
    same: dict[tuple[int, int], list[_Object]] = defaultdict(list)
    copied: list[int] = []
    for number, track in zip(stated, tracks, strict=True):
        one = read(track)
        others = same[number, one.category_id] if number is not None else []
        if any(other.is_joined(one) for other in others):
            continue
        others.append(one)
        if number in objects:
            copied.append(number)
        objects[next(free) if number is None or number in objects else number] = one
    if copied:
        logger.warning(
            "%s: track_id %s stands for more than one object at a time; the others get new ids",
            *(path, listing(copied, SHOWN)),
        )
    return objects


def _attribute(track: ET.Element, name: str) -> str | None:
    return next((one.text for one in track.iter("attribute") if one.get("name") == name), None)


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
    track: ET.Element,
    frames: range,
    size: tuple[int, int],
    ids: dict[str, int],
    path: Path,
    options: ReadOptions,
    spans: list[str],
) -> _Object:
    """`spans` is told of frames between keyframes."""
    name = f"track {track.get('id')}"
    where = f"{path}: {name}"

    def read_mask(shape: ET.Element, t: int) -> Rle | None:
        with odd_shapes(options, path, f"{name}, frame {frames[t]}") as place:
            return tidy(shape_mask(shape, size, place))
        return None

    keys = _shapes_by_place(track, frames, path, name, options)
    masks = {t: None if is_outside(shape) else read_mask(shape, t) for t, shape in keys.items()}
    filled, left = fill_between(masks, keys, read_mask, len(frames))
    for places, fate in ((filled, "filled as CVAT shows them"), (left, "left empty: export all frames")):
        if places:
            spans.append(f"{name}, frames {frames[places[0]]} to {frames[places[-1]]}: {fate}")
    return _Object(
        category_id=ids[track.get("label", "")],
        is_crowd=crowd_mark({CROWD: _attribute(track, CROWD)}, where),
        masks=masks,
    )


def _shapes_by_place(
    track: ET.Element, frames: range, path: Path, name: str, options: ReadOptions
) -> dict[int, ET.Element]:
    keys: dict[int, ET.Element] = {}
    for shape in track:
        if shape.tag == "attribute":
            continue
        with odd_shapes(options, path, f"{name}, frame {shape.get('frame')}") as where:
            frame = _number(shape.get("frame"), f"{where}: frame")
            if frames[-1] < frame <= frames[-1] + frames.step and is_outside(shape):
                # CVAT ends a shape that was drawn in the last frame right behind it.
                continue
            if frame not in frames or frames.index(frame) in keys:
                fault = "two shapes in one frame" if frame in frames else "no frame of the task"
                raise DataError(f"{where}: {fault}")
            keys[frames.index(frame)] = shape
    return keys


def _number(text: str | None, where: str) -> int:
    words = (text or "").strip()
    if not words.isdecimal() or len(words) > 18:
        raise DataError(f"{where} is {text!r}; expected a whole number.")
    return int(words)
