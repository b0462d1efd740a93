# pyright: reportCallIssue=false, reportArgumentType=false
# Numba's intrinsics are called without the two compiler arguments that their definitions name.
"""Three layers at every cell of a map, with other weights for every instance: one thread's share.

A block of cells stays in the first-level cache while the instances go by, as do their hidden maps, a few cells wide.
"""

from maskreel.kernels.jit.parts import free, new_floats, part, record, take_ticket
from maskreel.kernels.jit.records import BLOCK, Counts, Layers
from maskreel.kernels.jit.vectors import L1, L16, L64, load, multiply_add, not_negative, splat, store


@part
def _weighted(lanes, rows, first, stride, count, weights, start, bias):
    """Bias plus the weighted sum of `count` rows; many lanes are many chains of additions, which hide their latency."""
    total = splat(bias, lanes)
    for i in range(count):
        total = multiply_add(load(rows, first + i * stride, lanes), splat(weights[start + i], lanes), total)
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
        x = _weighted(lanes, inputs, first, counts.cells, i, layers.weight1, start, layers.bias1[biases + o])
        store(hidden, o * size, not_negative(x))
    for o in range(n):
        row = instance * n + o
        x = _weighted(lanes, hidden, 0, size, n, layers.weight2, row * n, layers.bias2[row])
        store(hidden, second + o * size, not_negative(x))
    x = _weighted(lanes, hidden, second, size, n, layers.weight3, instance * n, layers.bias3[instance])
    store(output, (instance * counts.frames + frame) * counts.cells + cell, x)


@part
def _apply(inputs, layers, output, counts, counter):
    """Draw blocks of a frame's cells until none is left."""
    hidden = new_floats(2 * counts.hidden * len(L64))
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
    free(hidden)


def apply(inputs, weight1, bias1, weight2, bias2, weight3, bias3, output, counts, counter):
    layers = Layers(weight1, bias1, weight2, bias2, weight3, bias3)
    _apply(inputs, layers, output, record(Counts, counts), counter)
    return 0
