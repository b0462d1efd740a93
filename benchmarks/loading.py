"""Clips for training out of JPEG frames of 720p: what a clip costs, decoded in full and scaled, beside a plain loader.

    python benchmarks/loading.py

Clips of 5 frames, shortest side 360, mirrored or not, colours unchanged. `plain` decodes and resizes each frame with
Pillow and does nothing else: no masks, no boxes. Ours also draw the clip and its masks. `decoded` and `halved` are
floors: Pillow decodes the frames, in full and at half their size, and nothing is made of them. Processor seconds of one
thread, all taking turns on the same clips; medians; the allocator as commands set it. The difference of pixels is that
of scaled and exact clips, of 255.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from maskreel.data.augment import Augmentation
from maskreel.data.loading import TrainingSet
from maskreel.data.sampling import ClipToken
from maskreel.data.youtube_vis import YouTubeVIS
from maskreel.kernels.allocator import tune_allocator
from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.synthetic import write_dataset
from maskreel.structures import Clip

Made = TypeVar("Made")
SIZE, SIDE, FRAMES = (720, 1280), 360, 5
SETTINGS = Augmentation(scales=(SIDE,), max_size=2 * SIDE, crop_probability=0.0, photometric="none")


def main() -> None:
    parser = argparse.ArgumentParser(description="Processor time of training clips of JPEG frames.")
    parser.add_argument("--clips", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_allocator()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_dataset(
            root, "train", num_videos=2, seed=0, dials=SyntheticDials(height=SIZE[0], width=SIZE[1], frames=8)
        )
        for path in (root / "train" / "JPEGImages").rglob("*.png"):
            Image.open(path).convert("RGB").save(path, format="JPEG", quality=92)
        dataset = YouTubeVIS.load(root, "train")
        sets = {
            decode: TrainingSet(dataset, num_frames=FRAMES, augmentation=SETTINGS, seed=0, decode=decode)
            for decode in ("exact", "scaled")
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in ("plain", "decoded", "halved", "exact", "scaled")}
        largest, means = 0.0, []
        for number in range(args.clips + 1):
            token = ClipToken(epoch=number // len(sets["exact"]), index=number % len(sets["exact"]))
            exact, took_exact = timed(lambda token=token: sets["exact"][token][0])
            scaled, took_scaled = timed(lambda token=token: sets["scaled"][token][0])
            _, took_plain = timed(lambda clip=exact: plain(dataset, clip))
            _, took_decoded = timed(lambda clip=exact: decoded(dataset, clip))
            _, took_halved = timed(lambda clip=exact: decoded(dataset, clip, at_least=(SIDE * 16 // 9, SIDE)))
            if number:
                taken = (took_plain, took_decoded, took_halved, took_exact, took_scaled)
                for kind, took in zip(seconds, taken, strict=True):
                    seconds[kind].append(took)
            difference = (exact.frames.float() - scaled.frames.float()).abs()
            largest = max(largest, difference.max().item())
            means.append(difference.mean().item())
    reference = median(seconds["plain"])
    for kind, taken in seconds.items():
        middle = median(taken)
        print(f"{kind:7} {1 / middle:6.1f} clips/s per core, {1e3 * middle:6.1f} ms, {reference / middle:.2f} x plain")
    print(f"scaled against exact: pixels differ by {np.mean(means):.2f} in the mean, {largest:.0f} at most")


def plain(dataset: YouTubeVIS, clip: Clip) -> np.ndarray:
    """The same frames, decoded and resized one by one."""
    frames = []
    for path in paths(dataset, clip):
        with Image.open(path) as image:
            size = (SIDE * image.width // image.height, SIDE)
            frames.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)))
    return np.stack(frames)


def decoded(dataset: YouTubeVIS, clip: Clip, at_least: tuple[int, int] | None = None) -> None:
    """The same frames, decoded and forgotten; `at_least` is (width, height)."""
    for path in paths(dataset, clip):
        with Image.open(path) as image:
            image.draft(image.mode, at_least)
            image.load()


def paths(dataset: YouTubeVIS, clip: Clip) -> list[Path]:
    index = next(place for place, video in enumerate(dataset.videos) if video.id == clip.video_id)
    return [dataset.frame_path(index, frame) for frame in clip.frame_index.tolist()]


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What was made, and the processor seconds that it took."""
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun


if __name__ == "__main__":
    main()
