"""What is found in a whole video: masks of every object over time, under one identity, as run-length codes.

This is the result that `predict` writes and that Python users get. It needs numpy, not torch.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from jaxtyping import Bool, Float, Int

from maskreel.errors import DataError
from maskreel.files import complete_file, read_json
from maskreel.geometry import masklet_exports, rle
from maskreel.geometry.masklet import Masklet, json_text, write_masklet
from maskreel.geometry.masklet_exports import MaskletArrays

if TYPE_CHECKING:
    from supervision import Detections  # pyright: ignore[reportMissingImports]

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SkippedFrame:
    """Frames that the source holds, or says it holds, but that were not decoded, or not looked at."""

    index: int
    """Position of the first among all frames of the source, the skipped ones counted."""
    reason: str
    count: int = 1
    """How many one after the other."""


@dataclass(frozen=True, kw_only=True)
class Masklets(Sequence[Masklet]):
    """All objects found in one video; a sequence of `Masklet`, ordered by track id.

    Long videos keep their masks outside of memory until they are asked for.
    """

    source: str
    """What was read, as it was named."""
    width: int
    height: int
    """Size of the source's frames as they are shown, in pixels."""
    classes: tuple[tuple[int, str], ...]
    """(category id, name) per label."""
    declared: int | None
    """Frames that the source says it has, None where it says nothing; not to be trusted."""
    skipped: tuple[SkippedFrame, ...] = ()
    timestamps: tuple[float, ...]
    """Seconds, one per decoded frame."""
    masklets: tuple[Masklet, ...] = field(repr=False)

    def __post_init__(self) -> None:
        for masklet in self.masklets:
            if len(masklet.segmentations) != len(self.timestamps):
                raise DataError(
                    f"{self.source}: masklet {masklet.track_id} has {len(masklet.segmentations)} masks, but "
                    f"{len(self.timestamps)} frames were decoded"
                )
            if not 0 <= masklet.score <= 1:
                raise DataError(f"{self.source}: masklet {masklet.track_id} has score {masklet.score}, outside [0, 1]")

    def __len__(self) -> int:
        return len(self.masklets)

    @overload
    def __getitem__(self, index: int) -> Masklet: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Masklet, ...]: ...
    def __getitem__(self, index: int | slice) -> Masklet | tuple[Masklet, ...]:
        return self.masklets[index]

    @property
    def decoded(self) -> int:
        """Frames that were decoded; every list of masks has one entry for each of them."""
        return len(self.timestamps)

    @property
    def num_skipped(self) -> int:
        """Frames that are listed as skipped."""
        return sum(lost.count for lost in self.skipped)

    @property
    def scores(self) -> Float[np.ndarray, " n"]:
        return np.array([masklet.score for masklet in self.masklets], dtype=np.float64)

    @property
    def labels(self) -> Int[np.ndarray, " n"]:
        return np.array([masklet.label for masklet in self.masklets], dtype=np.int64)

    @property
    def track_id(self) -> Int[np.ndarray, " n"]:
        return np.array([masklet.track_id for masklet in self.masklets], dtype=np.int64)

    def name(self, masklet: Masklet) -> str:
        """Name of a masklet's class."""
        return self.classes[masklet.label][1]

    def masks(self, frame: int) -> Bool[np.ndarray, "n h w"]:
        """Dense masks of every masklet in one decoded frame; all False where an object is not seen."""
        masks = np.zeros((len(self), self.height, self.width), dtype=bool)
        for dense, masklet in zip(masks, self.masklets, strict=True):
            mask = masklet.segmentations[frame]
            if mask is not None:
                dense[:] = rle.decode(mask)
        return masks

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON file that `save` writes."""
        return self._head() | {"masklets": [masklet.to_dict() for masklet in self.masklets]}

    def save(self, path: str | Path) -> None:
        """Write JSON; equal results give equal bytes, and the file appears under its name only when it is complete."""
        with complete_file(Path(path)) as new, new.open("w", encoding="utf-8", newline="\n") as out:
            out.write(json_text(self._head())[:-1])
            out.write(',"masklets":[')
            for place, masklet in enumerate(self.masklets):
                out.write("," * (place > 0) + "\n")
                write_masklet(masklet, out)
            out.write("]}\n")

    @classmethod
    def load(cls, path: str | Path) -> "Masklets":
        """Read what `save` wrote; raises DataError naming what is wrong in it."""
        path = Path(path)
        data = read_json(path)
        if data.get("version") != FORMAT:
            raise DataError(
                f"{path}: not a masklet file of format {FORMAT} (version {data.get('version')!r}); "
                "predict writes these as <stem>.json"
            )
        try:
            return cls(
                source=data["source"],
                width=data["width"],
                height=data["height"],
                classes=tuple((entry["id"], entry["name"]) for entry in data["classes"]),
                declared=data["frames"]["declared"],
                skipped=tuple(
                    SkippedFrame(index=entry["index"], reason=entry["reason"], count=entry.get("count", 1))
                    for entry in data["frames"]["skipped"]
                ),
                timestamps=tuple(float(time) for time in data["timestamps"]),
                masklets=tuple(_read_masklet(entry, data, path) for entry in data["masklets"]),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: not a masklet file: {error!r}") from error

    def to_youtube_vis(self, video_id: int) -> list[dict[str, Any]]:
        """Entries of a YouTube-VIS results file."""
        return [masklet.to_youtube_vis(video_id) for masklet in self.masklets]

    def to_coco(self) -> dict[str, Any]:
        """A COCO document: images (one per decoded frame), annotations with `track_id`, categories; ids from 1.

        `bbox` is (x, y, width, height) in pixels, `segmentation` a run-length code with text counts. The file names of
        the images are numbers of frames, for the source has none.
        """
        return masklet_exports.coco(
            self,
            source=self.source,
            size=(self.height, self.width),
            timestamps=self.timestamps,
            classes=self.classes,
        )

    def to_arrays(self, frames: Iterable[SupportsIndex] | None = None) -> MaskletArrays:
        """Dense masks (bool `n t h w`), boxes (`n t 4`: x, y, width, height in pixels), scores, labels, track ids.

        `frames` are positions of decoded frames, None for all. Raises OptionError above 2 GB, before anything is made.
        """
        size = (self.height, self.width)
        return masklet_exports.arrays(self, size=size, num_frames=self.decoded, frames=frames)

    def to_supervision(self, frame: int) -> "Detections":
        """Objects seen in one decoded frame as `supervision.Detections`; needs the package supervision."""
        return masklet_exports.supervision_detections(self, frame, (self.height, self.width))

    def _head(self) -> dict[str, Any]:
        return {
            "version": FORMAT,
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "classes": [{"id": category_id, "name": name} for category_id, name in self.classes],
            "frames": {
                "declared": self.declared,
                "decoded": self.decoded,
                "skipped": [
                    {"index": lost.index, "reason": lost.reason} | ({"count": lost.count} if lost.count > 1 else {})
                    for lost in self.skipped
                ],
            },
            "timestamps": list(self.timestamps),
        }


def is_masklet_file(path: Path) -> bool:
    """Whether a file begins as those that `Masklets.save` writes, and not as a list of results."""
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b'{"version"')


def _read_masklet(entry: dict[str, Any], data: dict[str, Any], path: Path) -> Masklet:
    track_id, label, score = entry["track_id"], entry["label"], float(entry["score"])
    where = f"{path}: masklet {track_id}"
    if not 0 <= label < len(data["classes"]) or data["classes"][label]["id"] != entry["category_id"]:
        raise DataError(f"{where}: label {label} and category id {entry['category_id']} name no class of the file")
    if not math.isfinite(score):
        raise DataError(f"{where}: score {score}; expected a number in [0, 1]")
    return Masklet(
        track_id=track_id,
        label=label,
        category_id=entry["category_id"],
        score=score,
        segmentations=tuple(
            rle.parse(mask, height=data["height"], width=data["width"], where=f"{where}, frame {frame}")
            for frame, mask in enumerate(entry["segmentations"])
        ),
    )
