"""The random number generators that training draws from: started, stored and put back."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RandomState:
    """State of the three random number generators that training code may draw from (torch's on CUDA as well)."""

    torch: str
    """Bytes in hexadecimal."""
    cuda: tuple[str, ...]
    numpy: tuple[int, ...]
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float
    python_version: int
    python: tuple[int, ...]
    python_gauss: float | None


def capture_random() -> RandomState:
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  the global generator is what is saved
    version, internal, python_gauss = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return RandomState(
        torch=_to_hex(torch.get_rng_state()),
        cuda=tuple(_to_hex(state) for state in cuda),
        numpy=tuple(int(key) for key in keys),
        numpy_position=int(position),
        numpy_has_gauss=int(has_gauss),
        numpy_gauss=float(gauss),
        python_version=version,
        python=internal,
        python_gauss=python_gauss,
    )


def restore_random(state: RandomState) -> None:
    torch.set_rng_state(_from_hex(state.torch))
    if torch.cuda.is_available() and len(state.cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_from_hex(each) for each in state.cuda])
    keys = np.array(state.numpy, dtype=np.uint32)
    gauss = (state.numpy_position, state.numpy_has_gauss, state.numpy_gauss)
    np.random.set_state(("MT19937", keys, *gauss))  # noqa: NPY002
    random.setstate((state.python_version, state.python, state.python_gauss))


def seed_random(seed: int, rank: int = 0) -> None:
    """Start every generator; processes that train together draw different numbers."""
    torch.manual_seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)  # noqa: NPY002
    random.seed(seed + rank)


def _to_hex(state: Tensor) -> str:
    return state.cpu().numpy().tobytes().hex()


def _from_hex(text: str) -> Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
