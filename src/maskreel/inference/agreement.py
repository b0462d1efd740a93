"""How far two objects may be of one class."""

import numpy as np
from jaxtyping import Float


def class_agreement(a: Float[np.ndarray, "n k"], b: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "n m"]:
    """Sum of the smaller class probabilities over the sum of the greater ones: 1 for equal, 0 for nothing shared."""
    smaller = np.minimum(a[:, None], b[None]).sum(-1)
    greater = np.maximum(a[:, None], b[None]).sum(-1)
    return smaller / np.maximum(greater, 1e-12)
