"""Plots as PNG, each with the numbers behind it as CSV beside it."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from maskreel.files import complete_file
from maskreel.visualize.palette import track_colour

SHOWN_CURVES = 20
"""More classes than this are drawn thin and grey, and only their mean has a name."""
SHOWN_NAMES = 50
"""Classes of a matrix up to which names are written."""


def curves(
    path: Path,
    curves: Mapping[str, Float[np.ndarray, " n"]],
    x: Float[np.ndarray, " n"],
    *,
    axes: tuple[str, str],
    mean: str,
) -> None:
    """Curves in [0, 1] over x in [0, 1] by name; the one called `mean` is drawn thick. PATH.csv has a column each."""
    from matplotlib.figure import Figure

    write_table(path.with_suffix(".csv"), [axes[0], *curves], zip(x, *curves.values(), strict=True))
    figure = Figure(figsize=(8, 6), layout="constrained")
    plot = figure.subplots()
    single = [name for name in curves if name != mean]
    for number, name in enumerate(single, start=1):
        style: dict[str, Any] = {"color": "#9aa0ac", "linewidth": 0.7}
        if len(single) <= SHOWN_CURVES:
            style = {"color": _rgb(number), "linewidth": 1.6, "linestyle": _dash(number), "label": name}
        plot.plot(x, curves[name], **style)
    if mean in curves:
        plot.plot(x, curves[mean], color="black", linewidth=3, label=mean)
    plot.set(xlabel=axes[0], ylabel=axes[1], xlim=(0, 1), ylim=(0, 1.02))
    plot.grid(alpha=0.3)
    if plot.get_legend_handles_labels()[0]:
        plot.legend(loc="best", fontsize="small")
    _save(figure, path)


def confusion(path: Path, names: Sequence[str], counts: Int[np.ndarray, "g d"]) -> None:
    """Counts with truth as rows and predictions as columns; one more row (no object) and column (missed) than names."""
    from matplotlib.figure import Figure

    rows, columns = [*names, "no object"], [*names, "missed"]
    write_table(
        path.with_suffix(".csv"),
        ["truth", *columns],
        ([row, *line] for row, line in zip(rows, counts.tolist(), strict=True)),
    )
    size = min(16.0, 3.0 + 0.45 * len(rows))
    figure = Figure(figsize=(size + 1.5, size), layout="constrained")
    plot = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    plot.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(rows) <= SHOWN_NAMES:
        plot.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        plot.set_yticks(range(len(rows)), rows)
    if len(rows) <= 15:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if share[row, column] > 0.6 else "black"
                plot.text(column, row, str(count), ha="center", va="center", color=shade)
    plot.set(xlabel="taken for", ylabel="truth")
    _save(figure, path)


def _rgb(number: int) -> tuple[float, ...]:
    return tuple(value / 255 for value in track_colour(number))


def _dash(number: int) -> str:
    return ("-", "--", "-.", ":")[(number - 1) % 4]


def write_table(path: Path, head: Sequence[str], rows: Any) -> None:
    """The numbers behind a picture."""
    with complete_file(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        table.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)


def _save(figure: Any, path: Path) -> None:
    with complete_file(path) as new:
        figure.savefig(new, dpi=100)
