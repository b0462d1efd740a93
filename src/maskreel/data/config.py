"""Where training data lies and how clips are drawn from it, as a recipe says it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskreel.data.augment import Augmentation
from maskreel.errors import OptionError
from maskreel.left_out import OnBad

FrameChoice = Literal["spread", "consecutive"]
"""Frames of a training clip: an anchor, its neighbours and others from the whole video, or a run of neighbours."""
Anchors = Literal["per_frame", "per_video"]
"""What an epoch has a clip of: every frame, or every video."""
StillMotion = Literal["warp", "rotate", "repeat"]
"""How a still moves: the image and warped copies of it (SeqFormer), turned in every frame (TAFormer), not at all."""


Decode = Literal["exact", "scaled"]
"""Frames of clips decoded in full, or JPEG frames at a half, a quarter or an eighth where they are shrunk further."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the data lies and how clips are drawn from it."""

    root: Path | None = None
    """Folder of the data set, in one of the YouTube-VIS layouts."""
    joint: tuple[Path, ...] | None = ()
    """Folders of further sets, each with the same train split, trained on together with `root`: an epoch goes once
    through all frames of all sets, and twice through a set that is named twice. None: the recipe needs them named."""
    weights: tuple[float, ...] = ()
    """Shares of the sets in an epoch, `root` first, then those of `joint`: an epoch has as many clips as all sets, and
    a set with a larger share comes up more often. Empty: every clip comes once."""
    train_split: str = "train"
    """Split that is trained on."""
    valid_split: str = "valid"
    """Split that is measured."""
    num_frames: int = 5
    """Frames of a training clip."""
    frames: FrameChoice = "spread"
    """Which they are: an anchor, its neighbours and others from the whole video (SeqFormer), or consecutive (VisTR)."""
    anchors: Anchors = "per_frame"
    """What an epoch goes through: a clip around every frame, so that long videos come up more often (SeqFormer, VisTR),
    or one around a frame drawn anew from every video (Deformable VisTR)."""
    stills: StillMotion = "warp"
    """How a video of one frame, such as a COCO image, becomes a clip: among warped copies of itself (SeqFormer),
    turned by up to 20 degrees in every frame (TAFormer), or repeated as it is."""
    augmentation: Augmentation | None = Augmentation()
    """Random changes to training clips; None trains on the frames as they are."""
    decode: Decode = "exact"
    """How frames of training clips are decoded: in full, or JPEG frames at a half, a quarter or an eighth of their size
    where the augmentation shrinks them further (scaled): sooner, with slightly other pixels."""
    batch_size: int = 2
    """Clips of a batch, all processes together: with several, each has a part of the batches of a step, and the step
    stays the same. Numbers of processes that cannot share `training.accumulate` batches evenly are refused."""
    workers: int = 2
    """Processes that decode and augment clips; 0 does it in the training process."""
    on_bad: OnBad | None = None
    """What cannot be used is left out (skip) or stops the run (stop), also typed --on-bad; default: odd masks are left
    out, and a frame that is missing or cannot be read stops. left_out.json of the run lists what was left out."""

    def __post_init__(self) -> None:
        for name, least in (("num_frames", 1), ("batch_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} {getattr(self, name)}: must be at least {least}")
        if self.weights:
            words = " ".join(f"{weight:g}" for weight in self.weights)
            if self.joint is not None and len(self.weights) != 1 + len(self.joint):
                raise OptionError(f"weights {words}: there are {1 + len(self.joint)} sets; give each its share")
            if not all(0 < weight < float("inf") for weight in self.weights):
                raise OptionError(f"weights {words}: must all be above 0")


MOVED = {"on_missing_frames": "on_bad"}
"""Options by the names that they had; its value `error` is `stop`."""
