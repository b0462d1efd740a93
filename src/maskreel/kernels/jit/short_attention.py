# pyright: reportCallIssue=false, reportUnusedExpression=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Attention within many groups of a few tokens: one thread's share.

Sixteen groups go side by side, one in each lane of a vector register; all arithmetic is then plain loops over lanes,
which the compiler turns into vector code. Tokens are transposed into small buffers on the way in and out.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maskreel.kernels.jit.passes import SOURCES, compiled
from maskreel.kernels.jit.points import HALF, ONE, ZERO, part
from maskreel.kernels.jit.vectors import take_ticket

LANES = 16
GROUPS = 4 * LANES
"""Groups of a task."""
_LOG2_E = np.float32(1.4426950408889634)
_LOWEST = np.float32(-126)
_BIAS, _FRACTION_BITS = np.int32(127), np.int32(23)
_EXPONENTIAL = tuple(
    np.float32(x) for x in (1.5403530e-4, 1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 0.24022651, 0.69314718, 1.0)
)
"""Taylor series of 2 to the x, good to 2e-7 between -1/2 and 1/2."""


class Tokens(NamedTuple):
    """Numbers of a tensor "b t s e", and its strides; channels stand side by side."""

    numbers: np.ndarray
    clip_stride: int
    token_stride: int
    group_stride: int


class Extents(NamedTuple):
    """Of one call; queries and keys are those of a group."""

    clips: int
    queries: int
    keys: int
    groups: int
    channels: int
    heads: int


@part
def _into_lanes(tokens, clip, first, count, lanes):
    for t in range(lanes.shape[0]):
        for lane in range(count):
            where = clip * tokens.clip_stride + t * tokens.token_stride + (first + lane) * tokens.group_stride
            for channel in range(lanes.shape[1]):
                lanes[t, channel, lane] = tokens.numbers[where + channel]


@part
def _out_of_lanes(lanes, tokens, clip, first, count):
    for t in range(lanes.shape[0]):
        for lane in range(count):
            where = clip * tokens.clip_stride + t * tokens.token_stride + (first + lane) * tokens.group_stride
            for channel in range(lanes.shape[1]):
                tokens.numbers[where + channel] = lanes[t, channel, lane]


@part
def _softmax(scores, top, total):
    """In place over the first axis, scores in powers of two."""
    for lane in range(LANES):
        top[lane] = scores[0, lane]
        total[lane] = ZERO
    for u in range(1, scores.shape[0]):
        for lane in range(LANES):
            top[lane] = max(top[lane], scores[u, lane])
    for u in range(scores.shape[0]):
        for lane in range(LANES):
            x = max(scores[u, lane] - top[lane], _LOWEST)
            whole = np.floor(x + HALF)
            x -= whole
            power = _EXPONENTIAL[0]
            for factor in _EXPONENTIAL[1:]:
                power = power * x + factor
            scores[u, lane] = power * np.int32((np.int32(whole) + _BIAS) << _FRACTION_BITS).view(np.float32)
            total[lane] += scores[u, lane]
    for lane in range(LANES):
        total[lane] = ONE / total[lane]
    for u in range(scores.shape[0]):
        for lane in range(LANES):
            scores[u, lane] *= total[lane]


@part
def _attend_lanes(queries, keys, values, heads, scores, top, total):
    """In place of the queries."""
    width = queries.shape[1] // heads
    scale = _LOG2_E / np.sqrt(np.float32(width))
    for t in range(queries.shape[0]):
        for low in range(0, heads * width, width):
            for u in range(keys.shape[0]):
                for lane in range(LANES):
                    total[lane] = ZERO
                for channel in range(low, low + width):
                    for lane in range(LANES):
                        total[lane] += queries[t, channel, lane] * keys[u, channel, lane]
                for lane in range(LANES):
                    scores[u, lane] = total[lane] * scale
            _softmax(scores, top, total)
            for channel in range(low, low + width):
                for lane in range(LANES):
                    total[lane] = ZERO
                for u in range(keys.shape[0]):
                    for lane in range(LANES):
                        total[lane] += scores[u, lane] * values[u, channel, lane]
                for lane in range(LANES):
                    queries[t, channel, lane] = total[lane]


@part
def _attend(query, key, value, output, extents, counter):
    """Draw blocks of groups until none is left."""
    queries = np.zeros((extents.queries, extents.channels, LANES), np.float32)
    keys = np.zeros((extents.keys, extents.channels, LANES), np.float32)
    values = np.zeros((extents.keys, extents.channels, LANES), np.float32)
    scores = np.empty((extents.keys, LANES), np.float32)
    top, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    blocks = (extents.groups + GROUPS - 1) // GROUPS
    while True:
        ticket = take_ticket(counter)
        if ticket >= extents.clips * blocks:
            break
        clip, start = ticket // blocks, ticket % blocks * GROUPS
        for first in range(start, min(extents.groups, start + GROUPS), LANES):
            count = min(LANES, extents.groups - first)
            _into_lanes(query, clip, first, count, queries)
            _into_lanes(key, clip, first, count, keys)
            _into_lanes(value, clip, first, count, values)
            _attend_lanes(queries, keys, values, extents.heads, scores, top, total)
            _out_of_lanes(queries, output, clip, first, count)


def _entry(sources: str) -> Callable:
    def attend(query, key, value, output, extents, counter):
        sources  # noqa: B018  # part of the key of the cache on disk
        _attend(query, key, value, output, extents, counter)

    return compiled(attend)


attend = _entry(SOURCES)
