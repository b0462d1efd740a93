"""Time and memory of the two clip encoders, dense and deformable, against the number of frames and the frame size.

    python benchmarks/space_time_scaling.py [--plot scaling.png] [--json scaling.json]
    python benchmarks/space_time_scaling.py --frames 6 12 --areas 60 170 --layers 1 --repeats 1     # a short look

Encoders are the published ones: width 384, 8 heads, 6 layers, 32 sampling points, tokens at stride 32 (10 x 17 of a
frame of 300 x 540). `operator` is the attention operator of one layer alone: PyTorch's fused attention, or the sampling
primitive on given values, places and weights. `encoder` is a forward pass of all layers, `training` forward and
backward. Times: one process per size, in it the systems take turns, and the least of the repeats counts. Memory: growth
of a process's peak while it does one pass; every figure is a process of its own. `unfused` is the dense encoder with
its attention written out, which keeps tokens x tokens weights per head and layer; it is measured for memory alone.
Exponents are slopes of the straight line through log(time) against log(size).
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.encoders.full import FullEncoder
from maskreel.nn.encoders.space_time import SpaceTimeEncoder
from maskreel.nn.layers.position import space_time_position
from maskreel.structures import FeatureMap

WIDTH, HEADS, POINTS = 384, 8, 32
SYSTEMS = ("dense", "deformable")
ASPECT = 1.7


def main() -> None:
    parser = argparse.ArgumentParser(description="Scaling of the clip encoders in time and space.")
    parser.add_argument("--frames", type=int, nargs="+", default=[6, 12, 24, 36, 72])
    parser.add_argument("--areas", type=int, nargs="+", default=[45, 84, 170, 336, 680], help="tokens of a frame")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-frames", type=int, nargs="*", default=None, help="default: those of --frames")
    parser.add_argument("--max-unfused", type=int, default=36, help="most frames of the unfused encoder")
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(measure(json.loads(args.child))))
        return
    common = {"layers": args.layers, "repeats": args.repeats}
    area, frames = 170, 12
    by_frames = [child({**common, "what": "time", "frames": t, "area": area}) for t in args.frames]
    by_area = [child({**common, "what": "time", "frames": frames, "area": a}) for a in args.areas]
    memory = []
    for t in args.frames if args.memory_frames is None else args.memory_frames:
        entry: dict[str, Any] = {"frames": t}
        for system in ("dense", "deformable", "unfused"):
            if system != "unfused" or t <= args.max_unfused:
                entry[system] = child({**common, "what": "memory", "system": system, "frames": t, "area": area})
        memory.append(entry)
    report = {"frames": by_frames, "areas": by_area, "memory": memory}
    print(text(report))
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.plot is not None:
        plot(report, args.plot)


def child(task: dict[str, Any]) -> dict[str, Any]:
    """Measure in a process of its own."""
    words = [sys.executable, __file__, "--child", json.dumps(task)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    print({**task, **result}, file=sys.stderr, flush=True)
    return {**task, **result}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    size = frame_size(task["area"])
    if task["what"] == "memory":
        return memory_of(task["system"], task["frames"], size, task["layers"])
    parts: dict[str, dict[str, Callable[[], Any]]] = {"operator": {}, "encoder": {}, "training": {}}
    for system in SYSTEMS:
        parts["operator"][system] = operator(system, task["frames"], size)
        parts["encoder"][system] = encoder(system, task["frames"], size, task["layers"], is_training=False)
        parts["training"][system] = encoder(system, task["frames"], size, task["layers"], is_training=True)
    return {part: in_turns(systems, task["repeats"]) for part, systems in parts.items()}


def frame_size(area: int) -> tuple[int, int]:
    """(rows, columns) of about `area` cells; 170 gives 10 x 17."""
    rows = round((area / ASPECT) ** 0.5)
    return rows, round(area / rows)


def in_turns(systems: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least seconds of every system after one pass to warm up; the systems take turns."""
    best = dict.fromkeys(systems, float("inf"))
    for index in range(repeats + 1):
        for name, run in systems.items():
            start = time.perf_counter()
            run()
            if index:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def operator(system: str, frames: int, size: tuple[int, int]) -> Callable[[], Tensor]:
    tokens = frames * size[0] * size[1]
    if system == "dense":
        q, k, v = torch.randn(3, 1, HEADS, tokens, WIDTH // HEADS)
        readable = torch.ones(1, 1, 1, tokens, dtype=torch.bool)
        return lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=readable)
    value = torch.randn(1, tokens, HEADS, WIDTH // HEADS)
    places = torch.rand(1, tokens, 1, 1, 3) + 0.05 * torch.randn(1, tokens, HEADS, POINTS, 3)
    weights = torch.rand(1, tokens, HEADS, POINTS).softmax(-1)
    maps = Maps.every_frame((size,), num_frames=frames)
    return lambda: sample(value, places, weights, maps=maps)


def encoder(system: str, frames: int, size: tuple[int, int], layers: int, *, is_training: bool) -> Callable[[], Any]:
    if system == "deformable":
        model = SpaceTimeEncoder(WIDTH, num_layers=layers, num_points=POINTS, dropout=0.0)
    else:
        model = FullEncoder(WIDTH, num_layers=layers, dropout=0.0, attention_dropout=0.0)
    level = FeatureMap(
        values=torch.randn(1, frames, WIDTH, *size),
        is_padding=torch.zeros(1, frames, *size, dtype=torch.bool),
        stride=32,
    )
    position = space_time_position(level.is_padding, WIDTH)

    def run() -> None:
        backends = [SDPBackend.MATH] if system == "unfused" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        with sdpa_kernel(backends):
            if is_training:
                model(level, position).tokens.square().mean().backward()
            else:
                with torch.no_grad():
                    model(level, position)

    return run


def memory_of(system: str, frames: int, size: tuple[int, int], layers: int) -> dict[str, float]:
    """Growth of the peak in MB by one forward pass, then by one training pass."""
    encoder(system, 2, (3, 4), 1, is_training=True)()  # what only the first pass of a process allocates
    grown = {}
    for name, is_training in (("encoder", False), ("training", True)):
        run = encoder(system, frames, size, layers, is_training=is_training)
        before = peak()
        run()
        grown[name] = peak() - before if name == "encoder" else peak() - before + grown["encoder"]
    return grown


def peak() -> float:
    """Greatest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def crossing(sizes: Sequence[float], dense: Sequence[float], deformable: Sequence[float]) -> float | None:
    """Size at which both take equally long, interpolated between the measured ones; None when one always leads."""
    gap = np.log(dense) - np.log(deformable)
    for index in range(len(sizes) - 1):
        if gap[index] < 0 <= gap[index + 1]:
            part = -gap[index] / (gap[index + 1] - gap[index])
            return float(np.exp(np.log(sizes[index]) + part * np.log(sizes[index + 1] / sizes[index])))
    return None


def text(report: dict[str, Any]) -> str:
    lines = []
    for title, key, rows in (
        ("frames (T) at 10 x 17 tokens each", "frames", report["frames"]),
        ("tokens of a frame at 12 frames", "area", report["areas"]),
    ):
        sizes = [row[key] for row in rows]
        lines += [f"\n{title}", "", f"| part | system | {' | '.join(map(str, sizes))} | exponent |"]
        lines += ["|---" * (len(sizes) + 3) + "|"]
        for part in ("operator", "encoder", "training"):
            for system in SYSTEMS:
                values = [row[part][system] for row in rows]
                slope = f"{exponent(sizes, values):.2f}" if len(sizes) > 1 else "-"
                cells = " | ".join(f"{value:.3f} s" for value in values)
                lines.append(f"| {part} | {system} | {cells} | {slope} |")
            meeting = crossing(sizes, *([row[part][system] for row in rows] for system in SYSTEMS))
            if meeting is not None:
                lines.append(f"\n{part}: equally long at {meeting:.1f}\n")
    lines += ["\nmemory, MB", "", f"| pass | system | {' | '.join(str(row['frames']) for row in report['memory'])} |"]
    lines += ["|---" * (len(report["memory"]) + 2) + "|"]
    for part in ("encoder", "training"):
        for system in ("dense", "deformable", "unfused"):
            cells = [f"{row[system][part]:.0f}" if system in row else "" for row in report["memory"]]
            lines.append(f"| {part} | {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    by_frames, by_area, memory = figure.subplots(1, 3)
    for axes, rows, key in ((by_frames, report["frames"], "frames"), (by_area, report["areas"], "area")):
        for part, style in (("operator", ":"), ("encoder", "-"), ("training", "--")):
            for system, colour in zip(SYSTEMS, ("tab:red", "tab:blue"), strict=True):
                values = [row[part][system] for row in rows]
                axes.loglog(
                    [row[key] for row in rows], values, style, marker="o", color=colour, label=f"{system} {part}"
                )
        axes.set_xticks([row[key] for row in rows], labels=[str(row[key]) for row in rows])
        axes.minorticks_off()
        axes.set_xlabel("frames" if key == "frames" else "tokens of a frame")
        axes.set_ylabel("seconds")
    by_frames.legend(fontsize="small")
    for system, colour in (("dense", "tab:red"), ("deformable", "tab:blue"), ("unfused", "tab:gray")):
        rows = [row for row in report["memory"] if system in row]
        values = [row[system]["training"] for row in rows]
        memory.loglog([row["frames"] for row in rows], values, marker="o", color=colour, label=f"{system} training")
    frames = [row["frames"] for row in report["memory"]]
    memory.set_xticks(frames, labels=[str(t) for t in frames])
    memory.minorticks_off()
    memory.set_xlabel("frames")
    memory.set_ylabel("MB")
    memory.legend(fontsize="small")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
