"""A clip with known objects, as a source and as a result."""

from fractions import Fraction

import numpy as np

from maskreel.geometry import rle
from maskreel.geometry.masklets import Masklet, Masklets
from maskreel.video.files import Frame

RATE = 10
CLASSES = ((1, "disc"), (2, '<b>box</b> & "co"'))


class Blocks:
    """Three blocks on a ramp, of which the second leaves and returns and the third comes late with a low score."""

    declared = None
    skipped = ()
    frame_rate = Fraction(RATE)

    def __init__(self, num_frames: int = 40, height: int = 180, width: int = 320, name: str = "blocks.mp4") -> None:
        self.num_frames, self.size, self.name = num_frames, (height, width), name

    def mask(self, track: int, frame: int) -> np.ndarray | None:
        height, width = self.size
        if (track == 2 and 10 <= frame % 40 < 20) or (track == 3 and frame < 15):
            return None
        mask = np.zeros(self.size, dtype=bool)
        left = (20 * track + 3 * frame) % (width - 60)
        top = (track * height) // 4 - height // 8
        mask[top : top + height // 4, left : left + 60] = True
        return mask

    def pixels(self, frame: int) -> np.ndarray:
        height, width = self.size
        ramp = np.linspace(40, 160, width).astype(np.uint8)
        picture = np.repeat(np.broadcast_to(ramp, (height, width))[..., None], 3, axis=-1).copy()
        for track in (1, 2, 3):
            if (mask := self.mask(track, frame)) is not None:
                picture[mask] = (60 * track, 200 - 50 * track, 120)
        return picture

    def __iter__(self):
        for frame in range(self.num_frames):
            yield Frame(index=frame, time=frame / RATE, pixels=self.pixels(frame), duration=1 / RATE)

    def result(self) -> Masklets:
        masks = {track: [self.mask(track, frame) for frame in range(self.num_frames)] for track in (1, 2, 3)}
        return Masklets(
            source=self.name,
            width=self.size[1],
            height=self.size[0],
            classes=CLASSES,
            declared=self.num_frames,
            timestamps=tuple(frame / RATE for frame in range(self.num_frames)),
            masklets=tuple(
                Masklet(
                    track_id=track,
                    label=track % 2,
                    category_id=CLASSES[track % 2][0],
                    score=score,
                    segmentations=tuple(None if mask is None else rle.encode(mask) for mask in masks[track]),
                )
                for track, score in ((1, 0.92), (2, 0.71), (3, 0.35))
            ),
        )
