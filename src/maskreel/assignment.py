"""The cheapest assignment, by SciPy's solver without the rest of `scipy.optimize`.

Importing that package takes as long as half of Maskreel; its solver is one compiled module that needs nothing of it.
"""

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np


def linear_sum_assignment(cost: Any, *, maximize: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """As `scipy.optimize.linear_sum_assignment`: rows and columns of the matrix, rows in order."""
    return _solver()(cost, maximize)


@lru_cache(maxsize=1)
def _solver() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    if "scipy.optimize" not in sys.modules and (solver := _alone()) is not None:
        return solver
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def _alone() -> Callable[..., tuple[np.ndarray, np.ndarray]] | None:
    """The compiled module, found where SciPy lies; None where a SciPy of another make has it elsewhere."""
    scipy = find_spec("scipy")
    for folder in (scipy and scipy.submodule_search_locations) or ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder, "optimize", f"_lsap{suffix}")
            spec = spec_from_file_location("_lsap", path) if path.is_file() else None
            if spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return getattr(module, "linear_sum_assignment", None)
    return None
