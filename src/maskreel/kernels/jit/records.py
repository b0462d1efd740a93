"""What compiled kernels are given: pointers to numbers and whole numbers. Importing this does not import numba."""

from typing import Any, NamedTuple

Pointer = Any
"""To numbers of one kind, one after the other: a flat array where a kernel is called, an address inside it."""

BLOCK = 1024
"""Cells of a task of the dynamic layers."""
LANES = 16
"""Groups of short attention that go side by side."""
GROUPS = 4 * LANES
"""Groups of a task of short attention."""


class Table(NamedTuple):
    """The value table or its gradient: everything between its first and last number, and its strides."""

    numbers: Pointer
    clip_stride: int
    row_stride: int
    head_stride: int


class Shape(NamedTuple):
    """Extents of one call."""

    clips: int
    groups: int
    queries: int
    """Per group."""
    block: int
    """Queries per task of the forward pass."""
    block_heads: int
    """Heads per task of the forward pass."""
    heads: int
    channels: int
    points: int
    """Per query and head."""
    slot_frames: int
    """Frames among which the points are divided; 1 in space-time."""
    depth: int
    """Frames along the time axis; 0 where points have no time."""
    frame_rows: int
    units: int
    """Independent parts of the table in the backward pass."""
    unit_rows: int


class Constants(NamedTuple):
    """Constants of the points' maps, flat."""

    sizes: Pointer
    """Width of every point's map, then height; float32."""
    starts: Pointer
    """First row of every point's map, group by group; int32."""
    present: Pointer
    """0 for points of absent frames, else 1; group by group; float32."""


class Points(NamedTuple):
    """Flat locations and weights, or their gradients."""

    locations: Pointer
    weights: Pointer


class Corners(NamedTuple):
    """Scratch for n points: corner-major, that is all upper left corners, then all upper right ones, ..."""

    rows: Pointer
    """Table rows of the four corners."""
    weights: Pointer
    """Weights of the four corners."""
    details: Pointer
    """For the gradients: fractions of x and y; whether left, right, top, bottom lie inside (0 or 1)."""
    times: Pointer
    """Fraction of the way from the earlier to the later frame."""
    products: Pointer
    """Upstream gradient times the four corner rows, point-major."""
    slopes: Pointer
    """Upstream gradient times sample, its slope along x and along y."""


class Layers(NamedTuple):
    """Weights and biases of all instances, flat: first "n o i" with bias "t n o", second "n o o", third "n o"."""

    weight1: Pointer
    bias1: Pointer
    weight2: Pointer
    bias2: Pointer
    weight3: Pointer
    bias3: Pointer


class Counts(NamedTuple):
    """Of one call of the dynamic layers."""

    frames: int
    instances: int
    inputs: int
    hidden: int
    cells: int


class Tokens(NamedTuple):
    """Numbers of a tensor "b t s e", and its strides; channels stand side by side."""

    numbers: Pointer
    clip_stride: int
    token_stride: int
    group_stride: int


class Extents(NamedTuple):
    """Of one call of short attention; queries and keys are those of a group."""

    clips: int
    queries: int
    keys: int
    groups: int
    channels: int
    heads: int
