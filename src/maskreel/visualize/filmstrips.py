"""Filmstrips and overlay videos of data sets: annotated tracks, results, or one above the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.errors import DataError
from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklets
from maskreel.video.files import FrameSource
from maskreel.visualize.animation import write_gif
from maskreel.visualize.draw import DrawnObject, contact_sheet, draw, draw_objects, evenly_spaced, save_picture
from maskreel.visualize.takeaways.frames import seen_frames
from maskreel.visualize.video import TimedImage, write_video

CELL_WIDTH = 320
"""Pixels of a frame on a sheet; what `contact_sheet` makes of wider ones."""


@dataclass(frozen=True, kw_only=True)
class ShownTrack:
    """A track as it is to be drawn."""

    track_id: int
    """Chooses the colour."""
    caption: str
    segmentations: Sequence[Any]
    """One per frame: `Rle`, null, or a mask as JSON files hold it."""
    where: str
    """Names it in an error."""


def annotated_tracks(dataset: YouTubeVIS, index: int) -> list[ShownTrack]:
    """The tracks of a video in its annotation file."""
    return [
        ShownTrack(
            track_id=place,
            caption=dataset.categories[track.label].name + (" (crowd)" if track.is_crowd else ""),
            segmentations=track.segmentations,
            where=f"{dataset.annotation_path}: annotation {track.id}",
        )
        for place, track in enumerate(dataset.tracks(index), start=1)
    ]


def write_filmstrip(
    path: Path, dataset: YouTubeVIS, index: int, rows: Mapping[str, Sequence[ShownTrack]], *, num_frames: int
) -> None:
    """A picture with one row per kind of tracks, by its caption, and frames spread over the video as columns."""
    video = dataset.videos[index]
    shown = evenly_spaced(video.length, num_frames)
    frames = _pictures(dataset, index, shown)
    cells = [
        [_painted(frame, tracks, t, video.height, video.width) for t, frame in zip(shown, frames, strict=True)]
        for tracks in rows.values()
    ]
    save_picture(path, contact_sheet(cells, row_captions=list(rows)))


def write_track_video(
    path: Path, dataset: YouTubeVIS, index: int, tracks: Sequence[ShownTrack], *, frame_rate: Fraction
) -> None:
    """An mp4 of all frames with the tracks drawn in, or a GIF, by the ending; one frame in memory at a time."""
    video = dataset.videos[index]

    def drawn() -> Iterator[TimedImage]:
        for t in range(video.length):
            (frame,) = _pictures(dataset, index, [t])
            yield TimedImage(float(t / frame_rate), _painted(frame, tracks, t, video.height, video.width))

    if path.suffix == ".gif":
        write_gif(path, drawn(), frame_rate=float(frame_rate))
    else:
        write_video(path, drawn(), frame_rate=frame_rate)


def write_sheet(
    path: Path, dataset: YouTubeVIS, videos: Mapping[int, Sequence[ShownTrack]], *, num_frames: int
) -> None:
    """One picture with a row per video, by its position, and frames spread over it as columns."""
    rows, captions = [], []
    for index, tracks in videos.items():
        video = dataset.videos[index]
        shown = evenly_spaced(video.length, num_frames)
        frames = _pictures(dataset, index, shown)
        rows.append(
            [
                _shrunk(_painted(frame, tracks, t, video.height, video.width))
                for t, frame in zip(shown, frames, strict=True)
            ]
        )
        captions.append(f"{video.name} ({len(tracks)} objects)")
    save_picture(path, contact_sheet(rows, row_captions=captions))


def _shrunk(cell: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """A cell of a sheet as small as it will stand there, so that many rows take little memory."""
    image = Image.fromarray(cell)
    image.thumbnail((CELL_WIDTH, image.height))
    return np.asarray(image)


def write_masklet_filmstrip(path: Path, source: FrameSource, masklets: Masklets, *, num_frames: int) -> None:
    """Frames spread over a video with the masklets found in it; DataError when the frames are no longer the same."""
    wanted = set(evenly_spaced(masklets.decoded, num_frames)) if masklets.decoded else set()
    cells = [draw(frame.pixels, masklets, frame.index) for frame in source if frame.index in wanted]
    if len(cells) != len(wanted) or not cells:
        raise DataError(f"{source.name}: does not have the {masklets.decoded} frames that its objects were found in")
    save_picture(path, contact_sheet([cells], row_captions=[f"{source.name} ({len(masklets)} objects)"]))


def write_masklet_gif(path: Path, source: FrameSource, masklets: Masklets) -> None:
    """A GIF of a video with the masklets found in it."""
    frames = (
        TimedImage(frame.time, draw(frame.pixels, masklets, frame.index)) for frame in seen_frames(masklets, source)
    )
    write_gif(path, frames, frame_rate=float(source.frame_rate))


def _pictures(dataset: YouTubeVIS, index: int, frames: Sequence[int]) -> list[UInt8[np.ndarray, "h w 3"]]:
    return [picture.permute(1, 2, 0).numpy() for picture in dataset.decode_frames(index, frames)]


def _painted(
    frame: UInt8[np.ndarray, "h w 3"], tracks: Sequence[ShownTrack], t: int, height: int, width: int
) -> UInt8[np.ndarray, "h w 3"]:
    objects = []
    for track in tracks:
        mask = track.segmentations[t]
        if not isinstance(mask, rle.Rle):
            mask = rle.parse(mask, height=height, width=width, where=f"{track.where}, frame {t}")
        if mask is not None:
            objects.append(DrawnObject(mask=rle.decode(mask), track_id=track.track_id, caption=track.caption))
    return draw_objects(frame, objects)
