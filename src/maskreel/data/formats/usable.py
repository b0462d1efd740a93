"""Frames whose images can be used: a conversion that takes images along looks at each before anything is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from maskreel.data.formats.annotations import AnnotatedVideo, Annotations
from maskreel.errors import DataError, VideoReadError
from maskreel.left_out import LeftOut
from maskreel.video.images import UNREADABLE, check_pixels, open_image, size_words, upright_size


def with_usable_images(annotations: Annotations, left_out: LeftOut) -> Annotations:
    """The same without the frames whose image cannot be decoded or is of another size, and videos that lose all.

    Where nothing says that they are to be left out, the first is a DataError. Frames without an image stay, unless
    they are to be left out too.
    """
    videos = []
    for video in annotations.videos:
        kept = [t for t, image in enumerate(video.images) if _is_usable(video, t, image, left_out)]
        if kept:
            videos.append(video if len(kept) == len(video.images) else _only(video, kept))
        else:
            left_out.leave_out("video", video.name, "", "none of its images can be used")
    if not videos:
        raise DataError("no image of any frame can be used; --frames none converts annotations alone.")
    return replace(annotations, videos=tuple(videos))


def _is_usable(video: AnnotatedVideo, frame: int, image: Path | None, left_out: LeftOut) -> bool:
    if image is None:
        if left_out.on_bad == "skip":
            item = f"frame {video.frame_numbers[frame]}"
            left_out.leave_out("image", f"video {video.name!r}", item, "its image was not found")
        return left_out.on_bad != "skip"
    fault = _fault(image, (video.width, video.height))
    if fault is not None:
        left_out.leave_out("image", image, "", fault)
    return fault is None


def _fault(image: Path, size: tuple[int, int]) -> str | None:
    try:
        with open_image(image) as opened:
            shown, stored = upright_size(opened), opened.size
            if shown != size:
                return f"has {size_words(shown, stored)}, its annotations are for {size[0]}x{size[1]}"
            check_pixels(opened)
    except VideoReadError as error:
        return error.reason
    except UNREADABLE as error:
        return f"cannot be decoded ({error})"
    return None


def _only(video: AnnotatedVideo, kept: Sequence[int]) -> AnnotatedVideo:
    """The video with these frames."""
    tracks = [
        replace(
            track,
            segmentations=tuple(track.segmentations[t] for t in kept),
            occlusion=None if track.occlusion is None else tuple(track.occlusion[t] for t in kept),
        )
        for track in video.tracks
    ]
    return replace(
        video,
        frame_numbers=tuple(video.frame_numbers[t] for t in kept),
        file_names=tuple(video.file_names[t] for t in kept),
        images=tuple(video.images[t] for t in kept),
        tracks=tuple(tracks),
    )
