# pyright: reportCallIssue=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Attention within many groups of a few tokens: one thread's share.

Sixteen groups go side by side, one in each lane of a vector register; all arithmetic is then plain loops over lanes,
which the compiler turns into vector code. Tokens are transposed into small buffers on the way in and out.
"""

import numpy as np

from maskreel.kernels.jit.parts import free, new_floats, part, record, take_ticket
from maskreel.kernels.jit.records import GROUPS, LANES, Extents, Tokens
from maskreel.kernels.jit.vectors import HALF, ONE, ZERO

_LOG2_E = np.float32(1.4426950408889634)
_LOWEST = np.float32(-126)
_BIAS, _FRACTION_BITS = np.int32(127), np.int32(23)
_EXPONENTIAL = tuple(
    np.float32(x) for x in (1.5403530e-4, 1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 0.24022651, 0.69314718, 1.0)
)
"""Taylor series of 2 to the x, good to 2e-7 between -1/2 and 1/2."""


@part
def _into_lanes(tokens, clip, first, count, num_tokens, channels, lanes):
    for t in range(num_tokens):
        for lane in range(count):
            where = clip * tokens.clip_stride + t * tokens.token_stride + (first + lane) * tokens.group_stride
            for channel in range(channels):
                lanes[(t * channels + channel) * LANES + lane] = tokens.numbers[where + channel]


@part
def _out_of_lanes(lanes, tokens, clip, first, count, num_tokens, channels):
    for t in range(num_tokens):
        for lane in range(count):
            where = clip * tokens.clip_stride + t * tokens.token_stride + (first + lane) * tokens.group_stride
            for channel in range(channels):
                tokens.numbers[where + channel] = lanes[(t * channels + channel) * LANES + lane]


@part
def _softmax(scores, num_keys, top, total):
    """In place over the first axis, scores in powers of two."""
    for lane in range(LANES):
        top[lane] = scores[lane]
        total[lane] = ZERO
    for u in range(1, num_keys):
        for lane in range(LANES):
            top[lane] = max(top[lane], scores[u * LANES + lane])
    for u in range(num_keys):
        for lane in range(LANES):
            x = max(scores[u * LANES + lane] - top[lane], _LOWEST)
            whole = np.floor(x + HALF)
            x -= whole
            power = _EXPONENTIAL[0]
            for factor in _EXPONENTIAL[1:]:
                power = power * x + factor
            power *= np.int32((np.int32(whole) + _BIAS) << _FRACTION_BITS).view(np.float32)
            scores[u * LANES + lane] = power
            total[lane] += power
    for lane in range(LANES):
        total[lane] = ONE / total[lane]
    for u in range(num_keys):
        for lane in range(LANES):
            scores[u * LANES + lane] *= total[lane]


@part
def _attend_lanes(queries, keys, values, extents, scores, top, total):
    """In place of the queries; `total` is scratch."""
    width = extents.channels // extents.heads
    scale = _LOG2_E / np.sqrt(np.float32(width))
    for t in range(extents.queries):
        query = t * extents.channels
        for low in range(0, extents.heads * width, width):
            for u in range(extents.keys):
                key = u * extents.channels
                for lane in range(LANES):
                    total[lane] = ZERO
                for channel in range(low, low + width):
                    for lane in range(LANES):
                        total[lane] += queries[(query + channel) * LANES + lane] * keys[(key + channel) * LANES + lane]
                for lane in range(LANES):
                    scores[u * LANES + lane] = total[lane] * scale
            _softmax(scores, extents.keys, top, total)
            for channel in range(low, low + width):
                for lane in range(LANES):
                    total[lane] = ZERO
                for u in range(extents.keys):
                    value = u * extents.channels + channel
                    for lane in range(LANES):
                        total[lane] += scores[u * LANES + lane] * values[value * LANES + lane]
                for lane in range(LANES):
                    queries[(query + channel) * LANES + lane] = total[lane]


@part
def _attend(query, key, value, output, extents, counter):
    """Draw blocks of groups until none is left."""
    queries = new_floats(extents.queries * extents.channels * LANES)
    keys = new_floats(extents.keys * extents.channels * LANES)
    values = new_floats(extents.keys * extents.channels * LANES)
    scores = new_floats(extents.keys * LANES)
    top, total = new_floats(LANES), new_floats(LANES)
    blocks = (extents.groups + GROUPS - 1) // GROUPS
    while True:
        ticket = take_ticket(counter)
        if ticket >= extents.clips * blocks:
            break
        clip, start = ticket // blocks, ticket % blocks * GROUPS
        for first in range(start, min(extents.groups, start + GROUPS), LANES):
            count = min(LANES, extents.groups - first)
            _into_lanes(query, clip, first, count, extents.queries, extents.channels, queries)
            _into_lanes(key, clip, first, count, extents.keys, extents.channels, keys)
            _into_lanes(value, clip, first, count, extents.keys, extents.channels, values)
            _attend_lanes(queries, keys, values, extents, scores, top, total)
            _out_of_lanes(queries, output, clip, first, count, extents.queries, extents.channels)
    for numbers in (queries, keys, values, scores, top, total):
        free(numbers)


def attend(
    query, query_clip, query_token, query_group, key, key_clip, key_token, key_group,
    value, value_clip, value_token, value_group, output, output_clip, output_token, output_group, extents, counter,
):  # fmt: skip
    _attend(
        Tokens(query, query_clip, query_token, query_group),
        Tokens(key, key_clip, key_token, key_group),
        Tokens(value, value_clip, value_token, value_group),
        Tokens(output, output_clip, output_token, output_group),
        record(Extents, extents),
        counter,
    )
    return 0
