"""Every annotation format by the name typed on the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskreel.data.formats import burst, coco, cvat, davis, labelme, mots, youtube_vis
from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions
from maskreel.data.formats.names import FormatName


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a format is read and written."""

    read: Callable[[Path, ReadOptions], Annotations]
    """Of a file or folder; DataError or UsageError."""
    write: Callable[[Annotations, Path, str], None] | None = None
    """Annotation files into an empty folder, for a split; None for a format that is read alone."""
    picture: Callable[[AnnotatedVideo, int, str], str] | None = None
    """Where in that folder the picture of a frame belongs."""


FORMATS: dict[FormatName, Format] = {
    "youtube-vis": Format(read=youtube_vis.read, write=youtube_vis.write, picture=youtube_vis.picture),
    "coco": Format(read=coco.read_pictures),
    "coco-tracks": Format(read=coco.read_tracks, write=coco.write_tracks, picture=coco.picture),
    "mots-txt": Format(read=mots.read_text, write=mots.write_text, picture=mots.picture),
    "mots-png": Format(read=mots.read_png, write=mots.write_png, picture=mots.picture),
    "davis": Format(read=davis.read, write=davis.write, picture=davis.picture),
    "burst": Format(read=burst.read, write=burst.write, picture=burst.picture),
    "cvat": Format(read=cvat.read, write=cvat.write, picture=cvat.picture),
    "labelme": Format(read=labelme.read, write=labelme.write, picture=labelme.picture),
}
