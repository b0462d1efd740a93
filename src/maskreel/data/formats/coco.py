"""COCO instance files: every image alone, as a video of one frame. Import only; `coco_tracks` has the videos."""

import logging
from collections import defaultdict
from pathlib import Path, PurePosixPath

from maskreel.data.coco_clips import CLASS_MAPS
from maskreel.data.formats import coco_records
from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions, with_distinct_names
from maskreel.data.formats.coco_records import CocoImage, Record
from maskreel.data.formats.look import Document, Look
from maskreel.data.formats.shapes import odd_shapes
from maskreel.data.records import crowd_mark, id_of, read_categories
from maskreel.data.tracks import AnnotatedTrack, Category
from maskreel.errors import DataError

logger = logging.getLogger(__name__)


def recognises(look: Look) -> bool:
    document = look.document
    is_panoptic = "segments_info" in document.nested("annotations")
    return document.has_list("images") and not are_videos(document) and not is_panoptic


def are_videos(document: Document) -> bool:
    """Whether a COCO file holds videos."""
    in_annotations = document.nested("annotations")
    return (
        document.has_list("videos")
        or "video_id" in document.nested("images")
        or bool(in_annotations & {"track_id", "instance_id"})
        or "track_id" in document.nested("annotations", "attributes")
    )


def read(given: Path, options: ReadOptions) -> Annotations:
    """Every image as a video of one frame, its objects as tracks.

    With a class map, only its classes are kept, and only images that show one of them (more than as a crowd).
    Objects without a pixel are left out and counted in the log.
    """
    path, document = coco_records.read_coco(given, options)
    if options.classes is None and are_videos(Document(document)):
        logger.warning("%s: holds videos, read here as single images; --from coco-tracks keeps them", path)
    categories, wanted = _wanted_classes(document, path, options.classes)
    annotations = coco_records.annotations_of(document, path)
    coco_records.check_masks(annotations.values(), path)
    images = coco_records.images_of(document, path, options)
    known = {category.id for category in read_categories(document, path)}
    by_image: dict[int, list[tuple[int, Record]]] = defaultdict(list)
    for number, record in annotations.items():
        with odd_shapes(options, path, f"annotation {number}") as where:
            coco_records.listed_id(record, "category_id", known, where)
            by_image[coco_records.listed_id(record, "image_id", images, where)].append((number, record))
    videos = []
    num_empty = 0
    for number, image in images.items():
        tracks = [_track(record, track_id, image, wanted, path, options) for track_id, record in by_image[number]]
        kept = tuple(track for track in tracks if track is not None and track.segmentations[0] is not None)
        num_empty += sum(track is not None for track in tracks) - len(kept)
        if options.classes is None or any(not track.is_crowd for track in kept):
            videos.append(_video(image, kept))
    if num_empty:
        logger.warning("%s: %d annotations without a single pixel are left out", path, num_empty)
    return Annotations(categories=categories, videos=tuple(with_distinct_names(videos)))


def _wanted_classes(document: Record, path: Path, class_map: str | None) -> tuple[tuple[Category, ...], dict[int, int]]:
    """The classes to be, and the id of each by the id in the file; ids that are left out are missing."""
    categories = read_categories(document, path)
    if class_map is None:
        return categories, {category.id: category.id for category in categories}
    table = CLASS_MAPS[class_map]
    wanted = {
        category.id: table.names.index(table.renamed[category.name]) + 1
        for category in categories
        if category.name in table.renamed
    }
    if not wanted:
        raise DataError(f"{path}: none of its classes is one of COCO's that --classes {class_map} knows.")
    return tuple(Category(id=number, name=name) for number, name in enumerate(table.names, start=1)), wanted


def _track(
    record: Record,
    number: int,
    image: CocoImage,
    wanted: dict[int, int],
    path: Path,
    options: ReadOptions,
) -> AnnotatedTrack | None:
    item = f"annotation {number}"
    category_id = id_of(record, "category_id", f"{path}: {item}")
    if category_id not in wanted:
        return None
    return AnnotatedTrack(
        id=number,
        category_id=wanted[category_id],
        segmentations=(coco_records.mask_of(record, image, path, item, options),),
        is_crowd=crowd_mark(record, f"{path}: {item}"),
    )


def _video(image: CocoImage, tracks: tuple[AnnotatedTrack, ...]) -> AnnotatedVideo:
    return AnnotatedVideo(
        id=image.id,
        name=PurePosixPath(image.name).with_suffix("").as_posix(),
        width=image.size[1],
        height=image.size[0],
        frame_numbers=(0,),
        file_names=(image.name,),
        images=(image.path,),
        tracks=tracks,
    )
