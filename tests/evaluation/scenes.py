"""Small scenes whose metrics can be worked out by hand: rectangles on frames of 20 x 30 pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from maskreel.geometry.rle import encode

HEIGHT, WIDTH = 20, 30


def box(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    """A filled rectangle as compressed RLE."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return encode(mask).to_json()


def annotation(identity: int, masks: list[Any], **changes: Any) -> dict[str, Any]:
    """A true track; areas are those of full boxes, so they are left to be measured unless given."""
    record = {"id": identity, "video_id": 1, "category_id": 1, "iscrowd": 0, "segmentations": masks, "areas": None}
    return {**record, **changes}


def entry(score: float, masks: list[Any], **changes: Any) -> dict[str, Any]:
    """A predicted track."""
    return {"video_id": 1, "category_id": 1, "score": score, "segmentations": masks, **changes}


def scene(annotations: list[dict[str, Any]], *, frames: int = 1, videos: int = 1, classes: int = 2) -> dict[str, Any]:
    """A ground truth file."""
    return {
        "videos": [
            {
                "id": index,
                "height": HEIGHT,
                "width": WIDTH,
                "length": frames,
                "file_names": [f"v{index}/{frame:05d}.jpg" for frame in range(frames)],
            }
            for index in range(1, videos + 1)
        ],
        "categories": [{"id": index, "name": f"class {index}"} for index in range(1, classes + 1)],
        "annotations": annotations,
    }


def write(folder: Path, name: str, content: Any) -> Path:
    """A JSON file."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
