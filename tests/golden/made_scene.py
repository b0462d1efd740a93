"""A scene for the evaluators that is made by a rule: three videos, three classes, and every kind of mistake."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from maskreel.geometry.rle import encode

FIGURES = Path(__file__).with_name("made_scene_figures.json")
"""What this project's evaluators said of it when they agreed with the reference evaluators on six other scenes."""
HEIGHT, WIDTH, FRAMES, VIDEOS, CLASSES, OBJECTS = 480, 640, 10, 3, 3, 5


def turn(*numbers: int) -> float:
    """A number in [0, 1) that the given ones decide, the same everywhere."""
    value = 1
    for number in numbers:
        value = (value * 48271 + 7919 * (number + 1)) % (2**31 - 1)
    return value * 48271 % (2**31 - 1) / (2**31 - 1)


def disc(x: float, y: float, radius: float) -> dict[str, Any] | None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return encode(mask).to_json() if mask.any() else None


def discs(video: int, identity: int, *, jitter: float = 0.0, mistake: int = 0) -> list[dict[str, Any] | None]:
    """A disc that moves and grows; absent for a while, and put at another place by `jitter`."""
    x, y, dx, dy, radius = (turn(video, identity, part) for part in range(5))
    away = int(6 * turn(video, identity, 5)), int(4 * turn(video, identity, 6))
    masks = []
    for t in range(FRAMES):
        if away[0] <= t < away[0] + away[1]:
            masks.append(None)
            continue
        off_x, off_y = (jitter * (turn(video, identity, t, mistake, part) - 0.5) for part in (7, 8))
        left, top = WIDTH * x + 12 * t * (dx - 0.5) + off_x, HEIGHT * y + 8 * t * (dy - 0.5) + off_y
        masks.append(disc(left, top, 10 + 160 * radius + t))
    return masks


def truth() -> dict[str, Any]:
    """A ground truth file; one track in five is a crowd."""
    videos = [
        {
            "id": v,
            "width": WIDTH,
            "height": HEIGHT,
            "length": FRAMES,
            "file_names": [f"v{v}/{t:03d}.jpg" for t in range(FRAMES)],
        }
        for v in range(1, VIDEOS + 1)
    ]
    tracks = []
    for v in range(1, VIDEOS + 1):
        for identity in range(OBJECTS):
            masks = discs(v, identity)
            record = {"id": len(tracks) + 1, "video_id": v, "category_id": 1 + (v + identity // 2) % CLASSES}
            tracks.append({**record, "iscrowd": int(identity == 4), "segmentations": masks, "areas": None})
    categories = [{"id": k, "name": f"class {k}"} for k in range(1, CLASSES + 1)]
    return {"videos": videos, "categories": categories, "annotations": tracks}


def guesses() -> list[dict[str, Any]]:
    """A results file: near hits, wrong classes, tracks that swap or end early, and tracks of nothing."""
    results = []
    for v in range(1, VIDEOS + 1):
        for identity in range(OBJECTS):
            masks, label = discs(v, identity, jitter=40 * turn(v, identity, 9)), 1 + (v + identity // 2) % CLASSES
            half = FRAMES // 2
            if v == 1 and identity in (2, 3):
                masks = masks[:half] + discs(v, 5 - identity, jitter=8.0)[half:]
            elif identity == 1:
                masks = masks[:half] + [None] * (FRAMES - half)
            entry = {"video_id": v, "category_id": label, "score": turn(v, identity, 10), "segmentations": masks}
            results.append(entry)
            if identity == 0:
                results.append({**entry, "category_id": 1 + label % CLASSES, "score": turn(v, identity, 11)})
        nothing = discs(v, 40, mistake=1)
        results.append({"video_id": v, "category_id": 1, "score": turn(v, 12), "segmentations": nothing})
    return results


def write_scene(folder: Path) -> tuple[Path, Path]:
    """Both files, truth and results."""
    paths = folder / "truth.json", folder / "results.json"
    for path, content in zip(paths, (truth(), guesses()), strict=True):
        path.write_text(json.dumps(content))
    return paths
