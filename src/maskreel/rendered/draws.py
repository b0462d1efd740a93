"""Random numbers and waves that are the same bits on every machine and with every numpy.

Only operations that IEEE 754 rounds in one way are used on the way to a rendered pixel: + - * / sqrt, comparisons,
integers and table look-ups. The methods of `numpy.random.Generator` may change from release to release and the sine
of a C library differs in the last bit; the raw words of PCG64 and a quantised sine table do neither.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

Item = TypeVar("Item")

WAVE_STEPS = 1024
WAVE_QUANTUM = 2.0**-24
WAVE_TABLE = np.array([round(math.sin(2 * math.pi * k / WAVE_STEPS) / WAVE_QUANTUM) for k in range(WAVE_STEPS)])
WAVE_TABLE = WAVE_TABLE.astype(np.float64) * WAVE_QUANTUM


class Draws:
    """A stream of random numbers; its integer keys (each at least 0) name it, other keys give an independent one."""

    def __init__(self, *keys: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(list(keys)))

    def block(self, *shape: int) -> Float[np.ndarray, "..."]:
        """Uniform numbers in [0, 1), 53 bits each."""
        raw = np.asarray(self._bits.random_raw(math.prod(shape)), dtype=np.uint64)
        return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def _next(self) -> float:
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def integer(self, low: int, high: int) -> int:
        """An integer of low ... high, both included."""
        return low + int(self._next() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.integer(0, len(items) - 1)]

    def order(self, count: int) -> list[int]:
        """The integers below `count` in random order."""
        return np.argsort(self.block(count), kind="stable").tolist()


def wave(turns: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
    """Sine of angles in full turns, good to five digits."""
    position = turns * WAVE_STEPS
    step = np.floor(position)
    fraction = position - step
    first = step.astype(np.int64) % WAVE_STEPS
    return WAVE_TABLE[first] * (1 - fraction) + WAVE_TABLE[(first + 1) % WAVE_STEPS] * fraction


def direction(turn: float) -> tuple[float, float]:
    """Cosine and sine of one angle in full turns."""
    cosine, sine = wave(np.array([turn + 0.25, turn])).tolist()
    return cosine, sine


def smooth_step(x: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
    """Rise from 0 at x = 0 to 1 at x = 1 with flat ends."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
