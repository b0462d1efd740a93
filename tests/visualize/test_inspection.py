"""Pictures of what attention reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskreel.structures import Looks
from maskreel.visualize.inspection import QueryMap, Row, cell_weights, draw_looks, draw_queries

FRAMES = [np.full((60, 100, 3), 100, np.uint8)] * 2


def looks(frame: list[float], place: list[list[float]], weight: list[float], cells: torch.Tensor | None) -> Looks:
    """Of one head and one level."""
    count = len(frame)
    return Looks(
        head=torch.zeros(count, dtype=torch.int64),
        frame=torch.tensor(frame),
        level=torch.zeros(count, dtype=torch.int64),
        place=torch.tensor(place),
        weight=torch.tensor(weight),
        cells=cells,
    )


def drawn(path: Path, table: Looks) -> np.ndarray:
    """How far each pixel of a sheet of one row and two frames is from grey."""
    row = Row(caption="points", frames=FRAMES, looks=table)
    draw_looks(path, [row], [0, 1], [0, 1], (9, 0, 0), (60, 100))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return (pixels.max(-1) - pixels.min(-1) > 40) & (pixels.min(-1) < 200)


def test_weights_of_cells_are_the_mean_over_heads() -> None:
    table = Looks(
        head=torch.tensor([0, 0, 1, 1, 1]),
        frame=torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0]),
        level=torch.tensor([0, 0, 0, 1, 0]),
        place=torch.tensor([[0.5 / 3.5, 0.25], [0.5 / 3.5, 0.25], [0.5 / 3.5, 0.25], [0.5, 0.5], [3.5 / 3.5, 0.75]]),
        weight=torch.tensor([0.75, 0.25, 0.5, 0.25, 0.25]),
        cells=torch.tensor([[3.5, 2.0], [1.0, 1.0]]),
    )
    assert cell_weights(table, 0, 0).tolist() == [[0.625, 0, 0, 0], [0, 0, 0, 0]]
    assert cell_weights(table, 1, 0).tolist() == [[0.125, 0, 0, 0], [0, 0, 0, 0.125]]
    assert cell_weights(table, 0, 1).tolist() == [[0.125]]


def test_points_lie_where_they_are_read_and_larger_ones_count_more(tmp_path: Path) -> None:
    table = looks([0.0, 1.0], [[0.25, 0.5], [0.75, 0.5]], [0.9, 0.1], None)
    mask = drawn(tmp_path / "points.png", table)
    columns = np.flatnonzero(mask.any(0))
    first, second = (columns[columns < 380], columns[columns >= 380])
    # The left edge of a frame is at 8 and 316 pixels, and it is 300 wide.
    assert first.mean() == pytest.approx(8 + 75, abs=3)
    assert second.mean() == pytest.approx(316 + 225, abs=3)
    assert mask[:, :380].sum() > 3 * mask[:, 380:].sum()


def test_a_point_between_two_frames_is_drawn_in_both(tmp_path: Path) -> None:
    mask = drawn(tmp_path / "points.png", looks([0.25, -1.0], [[0.5, 0.5], [0.5, 0.5]], [0.8, 0.2], None))
    assert mask[:, :312].sum() > 2 * mask[:, 312:].sum() > 0


def test_keys_are_drawn_as_their_cells(tmp_path: Path) -> None:
    mask = drawn(tmp_path / "cells.png", looks([1.0], [[0.75, 0.25]], [1.0], torch.tensor([[2.0, 2.0]])))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert columns.min() == pytest.approx(316 + 150, abs=2)
    assert columns.max() == pytest.approx(316 + 300, abs=2)
    assert rows.max() - rows.min() == pytest.approx(90, abs=3)


@pytest.mark.parametrize("count", [0, 5])
def test_queries_are_drawn_in_the_colours_of_their_objects(count: int, tmp_path: Path) -> None:
    number = np.arange(count) % 2 + 1
    table = QueryMap(
        caption="a model",
        place=np.random.default_rng(0).normal(size=(count, 2)),
        number=number,
        label=number - 1,
        frame=np.arange(count),
        names=["disc", "star"],
    )
    draw_queries(tmp_path / "queries.png", [table, table])
    with Image.open(tmp_path / "queries.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for colour in ((229, 121, 0), (121, 255, 102)):
        assert ((pixels == colour).all(-1).sum() > 50) == (count > 0)
