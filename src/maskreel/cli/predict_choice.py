"""What of a result `predict` keeps, and what it writes beside `<stem>.json` and the overlay."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskreel.cli.options import refused_as_typed
from maskreel.cli.records.video import Predict
from maskreel.errors import UsageError
from maskreel.geometry.masklets import Masklets
from maskreel.geometry.rle import Rle
from maskreel.geometry.selection import Region, chosen_labels, select
from maskreel.outputs import Outputs
from maskreel.video.files import FrameSource
from maskreel.video.streams import StreamedVideo
from maskreel.visualize.takeaways.kinds import TAKEAWAYS, Kind, chosen_kinds


@dataclass(frozen=True, kw_only=True)
class ResultChoice:
    """`--save`, `--classes` and `--region`, read and found to be right."""

    kinds: tuple[Kind, ...]
    region: Region | None
    labels: frozenset[int] | None = None

    @classmethod
    def of(cls, args: Predict) -> "ResultChoice":
        """As far as it can be told without the model's classes; UsageError for what is not allowed."""
        with refused_as_typed():
            region = None if args.region is None else Region.parse(args.region)
            return cls(kinds=chosen_kinds(f"{args.save},report" if args.report else args.save), region=region)

    def with_classes(self, classes: Sequence[tuple[int, str]], words: str | None) -> "ResultChoice":
        """Now that the model's classes are known; UsageError for one that it has not."""
        if words is None:
            return self
        with refused_as_typed():
            return replace(self, labels=chosen_labels(classes, words))

    def kept(self, masklets: Masklets) -> Masklets:
        """The objects of the chosen classes, where the region holds them."""
        return select(masklets, labels=self.labels, region=self.region)

    def shows(self, label: int, mask: Rle) -> bool:
        """Whether an object is kept in a frame, as `kept` has it."""
        is_chosen = self.labels is None or label in self.labels
        return is_chosen and (self.region is None or self.region.holds(mask))

    def require_frames(self, source: FrameSource) -> None:
        """UsageError where a kind needs the frames of a source once more that can be read once only."""
        again = [kind for kind in self.kinds if TAKEAWAYS[kind].needs_frames]
        if again and isinstance(source, StreamedVideo):
            raise UsageError(f"{source.name}: is read once, and --save {again[0]} needs it again; record it to a file")

    def paths(self, folder: Path, stem: str) -> dict[Kind, Path]:
        """Where each kind goes."""
        return {kind: folder / f"{stem}{TAKEAWAYS[kind].ending}" for kind in self.kinds}


def claim_takeaways(paths: dict[Kind, Path], outputs: Outputs) -> None:
    """Say that they will be written; UsageError where that must not be."""
    for kind, path in paths.items():
        if TAKEAWAYS[kind].is_folder:
            outputs.claim_whole_folder(path, None, "--out")
        else:
            outputs.claim(path)


def write_takeaways(
    paths: dict[Kind, Path], masklets: Masklets, source: FrameSource, video_id: int | None, outputs: Outputs
) -> None:
    """Write every kind; files and folders appear when they are whole."""
    for kind, path in paths.items():
        writing = outputs.writing_folder if TAKEAWAYS[kind].is_folder else outputs.writing
        with writing(path) as new:
            TAKEAWAYS[kind].write(new, masklets, source, video_id=1 if video_id is None else video_id)
