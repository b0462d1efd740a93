"""Builders of test data, and the way to recorded data that is not part of the project."""

import json
import lzma
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor

from maskreel.geometry import rle
from maskreel.structures import ClipBatch, ClipTarget

SHARED = Path(os.environ.get("MASKREEL_SHARED") or Path(__file__).parents[2] / "shared")
"""Recorded data that is not part of the project; the golden set in it is the full one."""
SMALL = Path(__file__).parent / "golden" / "small"
"""The part of the golden set that is shipped."""


def shared_path(relative: str) -> Path:
    """Path below the shared data folder; the test is skipped where the folder does not exist at all.

    A file that is missing from an existing folder is an error, not a skip.
    """
    if not SHARED.is_dir():
        pytest.skip("shared data is absent; set MASKREEL_SHARED")
    path = SHARED / relative
    if not path.exists():
        raise FileNotFoundError(f"{relative} is missing from the shared data folder")
    return path


def golden_bytes(relative: str, folder: str = "golden") -> bytes:
    """A file of the full golden set where the shared data is, else of the small set that is shipped.

    `folder` is the one of the shared data. The test is skipped where the small set lacks the file.
    """
    if SHARED.is_dir():
        return shared_path(f"{folder}/{relative}").read_bytes()
    packed = SMALL / f"{relative}.xz"
    if not packed.exists():
        pytest.skip(f"{relative} is only in the full golden set; set MASKREEL_SHARED")
    return lzma.decompress(packed.read_bytes())


class ShippedTensors(dict[str, Tensor]):
    """Recorded tensors of the small set: a test that wants another one is skipped."""

    def __missing__(self, name: str) -> Tensor:
        pytest.skip(f"tensor {name!r} is only in the full golden set; set MASKREEL_SHARED")


def golden(relative: str, case: str = "") -> dict[str, Tensor]:
    """Recorded tensors as the numbers that were used: low-precision storage becomes float32.

    `case` picks the tensors whose names begin with it and a dot, and takes that off.
    """
    keep = (torch.float32, torch.float64)
    prefix = f"{case}." if case else ""
    tensors = {
        name.removeprefix(prefix): x.float() if x.is_floating_point() and x.dtype not in keep else x
        for name, x in load(golden_bytes(relative)).items()
        if name.startswith(prefix)
    }
    return tensors if SHARED.is_dir() else ShippedTensors(tensors)


def assert_golden(ours: Tensor, theirs: Tensor, noise: float = 0.0) -> None:
    """Within ten times the recorded rounding noise or 2e-5 of the largest value, whichever is more."""
    bound = max(10 * noise, 2e-5 * theirs.abs().max().item()) if theirs.numel() else 0.0
    torch.testing.assert_close(ours.to(theirs.dtype), theirs, rtol=0, atol=bound)


def golden_noise(folder: str, table: str | None = None) -> dict[str, float]:
    """Recorded rounding noise per tensor: the last column of the folder's tables, 0 where none is given.

    `table` reads the table of one file alone, such as "seqformer": files of a folder may share tensor names.
    """
    noise, heading = {}, ""
    for line in golden_bytes(f"{folder}/README.md").decode().splitlines():
        if line.startswith("### "):
            heading = line.split()[1].split(".")[0]
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 5 and cells[0].startswith("`") and table in (None, heading):
            bracket = re.search(r"f32 vs f64 ([0-9.e+-]+)", line)
            last = bracket.group(1) if bracket else cells[-1]
            noise[cells[0].strip("`")] = float(last) if re.fullmatch(r"[0-9.]+e[+-]\d+", last) else 0.0
    return noise


def clip_batch(
    sizes: Sequence[tuple[int, int]], *, num_frames: int = 3, padded: tuple[int, int] | None = None, seed: int = 0
) -> ClipBatch:
    """Clips of random colours with the given (height, width), padded to `padded` or to a multiple of 32.

    A clip's pixels depend on its size and the seed alone, not on the clips beside it.
    """
    height, width = padded or tuple(-(max(side) // -32) * 32 for side in zip(*sizes, strict=True))
    frames = torch.zeros(len(sizes), num_frames, 3, height, width)
    is_padding = torch.ones(len(sizes), num_frames, height, width, dtype=torch.bool)
    for clip, (h, w) in enumerate(sizes):
        generator = torch.Generator().manual_seed(seed + 1000 * h + w)
        frames[clip, :, :, :h, :w] = torch.randn(num_frames, 3, h, w, generator=generator)
        is_padding[clip, :, :h, :w] = False
    return ClipBatch(frames=frames, is_padding=is_padding)


def clip_target(
    size: tuple[int, int], num_objects: int, *, num_frames: int = 3, num_classes: int = 3, seed: int = 0
) -> ClipTarget:
    """Objects that fill random rectangles; the first one is absent from the last of several frames."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    low = 0.4 * torch.rand(num_objects, num_frames, 2, generator=generator)
    high = 0.5 + 0.5 * torch.rand(num_objects, num_frames, 2, generator=generator)
    is_visible = torch.ones(num_objects, num_frames, dtype=torch.bool)
    if num_frames > 1:
        is_visible[:1, -1] = False
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    inside = (x >= low[..., 0, None, None]) & (x < high[..., 0, None, None])
    inside &= (y >= low[..., 1, None, None]) & (y < high[..., 1, None, None])
    return ClipTarget(
        labels=torch.randint(num_classes, (num_objects,), generator=generator),
        boxes=torch.cat(((low + high) / 2, high - low), -1) * is_visible[..., None],
        masks=inside & is_visible[..., None, None],
        is_visible=is_visible,
        track_id=torch.arange(num_objects),
    )


OBJECT_COLOUR = (230, 40, 20)
"""Of the objects in the frames of `write_youtube_vis`."""


def write_youtube_vis(
    root: Path, *, split: str = "train", num_videos: int = 2, num_frames: int = 6, size: tuple[int, int] = (24, 40)
) -> dict[str, Any]:
    """A small data set on disk, 2019 layout; returns what its JSON file holds.

    Each video has a block that moves to the right, seen in every frame (category 7), and a one-pixel-wide line, null in
    the second half (category 3). Background is grey: 20 times the video's position plus the frame's.
    """
    height, width = size
    videos, annotations = [], []
    for v in range(num_videos):
        names = [f"video{v}/{t:05d}.png" for t in range(num_frames)]
        masks = np.zeros((2, num_frames, height, width), dtype=bool)
        for t, name in enumerate(names):
            left = 2 + t * (width // 2 - 4) // num_frames
            masks[0, t, 4 : height // 2, left : left + width // 4] = True
            masks[1, t, height // 2 + 2 : height - 2, width - 5] = t < num_frames // 2
            picture = np.full((height, width, 3), 20 * v + t, dtype=np.uint8)
            picture[masks[:, t].any(axis=0)] = OBJECT_COLOUR
            path = root / split / "JPEGImages" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        videos.append({"id": 11 + v, "width": width, "height": height, "length": num_frames, "file_names": names})
        for track, category_id in zip(masks, (7, 3), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": 11 + v,
                    "category_id": category_id,
                    "iscrowd": 0,
                    "segmentations": [rle.encode(mask).to_json() if mask.any() else None for mask in track],
                    "bboxes": [None] * num_frames,
                    "areas": [int(mask.sum()) or None for mask in track],
                }
            )
    categories = [{"id": 7, "name": "block"}, {"id": 3, "name": "line"}]
    document = {"videos": videos, "categories": categories, "annotations": annotations}
    (root / f"{split}.json").write_text(json.dumps(document))
    return document
