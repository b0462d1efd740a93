"""Vectors as points of the plane."""

import numpy as np
import pytest

from maskreel.visualize import plane


def clusters(count: int, seed: int = 0) -> np.ndarray:
    """Vectors around three centres, in turns."""
    draws = np.random.default_rng(seed)
    centres = 10 * draws.normal(size=(3, 16))
    return (centres[np.arange(count) % 3] + draws.normal(size=(count, 16))).astype(np.float32)


def test_neighbours_stay_neighbours_and_every_run_gives_the_same() -> None:
    pytest.importorskip("sklearn")
    vectors = clusters(24)
    method, points = plane.in_the_plane(vectors)
    assert method == "t-SNE"
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(24)
    assert (distance.argmin(1) % 3 == np.arange(24) % 3).all()
    assert np.array_equal(plane.in_the_plane(vectors)[1], points)


def test_without_scikit_learn_the_principal_plane_is_drawn_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plane, "find_spec", lambda name: None)
    vectors = clusters(24)
    method, points = plane.in_the_plane(vectors)
    assert method == "PCA"
    assert "pip install 'maskreel[plane]'" in caplog.text
    centred = vectors - vectors.mean(0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    expected = np.abs(centred @ directions[:, ::-1][:, :2])
    assert np.abs(points) == pytest.approx(expected, abs=1e-3)
    assert points.var(0) * 24 == pytest.approx(values[::-1][:2], rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_a_handful_of_points_is_drawn_too(count: int) -> None:
    method, points = plane.in_the_plane(clusters(count))
    assert method == "PCA"
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("count", [8, 9])
def test_equal_vectors_have_places(count: int) -> None:
    _, points = plane.in_the_plane(np.ones((count, 4), np.float32))
    assert np.isfinite(points).all()
