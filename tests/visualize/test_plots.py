"""Plots, and the numbers beside them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskreel.visualize import plots

X = np.linspace(0, 1, 11)


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("count", [0, 1, 3, 25])
def test_curves_are_drawn_with_their_numbers_beside_them(count: int, tmp_path: Path) -> None:
    curves = {f"class, {number}": X**number for number in range(1, count + 1)} | {"all": X}
    plots.curves(tmp_path / "PR_curve.png", curves, X, axes=("recall", "precision"), mean="all")
    table = rows(tmp_path / "PR_curve.csv")
    assert table[0] == ["recall", *curves]
    expected = [0.5, *(0.5**n for n in range(1, count + 1)), 0.5]
    # Six digits are written.
    assert [float(cell) for cell in table[6]] == pytest.approx(expected, rel=1e-5)
    with Image.open(tmp_path / "PR_curve.png") as picture:
        assert picture.width == 800
        assert (np.asarray(picture.convert("L")) < 250).mean() > 0.01


@pytest.mark.parametrize("count", [1, 4, 20, 60])
def test_a_matrix_of_any_size_is_drawn(count: int, tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(count)]
    counts = np.diag(np.arange(1, count + 2))
    plots.confusion(tmp_path / "confusion_matrix.png", names, counts)
    table = rows(tmp_path / "confusion_matrix.csv")
    assert table[0] == ["truth", *names, "missed"]
    assert [row[0] for row in table[1:]] == [*names, "no object"]
    assert [int(table[place + 1][place + 1]) for place in range(count + 1)] == list(range(1, count + 2))
    assert Image.open(tmp_path / "confusion_matrix.png").width <= 1750
