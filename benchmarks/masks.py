"""Ratios of our masks over the usual ways: `python benchmarks/masks.py [--json FILE]`.

Two comparisons, in one process per allocator state (stock, and tuned as the command line does it); both sides take
turns, as `maskreel.bench.protocol` says:

- The dynamic mask head for 100 instances over 5 frames of 360x640 at stride 4, 8 channels, relative coordinates: a
  grouped convolution per frame (CondInst's form), and our decoder, as `predict` runs it.
- 100 masks from logits of 180x320 to run-length codes of 720x1280: interpolate all at once, threshold, pycocotools;
  and ours, as `predict` encodes them. The codes must be the same bytes, or the script fails.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco
from states import STATES, State, enter, in_each_state
from torch import Tensor

from maskreel.bench.protocol import Step, hardware, take_turns
from maskreel.geometry.rle import Rle
from maskreel.inference.postprocess import encode_masks
from maskreel.nn.heads.dynamic_masks import HIDDEN, STRIDE, DynamicMaskDecoder

INSTANCES, FRAMES, CHANNELS = 100, 5, 8
MAP = (90, 160)
LOGITS, PICTURE = (180, 320), (720, 1280)
NUMBERS = (CHANNELS + 2) * HIDDEN + HIDDEN * HIDDEN + HIDDEN + 2 * HIDDEN + 1


def source() -> DynamicMaskDecoder:
    torch.manual_seed(0)
    return DynamicMaskDecoder(
        features=torch.randn(1, FRAMES, CHANNELS, *MAP),
        parameters=0.1 * torch.randn(1, INSTANCES, NUMBERS),
        centres=STRIDE * torch.rand(1, FRAMES, INSTANCES, 2) * torch.tensor([MAP[1], MAP[0]]),
        is_relative=True,
    )


def grouped_convolution(masks: DynamicMaskDecoder) -> Tensor:
    """One grouped convolution per frame and layer, over features and relative coordinates copied for every instance."""
    height, width = MAP
    y, x = (torch.arange(n) * STRIDE + STRIDE // 2 for n in MAP)
    cells = torch.stack(torch.broadcast_tensors(x[None], y[:, None])).float()
    first = (CHANNELS + 2) * HIDDEN
    numbers = masks.parameters[0].split([first, HIDDEN * HIDDEN, HIDDEN, HIDDEN, HIDDEN, 1], 1)
    layers = [(numbers[k].reshape(-1, inputs, 1, 1), numbers[3 + k].flatten()) for k, inputs in enumerate((10, 8, 8))]
    frames = []
    for features, centres in zip(masks.features[0], masks.centres[0], strict=True):
        relative = centres[:, :, None, None] - cells
        x = torch.cat([relative, features.expand(INSTANCES, -1, -1, -1)], 1).view(1, -1, height, width)
        for place, (weight, bias) in enumerate(layers):
            x = F.conv2d(x, weight, bias, groups=INSTANCES)
            x = F.relu(x) if place < 2 else x
        frames.append(x[0])
    return torch.stack(frames, 1)


def our_masks(masks: DynamicMaskDecoder) -> Tensor:
    """The same masks, before they are enlarged."""
    return masks.decode(0, torch.arange(INSTANCES))


def logits() -> Tensor:
    """Smooth blobs of all sizes with wavy borders, "n t h w" with t = 1."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[: LOGITS[0], : LOGITS[1]].astype(np.float32)
    maps = []
    for n in range(INSTANCES):
        cy, cx = draw.uniform(0, LOGITS[0]), draw.uniform(0, LOGITS[1])
        ry, rx = draw.uniform(5, LOGITS[0] / 3), draw.uniform(5, LOGITS[1] / 4)
        wave = 0.25 * np.sin(x / 3 + n) * np.cos(y / 4)
        maps.append(1 - ((y - cy) / ry) ** 2 - ((x - cx) / rx) ** 2 + wave)
    return torch.from_numpy(np.stack(maps).astype(np.float32))[:, None]


def usual_codes(maps: Tensor) -> list[str | bytes]:
    masks = F.interpolate(maps, size=PICTURE, mode="bilinear", align_corners=False)[:, 0] > 0
    return [coco.encode(np.asfortranarray(mask).view(np.uint8))["counts"] for mask in masks.numpy()]


def our_codes(maps: Tensor) -> list[Rle | None]:
    return [frames[0] for frames in encode_masks(maps, source_size=PICTURE)]


def comparisons() -> dict[str, dict[str, Step]]:
    masks, maps = source(), logits()
    torch.testing.assert_close(our_masks(masks), grouped_convolution(masks), rtol=1e-5, atol=1e-3)
    empty = coco.encode(np.zeros(PICTURE, np.uint8, order="F"))["counts"]
    ours = [empty if code is None else code.counts for code in our_codes(maps)]
    if ours != usual_codes(maps):
        sys.exit("the codes differ from those of pycocotools")
    return {
        "dynamic mask head, 100 instances": {
            "usual": lambda: grouped_convolution(masks),
            "ours": lambda: our_masks(masks),
        },
        "100 masks to RLE at 720p": {"usual": lambda: usual_codes(maps), "ours": lambda: our_codes(maps)},
    }


@torch.inference_mode()
def measure(state: State, *, samples: int, threads: int) -> dict:
    enter(state, threads=threads)
    return {
        name: {step: asdict(times) for step, times in take_turns(steps, samples=samples).items()}
        for name, steps in comparisons().items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios of our masks over the usual ways.")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--samples", type=int, default=9, help="quiet samples per step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--state", choices=STATES, help="measure one allocator state in this process")
    args = parser.parse_args()
    if args.state:
        print(json.dumps(measure(args.state, samples=args.samples, threads=args.threads)))
        return
    results = {}
    for state, found in in_each_state(__file__, ["--samples", str(args.samples)], threads=args.threads):
        results[state] = found
        for name, steps in found.items():
            usual, ours = steps["usual"], steps["ours"]
            print(
                f"{state} allocator  {name:34s} usual {usual['p50']:7.1f} ms  ours {ours['p50']:6.1f} ms  "
                f"x{usual['p50'] / ours['p50']:5.1f}  (quiet samples {usual['quiet']}, {ours['quiet']})"
            )
    if args.json:
        args.json.write_text(json.dumps({"hardware": hardware(), "results": results}, indent=1))


if __name__ == "__main__":
    main()
