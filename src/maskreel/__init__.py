"""Maskreel: find, name, cut out and follow every object in a video.

```python
masklets = maskreel.load("bundled")("video.mp4")
```
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskreel.api import build_model, evaluate, render_dataset, score, train
    from maskreel.geometry.masklet import Masklet
    from maskreel.geometry.masklets import Masklets
    from maskreel.inference.predictor import VideoPredictor, load
    from maskreel.video.sources import open_video
    from maskreel.visualize.draw import draw

__version__ = "0.1.0"

__all__ = [
    "Masklet",
    "Masklets",
    "VideoPredictor",
    "__version__",
    "build_model",
    "draw",
    "evaluate",
    "load",
    "open_video",
    "render_dataset",
    "score",
    "train",
]

_HOMES = {
    "Masklet": "geometry.masklet",
    "Masklets": "geometry.masklets",
    "VideoPredictor": "inference.predictor",
    "build_model": "api",
    "draw": "visualize.draw",
    "evaluate": "api",
    "load": "inference.predictor",
    "open_video": "video.sources",
    "render_dataset": "api",
    "score": "api",
    "train": "api",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used: the command line's help must not wait for torch."""
        if name not in _HOMES:
            raise AttributeError(f"module 'maskreel' has no attribute {name!r}")
        return getattr(import_module(f"maskreel.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
