"""BURST: one JSON file of sequences, with masks as compressed RLE strings by frame and track id.

Only annotated frames are taken. What BURST says beyond masks, tracks, classes and frame times (absent and not
exhaustive classes, synonyms, which masks a person drew) has no place in YouTube-VIS.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    annotation_file,
    check_name,
    numbers_of,
    tidy,
    with_distinct_names,
)
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_shapes
from maskreel.data.listed_frames import warn_of_order
from maskreel.data.records import field_of, frame_rate, id_of, read_categories, read_document, records_of
from maskreel.data.tracks import AnnotatedTrack
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle

Record = dict[str, Any]


def recognises(look: Look) -> bool:
    return look.document.has_list("sequences") and "seq_name" in look.document.nested("sequences")


def read(given: Path, options: ReadOptions) -> Annotations:
    """A file, or the only JSON file of a folder; images lie in `frames/DATASET/SEQUENCE` beside it."""
    given = annotation_file(given, "BURST", options.split, "*.json")
    document, _ = read_document(given)
    if not isinstance(document, dict) or not isinstance(document.get("sequences"), list):
        raise DataError(f'{given}: not a BURST file; expected an object with "sequences" and "categories".')
    categories = read_categories(document, given)
    known = {category.id for category in categories}
    images = options.images or given.parent / "frames"
    videos = [
        _read_video(record, number, where, known, images, given, options)
        for number, (record, where) in enumerate(records_of(document, "sequences", f"{given}: sequence"), start=1)
    ]
    warn_of_order(given, ((video.id, video.file_names) for video in videos))
    return Annotations(categories=categories, videos=with_distinct_names(videos))


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """`SPLIT.json`; images go to the places of `image_path`."""
    document = {
        "sequences": [_sequence_record(video) for video in annotations.videos],
        "categories": [{"id": category.id, "name": category.name} for category in annotations.categories],
        "split": split,
    }
    (folder / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    dataset, name = _parts(video)
    return f"frames/{dataset}/{name}/{_file_names(video)[frame]}"


def _file_names(video: AnnotatedVideo) -> list[str]:
    """Of the frames in their folder: their own where these tell the frame numbers."""
    paths = [PurePosixPath(path) for path in video.file_names]
    names = [path.name for path in paths]
    if len(set(names)) == len(names) and numbers_of(names) == video.frame_numbers:
        return names
    return [f"{number:06d}{path.suffix}" for number, path in zip(video.frame_numbers, paths, strict=True)]


def _parts(video: AnnotatedVideo) -> tuple[str, str]:
    """Names of data set and sequence."""
    dataset, _, name = video.name.replace("\\", "/").rpartition("/")
    return dataset or "videos", name


def _read_video(
    record: Record, number: int, where: str, known: set[int], images: Path, given: Path, options: ReadOptions
) -> AnnotatedVideo:
    dataset, name = (check_name(field_of(record, key, str, where), where) for key in ("dataset", "seq_name"))
    where = f"{where} ({dataset}/{name})"
    width, height = (field_of(record, key, int, where) for key in ("width", "height"))
    names = field_of(record, "annotated_image_paths", list, where)
    frames = field_of(record, "segmentations", list, where)
    if not names or len(frames) != len(names):
        raise DataError(f"{where}: {len(frames)} segmentations for {len(names)} annotated images; at least 1 of each.")
    paths = [check_name(path if isinstance(path, str) else "", f"{where}, annotated image") for path in names]
    video_name = name if dataset == "videos" else f"{dataset}/{name}"
    found = [images / dataset / name / path for path in paths]
    return AnnotatedVideo(
        id=field_of({"id": number, **record}, "id", int, where),
        name=video_name,
        width=width,
        height=height,
        frame_numbers=numbers_of(paths),
        file_names=tuple(f"{video_name}/{path}" for path in paths),
        images=tuple(path if path.is_file() else None for path in found),
        tracks=tuple(_read_tracks(record, frames, (height, width), known, where, given, options)),
        fps=frame_rate(record, where),
    )


def _read_tracks(
    record: Record,
    frames: list[Any],
    size: tuple[int, int],
    known: set[int],
    where: str,
    given: Path,
    options: ReadOptions,
) -> list[AnnotatedTrack]:
    classes = field_of(record, "track_category_ids", dict, where)
    masks: dict[str, list[Rle | None]] = {track: [None] * len(frames) for track in classes}
    for t, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise DataError(f"{where}, frame {t}: segmentations are {frame!r:.60}; expected an object by track id.")
        for track, one in frame.items():
            item = f"{where.removeprefix(f'{given}: ')}, frame {t}, track {track}"
            with odd_shapes(options, given, item) as place:
                if track not in masks:
                    raise DataError(f"{place}: not among track_category_ids.")
                if not isinstance(one, dict):
                    raise DataError(f"{place}: {one!r:.60}; expected an object with rle.")
                mask = {"size": list(size), "counts": field_of(one, "rle", str, place)}
                masks[track][t] = tidy(rle.parse(mask, height=size[0], width=size[1], where=place))
    tracks = []
    for track, per_frame in masks.items():
        category_id = id_of(classes, track, f"{where}, track_category_ids")
        if not track.isdecimal() or len(track) > 18 or category_id not in known:
            raise DataError(f"{where}: track {track!r} of class {category_id}; expected a number and a listed class.")
        tracks.append(AnnotatedTrack(id=int(track), category_id=category_id, segmentations=tuple(per_frame)))
    return tracks


def _sequence_record(video: AnnotatedVideo) -> Record:
    dataset, name = _parts(video)
    paths = _file_names(video)
    record: Record = {
        "id": video.id,
        "dataset": dataset,
        "seq_name": name,
        "width": video.width,
        "height": video.height,
        "all_image_paths": paths,
        "annotated_image_paths": paths,
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        "track_category_ids": {str(track.id): track.category_id for track in video.tracks},
        "segmentations": [
            {
                str(track.id): {"rle": mask.counts.decode("ascii"), "is_gt": True}
                for track in video.tracks
                if (mask := track.segmentations[t]) is not None
            }
            for t in range(len(paths))
        ],
    }
    return {**record, **video.plain_fps}
