"""Which format something is in, where `--from` is left out: a bounded look at names, first lines and keys.

Each format says in its own file what it is recognised by (`recognises`); what is known and not supported is named here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from maskreel.data.formats.catalog import FORMATS, FormatName
from maskreel.data.formats.look import Document, Look, panoptic_words
from maskreel.errors import DataError, UsageError
from maskreel.files import collector_paused

DOCUMENTS = 12
"""JSON files that are opened before the look is given up."""


def recognise(given: Path, split: str) -> FormatName:
    """The format of a file or folder.

    Raises UsageError where none is recognised or more than one is, DataError for one that is not supported.
    """
    look = Look(given=given)
    found = dict.fromkeys(_matching(look))
    refusal = _unsupported(look)
    for path in _documents(look, split):
        document = _opened(path)
        if document is None:
            continue
        seen = replace(look, document=document, path=path)
        matching = _matching(seen)
        found |= dict.fromkeys(matching)
        if matching:
            break
        refusal = refusal or _unsupported(seen)
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise UsageError(f"{given}: may be {' or '.join(found)}; say which with --from")
    if refusal:
        raise DataError(f"{given}: {refusal}")
    raise UsageError(
        f"{given}: its format is not recognised; --from names it, one of {', '.join(FORMATS)} (docs/accepted-input.md)"
    )


def _matching(look: Look) -> list[FormatName]:
    return [name for name, one in FORMATS.items() if one.recognises(look)]


def _documents(look: Look, split: str) -> Iterator[Path]:
    """JSON files, those of the split first, then those nearest to the top."""
    paths = look.ending(".json")
    paths.sort(key=lambda path: (split not in path.name, len(path.parts)))
    yield from paths[:DOCUMENTS]


def _opened(path: Path) -> Document | None:
    try:
        with collector_paused():
            return Document(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _unsupported(look: Look) -> str | None:
    """What it is, where that is known and not read."""
    document = look.document
    first = document.content[0] if isinstance(document.content, list) and document.content else None
    if "segments_info" in document.nested("annotations"):
        return panoptic_words()
    if isinstance(first, Mapping):
        for keys, words in _LISTS:
            if keys <= first.keys():
                return words
    for keys, words in _OBJECTS:
        if keys <= document.keys:
            return words
    if any(Look.first_line(path).startswith("<annotation>") for path in look.ending(".xml")[:3]):
        return "Pascal VOC or LabelMe XML files, which know no tracks; export with tracks, such as 'CVAT for video 1.1'"
    below = [path for path in look.ending(".jpg", ".jpeg") if "Annotations" in path.relative_to(look.given).parts]
    if below and not look.ending(".png"):
        return "masks saved as JPEG, which changes their values; save them as PNG"
    if any(path.name == "gt.txt" for path in look.ending(".txt")):
        return "MOT text files, which hold boxes and no masks; MOTS files (mots-txt, mots-png) have masks"
    return None


_LISTS = (
    (
        frozenset({"video_id", "segmentations"}),
        "results for scoring, not annotations; maskreel score reads them, and data convert reads predict's <stem>.json",
    ),
    (
        frozenset({"image_id", "category_id"}),
        "COCO results (a list with image_id), not annotations; give the annotation file",
    ),
    (frozenset({"data", "annotations"}), "a Label Studio export; export it as COCO"),
)
_OBJECTS = (
    (frozenset({"_via_img_metadata"}), "a VGG Image Annotator project; export it as COCO"),
    (frozenset({"samples"}), "FiftyOne's own samples; export as fiftyone.types.COCODetectionDataset"),
    (frozenset({"framesCount", "objects"}), "a Supervisely video; export it as COCO with track ids"),
)
