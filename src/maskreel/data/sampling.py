"""Which frames make a clip, and in which order clips come: the same for any number of workers, and resumable."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from maskreel.errors import DataError

LOCAL_REACH = 3
"""How far the neighbours of an anchor frame may lie from it, in frames (SeqFormer, arXiv 2112.08275)."""


CLIP_STREAM, ORDER_STREAM = 0, 1
"""Last word of a random seed: draws inside a clip never meet those of the clip order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipToken:
    """Names one clip of a training run: the anchor `index` as it comes up in `epoch`."""

    epoch: int
    index: int
    turn: int = 0
    """How often it has come up in the epoch before, where sets are weighted."""


def clip_generator(seed: int, token: ClipToken) -> np.random.Generator:
    """Randomness of one clip: depends on nothing but the run's seed and the token."""
    turn = (token.turn,) if token.turn else ()
    return np.random.default_rng((seed, token.epoch, token.index, CLIP_STREAM, *turn))


def sample_clip(length: int, anchor: int, num_frames: int, generator: np.random.Generator) -> tuple[int, ...]:
    """Positions of `num_frames` frames of a video, in time order.

    The anchor, a neighbour on either side at a distance of 1 to 3 frames (held inside the video), and the rest
    without replacement from the frames outside that span; where these are too few, from all frames; where those are
    too few as well, all frames as often as they fit and the rest of them drawn. Two frames are the anchor and one
    neighbour, one frame is the anchor alone.
    """
    if not 0 <= anchor < length:
        raise ValueError(f"anchor {anchor} lies outside a video of {length} frames")
    if num_frames < 1:
        raise ValueError(f"a clip of {num_frames} frames: num_frames must be at least 1")
    if num_frames == 1:
        return (anchor,)
    before = max(0, anchor - int(generator.integers(1, LOCAL_REACH + 1)))
    after = min(length - 1, anchor + int(generator.integers(1, LOCAL_REACH + 1)))
    if num_frames == 2:
        neighbours = [frame for frame in (before, after) if frame != anchor] or [anchor]
        return tuple(sorted((anchor, neighbours[generator.integers(len(neighbours))])))
    outside = [*range(before), *range(after + 1, length)]
    num_rest = num_frames - 3
    rest = _draw(outside if len(outside) >= num_rest else range(length), num_rest, generator)
    return tuple(sorted((anchor, before, after, *rest)))


def _draw(frames: Sequence[int], count: int, generator: np.random.Generator) -> list[int]:
    if count == 0:
        return []
    repeats, remainder = divmod(count, len(frames))
    drawn = generator.choice(np.asarray(frames), remainder, replace=False)
    return [*frames] * repeats + drawn.tolist()


def consecutive_clip(length: int, anchor: int, num_frames: int, generator: np.random.Generator) -> tuple[int, ...]:
    """Positions of `num_frames` neighbouring frames of a video, the anchor among them.

    Every run inside the video that holds the anchor is equally likely. A video that is too short is gone through again
    and again, from a random frame on. (VisTR's runs end at the anchor; early ones begin in the end of the video.)
    """
    if not 0 <= anchor < length:
        raise ValueError(f"anchor {anchor} lies outside a video of {length} frames")
    if num_frames < 1:
        raise ValueError(f"a clip of {num_frames} frames: num_frames must be at least 1")
    if length < num_frames:
        start = int(generator.integers(length))
        return tuple((start + step) % length for step in range(num_frames))
    first, last = max(0, anchor - num_frames + 1), min(anchor, length - num_frames)
    start = int(generator.integers(first, last + 1))
    return tuple(range(start, start + num_frames))


class ClipSampler(Sampler[list[ClipToken]]):
    """Endless batches of clip tokens: every epoch is a new permutation of all anchors, epochs follow without a gap.

    Iterating does not move the sampler, because a loader fetches ahead of its consumer: the consumer calls `advance`
    for every batch that it takes, and `state_dict` then names the first clip not yet taken. Each process of a
    distributed run takes `batch_size` clips per step and holds the same state as the others: `sharers` processes that
    follow each other take turns in a run of clips, by default all of them.
    """

    def __init__(
        self,
        num_clips: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        sharers: int | None = None,
        sets: Sequence[int] = (),
        weights: Sequence[float] = (),
    ) -> None:
        """`sets` are the numbers of clips of sets that follow each other, `weights` their shares in an epoch; without
        weights every clip comes once.
        """
        if num_clips < 1:
            raise DataError("no clips to sample: the training split has no frames")
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: must be at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes: must be from 0 to {world_size - 1}")
        self.num_clips = num_clips
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.sharers = world_size if sharers is None else sharers
        self._taken = 0
        self._sets, self._weights = tuple(sets), tuple(weights)
        self._order: tuple[int, np.ndarray, np.ndarray] = (-1, np.empty(0, np.int64), np.empty(0, np.int64))

    @property
    def epoch(self) -> int:
        """Number of epochs completed; the one in progress has this number."""
        return self._taken // self.num_clips

    @property
    def position(self) -> int:
        """Clips of the current epoch already taken, by all processes together."""
        return self._taken % self.num_clips

    def __iter__(self) -> Iterator[list[ClipToken]]:
        start = self._taken
        while True:
            yield [self._token(start + slot) for slot in self._slots]
            start += self._step

    def advance(self) -> None:
        """Count one batch (of every process) as taken."""
        self._taken += self._step

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed, "num_clips": self.num_clips}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken; raises DataError when it belongs to other data or another seed."""
        for name in ("seed", "num_clips"):
            if state[name] != getattr(self, name):
                raise DataError(
                    f"the sampler's saved {name} is {state[name]}, this run's is {getattr(self, name)}; "
                    "resume with the data and the seed that the run was started with"
                )
        self._taken = state["epoch"] * self.num_clips + state["position"]

    @property
    def _slots(self) -> range:
        """Clips of a step that are this process's."""
        run = self.batch_size * self.sharers
        first = self.rank // self.sharers * run
        return range(first + self.rank % self.sharers, first + run, self.sharers)

    @property
    def _step(self) -> int:
        return self.batch_size * self.world_size

    def _token(self, place: int) -> ClipToken:
        epoch, offset = divmod(place, self.num_clips)
        if self._order[0] != epoch:
            generator = np.random.default_rng((self.seed, epoch, 0, ORDER_STREAM))
            self._order = (epoch, *self._drawn(generator))
        _, index, turn = self._order
        return ClipToken(epoch=epoch, index=int(index[offset]), turn=int(turn[offset]))

    def _drawn(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The clips of an epoch in their order, and how often each has come before."""
        if not self._weights:
            return generator.permutation(self.num_clips), np.zeros(self.num_clips, dtype=np.int64)
        drawn, first = [], 0
        for size, count in zip(self._sets, shares(self.num_clips, self._weights), strict=True):
            rounds = [generator.permutation(size) for _ in range(-(-count // size))]
            turns = np.repeat(np.arange(len(rounds)), size)[:count]
            drawn.append(np.stack((first + np.concatenate(rounds)[:count], turns)) if count else np.empty((2, 0), int))
            first += size
        index, turn = np.concatenate(drawn, axis=1)[:, generator.permutation(self.num_clips)]
        return index, turn


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that add up to a total, in the proportion of the weights as near as can be."""
    exact = np.asarray(weights, dtype=np.float64) / sum(weights) * total
    found = np.floor(exact).astype(np.int64)
    for place in np.argsort(found - exact, kind="stable")[: total - int(found.sum())]:
        found[place] += 1
    return found.tolist()
