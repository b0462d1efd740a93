"""CVAT's XML of a video: parsed, and made as it is imported there, with the labels of a task that keeps it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from maskreel.data.formats.annotations import AnnotatedVideo
from maskreel.data.formats.cvat_shapes import box_of
from maskreel.data.tracks import AnnotatedTrack
from maskreel.errors import DataError

CROWD = "iscrowd"
"""Attribute of a track."""
CROWD_ATTRIBUTE = {
    "name": CROWD,
    "mutable": "False",
    "input_type": "checkbox",
    "default_value": "false",
    "values": "false",
}
TRACK_ID = "track_id"
"""Attribute of a track."""
TRACK_ID_ATTRIBUTE = {"name": TRACK_ID, "mutable": "False", "input_type": "text", "default_value": "", "values": ""}
SIDES = ("width", "height")
HEAD = 2
"""Elements before the tracks."""
NOTHING = {"rle": "0, 1", "left": "0", "top": "0", "width": "1", "height": "1"}
"""Of a shape that is outside."""


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
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"{path}: not an XML file ({error}); export it again.") from error
    return builder.close()


def numbering(video: AnnotatedVideo) -> range:
    """Frame numbers as a task has them, from the first in equal steps; other numbers are lost."""
    numbers = video.frame_numbers
    steps = {b - a for a, b in zip(numbers[:-1], numbers[1:], strict=True)}
    step = steps.pop() if len(steps) == 1 else 1
    return range(numbers[0], numbers[0] + step * len(numbers), step)


def label_records(video: AnnotatedVideo, names: Iterable[str]) -> list[dict[str, Any]]:
    """Labels with the attributes of tracks, as CVAT takes them where a task is made."""
    attributes = [{**one, "mutable": False, "values": [one["values"]]} for one in _attributes(video)]
    return [{"name": name, "attributes": attributes} for name in names]


def document(video: AnnotatedVideo, names: dict[int, str]) -> ET.Element:
    """What is imported as "CVAT for video 1.1"; names of classes by id."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    meta = ET.SubElement(root, "meta")
    task = ET.SubElement(meta, "task")
    frames = numbering(video)
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
    for name in names.values():
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = name
        attributes = ET.SubElement(label, "attributes")
        for one in _attributes(video):
            attribute = ET.SubElement(attributes, "attribute")
            for key, value in one.items():
                ET.SubElement(attribute, key).text = value
    original = ET.SubElement(task, "original_size")
    for side, value in zip(SIDES, (video.width, video.height), strict=True):
        ET.SubElement(original, side).text = str(value)
    for track in video.tracks:
        _add_masks(root, track, names[track.category_id], frames)
    return root


def _add_masks(root: ET.Element, track: AnnotatedTrack, label: str, frames: range) -> None:
    """Every mask as a track of its own, which ends in the next frame: of a track of masks, CVAT imports the first."""
    for frame, mask in zip(frames, track.segmentations, strict=True):
        if mask is None:
            continue
        element = ET.SubElement(root, "track", id=str(len(root) - HEAD), label=label, source="manual")
        states = [(frame, "0", box_of(mask)), (frame + frames.step, "1", NOTHING)]
        for number, outside, box in states if frame != frames[-1] else states[:1]:
            state = {"frame": str(number), "outside": outside, "keyframe": "1", "occluded": "0"}
            shape = ET.SubElement(element, "mask", {**state, **box, "z_order": "0"})
            ET.SubElement(shape, "attribute", name=TRACK_ID).text = str(track.id)
            if track.is_crowd:
                ET.SubElement(shape, "attribute", name=CROWD).text = "true"


def _attributes(video: AnnotatedVideo) -> list[dict[str, str]]:
    has_crowds = any(track.is_crowd for track in video.tracks)
    return [TRACK_ID_ATTRIBUTE, CROWD_ATTRIBUTE] if has_crowds else [TRACK_ID_ATTRIBUTE]
