"""Time and peak memory of a full-size model on one clip of 36 frames of 300 x 540: forward pass and training step.

    python benchmarks/full_clip.py [--models vistr-r50-ytvis19 deformable-vistr-r50-ytvis19] [--json full_clip.json]
    python benchmarks/full_clip.py --frames 4 --size 96 160 --checkpointing layers     # a short look

Every line is a process of its own; its peak is the greatest resident memory from start to end. The forward pass decodes
the masks of all ten objects; the training step matches three objects, decodes their masks, and updates the weights by
AdamW. Attention weights are not dropped in training, because PyTorch has no fused kernel for that on the CPU; `unfused`
shows what dropping them would take.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskreel.models.folder import build_criterion, build_model
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.recipes.catalog import RECIPES
from maskreel.structures import ClipTarget
from maskreel.video.prepare import pad_frames

OBJECTS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="One clip through full-size models.")
    parser.add_argument("--models", nargs="+", default=["vistr-r50-ytvis19", "deformable-vistr-r50-ytvis19"])
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--size", type=int, nargs=2, default=[300, 540], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--passes", nargs="+", choices=("forward", "training"), default=["forward", "training"])
    parser.add_argument("--checkpointing", nargs="+", choices=("none", "layers"), default=["none", "layers"])
    parser.add_argument("--unfused", action="store_true", help="attention written out")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(measure(json.loads(args.child))))
        return
    rows = []
    for model in args.models:
        for name in args.passes:
            for checkpointing in args.checkpointing if name == "training" else ["none"]:
                task = {"model": model, "pass": name, "frames": args.frames, "size": args.size}
                task |= {"checkpointing": checkpointing, "unfused": args.unfused}
                words = [sys.executable, __file__, "--child", json.dumps(task)]
                done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
                failure = {"seconds": float("nan"), "peak_mb": float("nan")}
                result = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else failure
                rows.append({**task, **result})
                print(line(rows[-1]), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    height, width = row["size"]
    return (
        f"{row['model']:32} {row['pass']:8} {row['frames']} x {height} x {width}  "
        f"checkpointing {row['checkpointing']:6}  {row['seconds']:7.1f} s  peak {row['peak_mb']:7.0f} MB"
    )


def measure(task: dict[str, Any]) -> dict[str, float]:
    """Seconds of one pass, without what builds the model, and the peak of the process."""
    torch.manual_seed(0)
    config = RECIPES[task["model"]]().model
    config = replace(config, transformer=replace(config.transformer, attention_dropout=0.0))
    model, criterion = build_model(config), build_criterion(config)
    t, (height, width) = task["frames"], task["size"]
    clip = pad_frames([torch.randn(t, 3, height, width)])
    target = ClipTarget(
        labels=torch.arange(OBJECTS),
        boxes=torch.tensor([0.5, 0.5, 0.4, 0.4]).expand(OBJECTS, t, 4),
        masks=torch.rand(OBJECTS, t, height, width) < 0.1,
        is_visible=torch.ones(OBJECTS, t, dtype=torch.bool),
        track_id=torch.arange(OBJECTS),
    )
    start = time.perf_counter()
    with sdpa_kernel([SDPBackend.MATH]) if task["unfused"] else nullcontext():
        if task["pass"] == "forward":
            with torch.inference_mode():
                final = model.eval()(clip).final
                final.masks.select(0, torch.arange(config.queries.count))
        else:
            if task["checkpointing"] == "layers":
                checkpoint_activations(model)
            optimizer = torch.optim.AdamW(p for p in model.train().parameters() if p.requires_grad)
            losses = criterion(model(clip), [target], clip)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    main()
