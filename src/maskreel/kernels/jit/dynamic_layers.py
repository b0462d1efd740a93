# pyright: reportCallIssue=false, reportArgumentType=false, reportUnusedExpression=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Three layers at every cell of a map, with other weights for every instance: one thread's share.

A block of cells stays in the first-level cache while the instances go by, as do their hidden maps, a few cells wide.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maskreel.kernels.jit.passes import SOURCES, compiled
from maskreel.kernels.jit.points import L1, L16, L64, part
from maskreel.kernels.jit.vectors import at, load, multiply_add, not_negative, splat, store, take_ticket

BLOCK = 1024
"""Cells of a task."""


class Layers(NamedTuple):
    """Weights and biases of all instances, flat: first "n o i" with bias "t n o", second "n o o", third "n o"."""

    weight1: np.ndarray
    bias1: np.ndarray
    weight2: np.ndarray
    bias2: np.ndarray
    weight3: np.ndarray
    bias3: np.ndarray


class Counts(NamedTuple):
    """Of one call."""

    frames: int
    instances: int
    inputs: int
    hidden: int
    cells: int


@part
def _weighted(lanes, rows, first, stride, count, weights, start, bias):
    """Bias plus the weighted sum of `count` rows; many lanes are many chains of additions, which hide their latency."""
    total = splat(bias, lanes)
    for i in range(count):
        total = multiply_add(load(rows, first + i * stride, lanes), splat(at(weights, start + i), lanes), total)
    return total


@part
def _cells(lanes, inputs, layers, counts, frame, instance, cell, hidden, output):
    """All three layers at `lanes` cells from `cell` on."""
    n, i, size = counts.hidden, counts.inputs, len(lanes)
    first = frame * i * counts.cells + cell
    biases = (frame * counts.instances + instance) * n
    second = n * size
    for o in range(n):
        start = (instance * n + o) * i
        x = _weighted(lanes, inputs, first, counts.cells, i, layers.weight1, start, at(layers.bias1, biases + o))
        store(hidden, o * size, not_negative(x))
    for o in range(n):
        row = instance * n + o
        x = _weighted(lanes, hidden, 0, size, n, layers.weight2, row * n, at(layers.bias2, row))
        store(hidden, second + o * size, not_negative(x))
    x = _weighted(lanes, hidden, second, size, n, layers.weight3, instance * n, at(layers.bias3, instance))
    store(output, (instance * counts.frames + frame) * counts.cells + cell, x)


@part
def _apply(inputs, layers, output, counts, counter):
    """Draw blocks of a frame's cells until none is left."""
    hidden = np.empty(2 * counts.hidden * len(L64), np.float32)
    blocks = (counts.cells + BLOCK - 1) // BLOCK
    while True:
        ticket = take_ticket(counter)
        if ticket >= counts.frames * blocks:
            break
        frame, start = ticket // blocks, ticket % blocks * BLOCK
        end = min(counts.cells, start + BLOCK)
        for instance in range(counts.instances):
            cell = start
            while cell + len(L64) <= end:
                _cells(L64, inputs, layers, counts, frame, instance, cell, hidden, output)
                cell += len(L64)
            while cell + len(L16) <= end:
                _cells(L16, inputs, layers, counts, frame, instance, cell, hidden, output)
                cell += len(L16)
            while cell < end:
                _cells(L1, inputs, layers, counts, frame, instance, cell, hidden, output)
                cell += 1


def _entry(sources: str) -> Callable:
    def apply(inputs, layers, output, counts, counter):
        sources  # noqa: B018  # part of the key of the cache on disk
        _apply(inputs, layers, output, counts, counter)

    return compiled(apply)


apply = _entry(SOURCES)
