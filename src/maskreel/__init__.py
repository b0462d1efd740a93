"""Maskreel: find, name, cut out and follow every object in a video."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskreel.geometry.masklets import Masklets
    from maskreel.inference.predictor import VideoPredictor
    from maskreel.visualize.draw import draw

__all__ = ["Masklets", "VideoPredictor", "draw"]

_HOMES = {
    "Masklets": "maskreel.geometry.masklets",
    "VideoPredictor": "maskreel.inference.predictor",
    "draw": "maskreel.visualize.draw",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's help must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'maskreel' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
