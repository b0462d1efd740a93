"""What people can take away of a result, by the word that is typed for it; this module imports nothing heavy."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from maskreel.config import suggestion
from maskreel.errors import OptionError

if TYPE_CHECKING:
    from maskreel.geometry.masklets import Masklets
    from maskreel.video.files import FrameSource

Kind = Literal["masks", "cutouts", "alpha", "csv", "youtube-vis", "coco", "report"]


class Write(Protocol):
    """Writes one kind of file or fills an empty folder, `path`, from what was found in `source`."""

    def __call__(self, path: Path, masklets: "Masklets", source: "FrameSource", *, video_id: int) -> None:
        """Raises DataError where the source no longer has the frames that the masklets were found in."""
        ...


@dataclass(frozen=True)
class Takeaway:
    """One kind: what it is, where it is written, and by whom."""

    about: str
    """For help texts, a phrase."""
    ending: str
    """What follows the stem of the source in the name of the file or folder."""
    writer: str
    """MODULE:FUNCTION below `maskreel.visualize`, a `Write`."""
    is_folder: bool = False
    """Whether it is a folder of files."""
    needs_frames: bool = False
    """Whether the frames of the source are read once more."""

    def write(self, path: Path, masklets: "Masklets", source: "FrameSource", *, video_id: int = 1) -> None:
        """Write the file, or fill the empty folder; see `Write`."""
        module, _, function = self.writer.partition(":")
        write: Write = getattr(import_module(f"maskreel.visualize.{module}"), function)
        write(path, masklets, source, video_id=video_id)


TAKEAWAYS: dict[Kind, Takeaway] = {
    "masks": Takeaway(
        "a PNG per frame whose colour numbers are track ids", "_masks", "takeaways.images:masks", is_folder=True
    ),
    "cutouts": Takeaway(
        "every object of every frame cut out, PNG with alpha",
        "_cutouts",
        "takeaways.images:cutouts",
        is_folder=True,
        needs_frames=True,
    ),
    "alpha": Takeaway(
        "video in which all but the objects is clear", "_alpha.webm", "takeaways.alpha:alpha", needs_frames=True
    ),
    "csv": Takeaway("a row per object and frame with its box", ".csv", "takeaways.tables:csv_rows"),
    "youtube-vis": Takeaway(
        "entries of a YouTube-VIS results file", "_youtube_vis.json", "takeaways.tables:youtube_vis"
    ),
    "coco": Takeaway("COCO with track ids", "_coco.json", "takeaways.tables:coco"),
    "report": Takeaway(
        "one page with video, masks, table and timeline", ".html", "report.video_report:report", needs_frames=True
    ),
}


def described() -> str:
    """All kinds with what they are, for help texts."""
    return "; ".join(f"{kind} ({takeaway.about})" for kind, takeaway in TAKEAWAYS.items())


def chosen_kinds(words: str) -> tuple[Kind, ...]:
    """The kinds in a comma-separated list, each once; OptionError, about "save", for a word that is none."""
    chosen: dict[Kind, None] = {}
    known = f"choose from {', '.join(get_args(Kind))}"
    for word in filter(None, (word.strip() for word in words.split(","))):
        kind = next((kind for kind in get_args(Kind) if kind == word.lower().replace("_", "-")), None)
        if kind is None:
            raise OptionError(f"save {word!r}: {suggestion(word, get_args(Kind), known)}")
        chosen[kind] = None
    return tuple(chosen)
