"""Every annotation format by the name typed on the command line.

This module imports nothing heavy, so that help texts can be made from it; a format's own file is imported when it is
used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from maskreel.data.layouts import Folders

if TYPE_CHECKING:
    from maskreel.data.formats.annotations import AnnotatedVideo, Annotations, ReadOptions
    from maskreel.data.formats.look import Look


@dataclass(frozen=True)
class Format:
    """How a format is read and written: functions of a module of this package, by their names."""

    module: str
    reader: str = "read"
    writer: str | None = "write"
    """None for a format that is read alone."""
    folders: Folders = "nested"
    recogniser: str = "recognises"

    @property
    def is_drawn(self) -> bool:
        """Whether masks are drawn to be written, and not kept as the run lengths that they are."""
        return self.folders != "nested"

    @property
    def read(self) -> "Callable[[Path, ReadOptions], Annotations]":
        """Of a file or folder; DataError or UsageError."""
        return self._function(self.reader)

    @property
    def write(self) -> "Callable[[Annotations, Path, str], None] | None":
        """Annotation files into an empty folder, for a split."""
        return None if self.writer is None else self._function(self.writer)

    @property
    def recognises(self) -> "Callable[[Look], bool]":
        """Whether what is seen of a file or folder is in this format."""
        return self._function(self.recogniser)

    @property
    def image_path(self) -> "Callable[[AnnotatedVideo, int, str], str]":
        """Where in that folder the image of a frame belongs."""
        return self._function("image_path")

    def _function(self, name: str) -> Any:
        return getattr(import_module(f"maskreel.data.formats.{self.module}"), name)


FORMATS = {
    "youtube-vis": Format("youtube_vis"),
    "coco": Format("coco", writer=None),
    "coco-tracks": Format("coco_tracks"),
    "mots-txt": Format("mots", reader="read_text", writer="write_text", recogniser="recognises_text", folders="flat"),
    "mots-png": Format("mots", reader="read_png", writer="write_png", recogniser="recognises_png", folders="flat"),
    "davis": Format("davis", folders="flat"),
    "burst": Format("burst"),
    "cvat": Format("cvat", folders="titled"),
    "labelme": Format("labelme", folders="flat"),
    "datumaro": Format("datumaro", writer=None),
    "vipseg": Format("vipseg", writer=None),
    "yolo": Format("yolo", writer=None),
    "predict": Format("predictions", writer=None),
}

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = Literal[tuple(FORMATS)]
"""A name of the catalog: a choice on the command line."""

ImageTransfer = Literal["link", "copy", "none"]
"""How images get into the target: as hard links (copies on another disk), as copies, not at all."""
