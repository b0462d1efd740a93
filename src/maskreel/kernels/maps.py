"""Static description of the maps that a set of queries samples: sizes, places in the value table, who reads what."""

from dataclasses import dataclass

ABSENT = -1
"""In `Maps.frames`: no frame here; the points of this slot contribute nothing and receive no gradient."""


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Which maps the points of a query fall on; plain hashable Python, so that a compiler sees constants.

    The value table of a clip holds its frames one after the other; a frame holds its levels one after the other, each
    row by row. Queries stand in groups of equal size, one per entry of `frames`, in that order. A query of group `t`
    owns `len(frames[t]) * len(levels)` slots (frame-major); its points are divided evenly among them, slot by slot.
    """

    level_sizes: tuple[tuple[int, int], ...]
    """(rows, columns) of every level that a frame of the table holds."""
    frames: tuple[tuple[int, ...], ...]
    """Per query group, the frames of the table that its slots read, or `ABSENT`. All groups name equally many."""
    levels: tuple[int, ...] = ()
    """Levels that are sampled; empty means all of them."""

    def __post_init__(self) -> None:
        if not self.level_sizes or any(height < 1 or width < 1 for height, width in self.level_sizes):
            raise ValueError(f"level_sizes must name at least one level of at least 1x1, got {self.level_sizes}")
        if not self.frames or not self.frames[0]:
            raise ValueError(f"frames must name at least one group that reads at least one frame, got {self.frames}")
        if any(len(group) != len(self.frames[0]) for group in self.frames):
            raise ValueError(f"every group must read equally many frames (use ABSENT to fill), got {self.frames}")
        if any(frame < ABSENT for group in self.frames for frame in group):
            raise ValueError(f"frames must be positions in the table or ABSENT (-1), got {self.frames}")
        if any(not 0 <= level < len(self.level_sizes) for level in self.levels):
            raise ValueError(f"levels {self.levels} are not all among the {len(self.level_sizes)} of level_sizes")

    @classmethod
    def own_frame(cls, level_sizes: tuple[tuple[int, int], ...], *, num_frames: int) -> "Maps":
        """Spatial attention: the queries of a frame read the levels of that frame."""
        return cls(level_sizes=level_sizes, frames=tuple((t,) for t in range(num_frames)))

    @classmethod
    def every_frame(cls, level_sizes: tuple[tuple[int, int], ...], *, num_frames: int) -> "Maps":
        """All queries read all frames: the volume of space-time sampling, or frames taken as levels."""
        return cls(level_sizes=level_sizes, frames=(tuple(range(num_frames)),))

    @property
    def rows_per_frame(self) -> int:
        return sum(height * width for height, width in self.level_sizes)

    @property
    def sampled(self) -> tuple[tuple[int, int, int], ...]:
        """(first row within the frame, rows, columns) of every sampled level."""
        starts = [0]
        for height, width in self.level_sizes:
            starts.append(starts[-1] + height * width)
        chosen = self.levels or range(len(self.level_sizes))
        return tuple((starts[level], *self.level_sizes[level]) for level in chosen)

    @property
    def num_groups(self) -> int:
        return len(self.frames)

    @property
    def frames_per_group(self) -> int:
        return len(self.frames[0])

    @property
    def num_slots(self) -> int:
        return self.frames_per_group * len(self.sampled)
