"""Pictures of what goes on inside models, two of them one below the other: what attention reads, maps, queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from maskreel.files import complete_file
from maskreel.structures import Looks
from maskreel.visualize.palette import COLOURS, track_colour

LEVEL_COLOURS = [COLOURS[index] for index in (0, 2, 1, 9, 4, 8)]
"""Of the encoder's levels, the finest first; all stand out from a dark frame."""
MARKERS = "osD^vP*Xph<>d8"
"""Of classes."""
CELL, GAP, BAND, MARGIN, NARROWEST = 3.0, 0.08, 0.28, 0.8, 7.0
"""Inches: width of a frame, between frames, for a caption, at the right and below, of a sheet at least."""
LARGEST, SMALLEST = 130.0, 3.0
"""Area of a disc in square points, for the largest weight of a row and for none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A row of a sheet, with a frame in each column."""

    caption: str
    frames: Sequence[UInt8[np.ndarray, "h w 3"]]
    looks: Looks | None = None
    """Drawn over the darkened frames."""
    levels: int = 0
    """Of the encoder's maps, for the legend."""


def draw_looks(
    path: Path,
    rows: Sequence[Row],
    columns: Sequence[int],
    numbers: Sequence[int],
    mark: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """A sheet of rows; `columns` are frames of the clip, `numbers` what they are called; `mark` is (frame, x, y),
    in pixels of frames of `size`, (height, width), whatever the size of the pictures.

    Points are discs whose area is their weight, keys are cells as opaque as theirs, both by the largest of the row and
    as the mean over heads; colours are levels. What lies between two frames is drawn in both, with its share.
    """
    height, width = size
    figure, axes = _grid([_caption(row, columns) for row in rows], numbers, size)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for row, line in zip(rows, axes, strict=True):
        for column, frame, plot in zip(columns, row.frames, line, strict=True):
            plot.imshow(frame if row.looks is None else _darkened(frame), extent=extent)
            if row.looks is not None:
                _draw_frame(plot, row.looks, column, size)
            if column == mark[0]:
                plot.plot(*mark[1:], "o", color="none", markersize=11, markeredgewidth=3.5, markeredgecolor="black")
                plot.plot(*mark[1:], "o", color="none", markersize=11, markeredgewidth=1.5, markeredgecolor="white")
            plot.set(xlim=extent[:2], ylim=extent[2:])
    levels = max((row.levels for row in rows), default=0)
    if levels > 1:
        figure.legend(handles=[_swatch(level) for level in range(levels)], loc="lower center", ncols=4)
    _save(figure, path)


def _caption(row: Row, columns: Sequence[int]) -> str:
    if row.looks is None:
        return row.caption
    return f"{row.caption}; {_share_shown(row.looks, columns):.0%} of the weight lies in these frames"


def draw_features(
    path: Path,
    frames: Sequence[UInt8[np.ndarray, "h w 3"]],
    maps: Sequence[tuple[str, Float[np.ndarray, "t _ _"]]],
    numbers: Sequence[int],
) -> None:
    """The frames, and below them the maps of each model behind its caption; each model has a scale of its own."""
    height, width = frames[0].shape[:2]
    figure, axes = _grid(["frames", *(caption for caption, _ in maps)], numbers, (height, width))
    for frame, plot in zip(frames, axes[0], strict=True):
        plot.imshow(frame)
    for (_, values), line in zip(maps, axes[1:], strict=True):
        scale = {"cmap": "viridis", "vmin": float(values.min()), "vmax": float(values.max())}
        images = [
            plot.imshow(picture, extent=(0, width, height, 0), **scale)
            for picture, plot in zip(values, line, strict=True)
        ]
        place = line[-1].get_position()
        bar = figure.add_axes((place.x1 + 0.004, place.y0, 0.008, place.height))
        figure.colorbar(images[-1], cax=bar).ax.tick_params(labelsize=7)
    _save(figure, path)


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryMap:
    """Queries of one model in the plane."""

    caption: str
    place: Float[np.ndarray, "n 2"]
    number: Int[np.ndarray, " n"]
    """Of the object, from 1; its colour."""
    label: Int[np.ndarray, " n"]
    """Class of the object; its marker."""
    frame: Int[np.ndarray, " n"]
    names: Sequence[str]
    """Of the classes."""


def draw_queries(path: Path, maps: Sequence[QueryMap]) -> None:
    """Models side by side; a point is the query of one object in one frame."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2 * len(maps), 5.6), layout="constrained")
    for one, plot in zip(maps, figure.subplots(1, len(maps), squeeze=False)[0], strict=True):
        for number in sorted(set(one.number.tolist())):
            chosen = one.number == number
            label = int(one.label[chosen][0])
            style = {"color": _rgb(track_colour(number)), "marker": MARKERS[label % len(MARKERS)]}
            name = f"{number}: {one.names[label]}"
            plot.scatter(*one.place[chosen].T, s=48, edgecolors="black", linewidths=0.5, label=name, **style)
        plot.set_title(one.caption, fontsize=10)
        plot.set(xticks=[], yticks=[])
        plot.margins(0.08)
        if len(one.place):
            plot.legend(fontsize="small", loc="best")
    _save(figure, path)


def _grid(captions: Sequence[str], numbers: Sequence[int], size: tuple[int, int]) -> tuple[Any, np.ndarray]:
    """A figure with a frame in each cell, its number below and a caption above each row; room at right and below."""
    from matplotlib.figure import Figure

    tall = CELL * size[0] / size[1]
    width = max(NARROWEST, (CELL + GAP) * len(numbers) + GAP + MARGIN)
    height = (tall + BAND) * len(captions) + MARGIN
    figure = Figure(figsize=(width, height))
    axes = np.empty((len(captions), len(numbers)), dtype=object)
    for row, caption in enumerate(captions):
        top = height - BAND - row * (tall + BAND)
        figure.text(GAP / width, (top + 0.06) / height, caption, fontsize=9, va="bottom")
        for column in range(len(numbers)):
            left = GAP + column * (CELL + GAP)
            place = (left / width, (top - tall) / height, CELL / width, tall / height)
            axes[row, column] = figure.add_axes(place, xticks=[], yticks=[])
    for number, plot in zip(numbers, axes[-1], strict=True):
        plot.set_xlabel(f"frame {number}", fontsize=9)
    return figure, axes


def _draw_frame(plot: Any, looks: Looks, frame: int, size: tuple[int, int]) -> None:
    """What is read of one frame."""
    weight = looks.weight.numpy() / (int(looks.head.max()) + 1)
    if looks.cells is not None:
        highest = _largest_cell(looks, weight)
        for level in sorted(set(looks.level.tolist()), reverse=True):
            across, down = looks.cells[level].tolist()
            grid = cell_weights(looks, frame, level)
            picture = np.empty((*grid.shape, 4))
            picture[..., :3], picture[..., 3] = _level_colour(level), np.clip(grid / highest, 0, 1)
            right, bottom = grid.shape[1] / across * size[1], grid.shape[0] / down * size[0]
            plot.imshow(picture, extent=(-0.5, right - 0.5, bottom - 0.5, -0.5), interpolation="nearest")
        return
    share = _share(looks, frame)
    here = np.flatnonzero(share)
    x, y = (looks.place.numpy()[here] * (size[1], size[0])).T
    area = SMALLEST + (LARGEST - SMALLEST) * (weight * share)[here] / weight.max()
    colours = [_level_colour(level) for level in looks.level.numpy()[here].tolist()]
    plot.scatter(x - 0.5, y - 0.5, s=area, c=colours, alpha=0.75, linewidths=0.3, edgecolors="black")


def cell_weights(looks: Looks, frame: int, level: int) -> Float[np.ndarray, "rows columns"]:
    """Of every cell of a level over one frame, the mean over heads."""
    assert looks.cells is not None, "points have no cells"
    across, down = looks.cells[level].tolist()
    grid = np.zeros((int(np.ceil(down - 1e-4)), int(np.ceil(across - 1e-4))))
    chosen = np.flatnonzero((looks.level.numpy() == level) & (looks.frame.numpy() == frame))
    column, row = (looks.place.numpy()[chosen] * (across, down)).astype(int).T
    # Padded cells, which nobody reads, lie outside.
    inside = (row < grid.shape[0]) & (column < grid.shape[1])
    np.add.at(grid, (row[inside], column[inside]), looks.weight.numpy()[chosen[inside]])
    return grid / (int(looks.head.max()) + 1)


def _share(looks: Looks, frame: int) -> Float[np.ndarray, " n"]:
    """Of each entry in one frame: what lies between two is shared by nearness."""
    return np.clip(1 - np.abs(looks.frame.numpy() - frame), 0, 1)


def _largest_cell(looks: Looks, weight: Float[np.ndarray, " n"]) -> float:
    """The largest weight of a key, all heads together."""
    place = np.column_stack((looks.frame.numpy(), looks.level.numpy(), looks.place.numpy()))
    _, index = np.unique(place, axis=0, return_inverse=True)
    return float(np.bincount(index.ravel(), weight).max())


def _share_shown(looks: Looks, columns: Sequence[int]) -> float:
    weight = looks.weight.numpy()
    return sum(float((_share(looks, frame) * weight).sum()) for frame in set(columns)) / float(weight.sum())


def _darkened(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    grey = (0.4 * frame.mean(axis=2)).astype(np.uint8)
    return np.stack((grey,) * 3, axis=2)


def _swatch(level: int) -> Any:
    from matplotlib.patches import Patch

    name = f"level {level}" + (" (the finest)" if level == 0 else "")
    return Patch(color=_level_colour(level), label=name)


def _level_colour(level: int) -> tuple[float, float, float]:
    return _rgb(LEVEL_COLOURS[level % len(LEVEL_COLOURS)])


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255


def _save(figure: Any, path: Path) -> None:
    with complete_file(path) as new:
        figure.savefig(new, format="png", dpi=100)
