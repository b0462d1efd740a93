"""Vectors of many numbers as points of the plane."""

import logging
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

logger = logging.getLogger(__name__)

Method = Literal["t-SNE", "PCA"]
PERPLEXITY = 30.0
"""Neighbours that t-SNE keeps together, fewer where there are few points."""
FEWEST = 8
"""Points from which on t-SNE has something to say."""


def in_the_plane(vectors: Float[np.ndarray, "n c"]) -> tuple[Method, Float[np.ndarray, "n 2"]]:
    """A point for each vector, the same in every run, and how it was found.

    t-SNE, which keeps neighbours together and nothing else, from scikit-learn (extra `plane`); without it, or for a
    handful of vectors, the two directions in which they differ most (PCA).
    """
    if len(vectors) >= FEWEST and find_spec("sklearn") is None:
        logger.warning("scikit-learn is not installed: PCA in place of t-SNE; pip install 'maskreel[plane]'")
    if len(vectors) < FEWEST or find_spec("sklearn") is None:
        return "PCA", _principal(vectors)
    from sklearn.manifold import TSNE  # pyright: ignore[reportMissingImports]

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    # Its type says str; it takes points as well, and its own start fails where all vectors are equal.
    start: Any = _start(vectors)
    method = TSNE(perplexity=perplexity, init=start, random_state=0)
    return "t-SNE", method.fit_transform(vectors.astype(np.float32)).astype(np.float64)


def _start(vectors: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n 2"]:
    """The principal plane, small, as t-SNE wants it."""
    plane = _principal(vectors)
    return 1e-4 * plane / max(float(plane[:, 0].std()), 1e-12)


def _principal(vectors: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n 2"]:
    plane = np.zeros((len(vectors), 2))
    if len(vectors) < 2:
        return plane
    left, strength, directions = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    count = min(2, len(strength))
    # The sign of a direction is arbitrary: its largest number is positive.
    largest = np.abs(directions[:count]).argmax(1)
    sign = np.sign(directions[np.arange(count), largest])
    plane[:, :count] = left[:, :count] * strength[:count] * sign
    return plane
