"""Encoding and decoding of masks against pycocotools, in turn in one process, at 360p, 720p and 1080p.

    python benchmarks/rle.py

Masks are ellipses with rippled edges, as arrays of rows: pycocotools wants columns, so that the copy belongs to its
time as it does to ours. `strings to areas` decodes many strings to runs at once, as scoring does, without dense masks.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco

from maskreel.geometry import rle
from maskreel.geometry.runs import pack_tracks

SIZES = {"360p": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Encoding and decoding of masks against pycocotools.")
    parser.add_argument("--masks", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    for name, size in SIZES.items():
        masks = rippled_ellipses(args.masks, size)
        ours = [rle.encode(mask) for mask in masks]
        strings = [mask.to_json() for mask in ours]
        theirs: list[Any] = [coco.encode(np.asfortranarray(mask.view(np.uint8))) for mask in masks]
        if [mask.counts for mask in ours] != [mask["counts"] for mask in theirs]:
            raise SystemExit(f"{name}: the strings differ from those of pycocotools")
        height, width = size
        report(
            f"{name} encode",
            lambda masks=masks: [coco.encode(np.asfortranarray(mask.view(np.uint8))) for mask in masks],
            lambda masks=masks: [rle.encode(mask) for mask in masks],
            args,
        )
        report(
            f"{name} decode",
            lambda theirs=theirs: [np.ascontiguousarray(coco.decode(mask)).view(bool) for mask in theirs],
            lambda ours=ours: [rle.decode(mask) for mask in ours],
            args,
        )
        report(
            f"{name} strings to areas",
            lambda theirs=theirs: coco.area(cast(Any, theirs)),
            lambda strings=strings, height=height, width=width: (
                pack_tracks([strings], height=height, width=width, place=lambda track, frame: f"mask {frame}").areas
            ),
            args,
        )


def rippled_ellipses(number: int, size: tuple[int, int]) -> np.ndarray:
    """Masks `n h w` of different places, sizes and outlines."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    masks = []
    for _ in range(number):
        centre, half = rng.uniform(0.2, 0.8, 2) * size, rng.uniform(0.06, 0.22, 2) * size
        y, x = (rows - centre[0]) / half[0], (columns - centre[1]) / half[1]
        ripple = 1 + 0.2 * np.sin(rng.integers(3, 9) * np.arctan2(y, x))
        masks.append(np.hypot(y, x) < ripple)
    return np.stack(masks)


def report(title: str, plain: Callable[[], object], ours: Callable[[], object], args: argparse.Namespace) -> None:
    """Medians per mask of CPU time, the two sides in turn after one round to warm up."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(args.repeats + 1):
        for seconds, function in zip(taken, (plain, ours), strict=True):
            start = time.process_time()
            function()
            if turn:
                seconds.append(time.process_time() - start)
    slow, fast = (1e6 * statistics.median(seconds) / args.masks for seconds in taken)
    print(f"{title:24} pycocotools {slow:8.1f} us   maskreel {fast:8.1f} us   x{slow / fast:.1f}", flush=True)


if __name__ == "__main__":
    main()
