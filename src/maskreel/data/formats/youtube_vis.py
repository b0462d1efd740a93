"""YouTube-VIS: `SPLIT.json` and `SPLIT/JPEGImages`, or any layout or annotation file of it.

Three keys are added where a file needs them, which other readers pass over: `frame_numbers` and `fps` of a video, and
`track_id` of an annotation where ids repeat from video to video.
"""

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from maskreel.data.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    ReadOptions,
    numbers_of,
    tidy,
    with_distinct_names,
)
from maskreel.data.formats.look import Look
from maskreel.data.formats.shapes import odd_shapes
from maskreel.data.layouts import find_annotations, find_frames
from maskreel.data.tracks import AnnotatedTrack, Video
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError, UsageError
from maskreel.geometry import rle
from maskreel.geometry.rle import Rle


def recognises(look: Look) -> bool:
    document = look.document
    keys = document.nested("videos")
    return document.has_list("videos") and not document.has_list("images") and bool(keys & {"file_names", "length"})


def read(given: Path, options: ReadOptions) -> Annotations:
    """A split of a folder, or an annotation file; frames are looked up but may be missing."""
    if given.is_file():
        dataset = YouTubeVIS.read_file(given)
    else:
        dataset = YouTubeVIS.read_file(find_annotations(given, options.split))
        try:
            first = dataset.videos[0].file_names[0] if dataset.videos else None
            dataset.frames_folder = find_frames(given, options.split, first)
        except UsageError:
            pass
    if options.images is not None:
        dataset.frames_folder = options.images
    if not dataset.has_annotations:
        raise DataError(f'{dataset.annotation_path}: "annotations" is null, so there is nothing to convert.')
    shared = Counter(_folder(video) for video in dataset.videos)
    videos = [
        _read_video(dataset, index, video, options, is_shared=shared[_folder(video)] > 1)
        for index, video in enumerate(dataset.videos)
    ]
    return Annotations(categories=dataset.categories, videos=with_distinct_names(videos))


def write(annotations: Annotations, folder: Path, split: str) -> None:
    """The annotation file; the frames go to the places of `image_path`."""
    ids = [track.id for video in annotations.videos for track in video.tracks]
    are_distinct = len(set(ids)) == len(ids) and min(ids, default=1) > 0
    records: list[dict[str, Any]] = []
    for video in annotations.videos:
        for track in video.tracks:
            number = {"id": track.id} if are_distinct else {"id": len(records) + 1, "track_id": track.id}
            records.append({**number, "video_id": video.id, **_track_record(video, track)})
    document = {
        "videos": [_video_record(video) for video in annotations.videos],
        "categories": [{"id": category.id, "name": category.name} for category in annotations.categories],
        "annotations": records,
    }
    (folder / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")


def image_path(video: AnnotatedVideo, frame: int, split: str) -> str:
    return f"{split}/JPEGImages/{video.file_names[frame]}"


def _folder(video: Video) -> str:
    return PurePosixPath(video.file_names[0].replace("\\", "/")).parent.as_posix()


def _name(video: Video, *, is_shared: bool) -> str:
    """The folder of the frames, or the image itself where several stills lie in one."""
    if video.length == 1 and (is_shared or _folder(video) == "."):
        return PurePosixPath(video.file_names[0].replace("\\", "/")).with_suffix("").as_posix()
    return _folder(video) if _folder(video) != "." else f"video_{video.id}"


def _read_video(
    dataset: YouTubeVIS, index: int, video: Video, options: ReadOptions, *, is_shared: bool
) -> AnnotatedVideo:
    """`is_shared` says that another video has its frames in the same folder."""
    found = set(dataset.available_frames(index))
    return AnnotatedVideo(
        id=video.id,
        name=_name(video, is_shared=is_shared),
        width=video.width,
        height=video.height,
        frame_numbers=video.frame_numbers or numbers_of(video.file_names),
        file_names=video.file_names,
        images=tuple(dataset.frame_path(index, t) if t in found else None for t in range(video.length)),
        tracks=tuple(_read_track(dataset, index, track, options) for track in dataset.tracks(index)),
        fps=video.fps,
    )


def _read_track(dataset: YouTubeVIS, index: int, track: AnnotatedTrack, options: ReadOptions) -> AnnotatedTrack:
    video, path = dataset.videos[index], dataset.annotation_path
    of_track = dataset.truth.place(index, track).removeprefix(f"{path}: ")

    def read_mask(frame: int, mask: Any) -> Rle | None:
        with odd_shapes(options, path, f"{of_track}, frame {frame}") as where:
            return tidy(rle.parse(mask, height=video.height, width=video.width, where=where))
        return None

    return AnnotatedTrack(
        id=track.id if track.track_id is None else track.track_id,
        category_id=track.category_id,
        segmentations=tuple(read_mask(t, mask) for t, mask in enumerate(track.segmentations)),
        is_crowd=track.is_crowd,
        occlusion=None if track.occlusion is None else tuple(track.occlusion),
    )


def _video_record(video: AnnotatedVideo) -> dict[str, Any]:
    record = {
        "id": video.id,
        "width": video.width,
        "height": video.height,
        "length": len(video.file_names),
        "file_names": list(video.file_names),
    }
    if video.frame_numbers != numbers_of(video.file_names):
        record["frame_numbers"] = list(video.frame_numbers)
    return {**record, **video.plain_fps}


def _track_record(video: AnnotatedVideo, track: AnnotatedTrack) -> dict[str, Any]:
    labels = {} if track.occlusion is None else {"occlusion": list(track.occlusion)}
    return {
        **labels,
        "category_id": track.category_id,
        "iscrowd": int(track.is_crowd),
        "height": video.height,
        "width": video.width,
        "length": 1,
        "segmentations": [None if mask is None else mask.to_json() for mask in track.segmentations],
        "bboxes": [None if mask is None else list(rle.bounding_box(mask)) for mask in track.segmentations],
        "areas": [None if mask is None else rle.area(mask) for mask in track.segmentations],
    }
