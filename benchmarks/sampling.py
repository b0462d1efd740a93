"""Ratios of the CPU sampling backend over grid_sample, in all uses: `python benchmarks/sampling.py [--json FILE]`.

One process per allocator state (stock, and tuned as the command line does it); inside it both sides take turns. A
sample counts when a calibration product ran at full speed just before and just after it, so that a busy neighbour does
not enter the figures; with too few such samples all are used and the count is shown in brackets.

Setting: 5 frames of 360x640, levels 45x80, 23x40, 12x20, 6x10, 8 heads of 32 channels, 4 points per level, two threads.
The slow sides are the published forms: one grid_sample per level, stacked, weighted and summed; for neighbour frames
the same per neighbour on a shifted copy of the value table; for space-time one five-dimensional grid_sample.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from maskreel.kernels.allocator import tune_allocator
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
FRAMES, HEADS, CHANNELS, POINTS = 5, 8, 32, 4
NEIGHBOURS = ((0, 0, 1, 2), (0, 0, 2, 3), (0, 1, 3, 4), (1, 2, 4, 4), (2, 3, 4, 4))
VOLUME = (12, 20)
VOLUME_FRAMES, VOLUME_CHANNELS, VOLUME_POINTS = 36, 48, 32
SAMPLES = 7


# The slow sides: published forms, value "t s m d", locations "t q m l p 2", weights "t q m l p".


def published_spatial(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    frames, _, heads, channels = value.shape
    queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    grids = (2 * locations - 1).permute(3, 0, 2, 1, 4, 5).reshape(levels, frames * heads, queries, points, 2)
    maps = value.permute(0, 2, 3, 1).reshape(frames * heads, channels, -1).split([h * w for h, w in LEVELS], -1)
    samples = [
        F.grid_sample(image.reshape(frames * heads, channels, *size), grid, padding_mode="zeros", align_corners=False)
        for image, size, grid in zip(maps, LEVELS, grids, strict=True)
    ]
    flat = weights.permute(0, 2, 1, 3, 4).reshape(frames * heads, 1, queries, levels * points)
    output = (torch.stack(samples, -2).flatten(-2) * flat).sum(-1)
    return output.view(frames, heads, channels, queries).permute(0, 3, 1, 2)


def published_neighbours(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    total = None
    for slot, read in enumerate(zip(*NEIGHBOURS, strict=True)):
        part = published_spatial(value[list(read)], locations[:, :, :, slot], weights[:, :, :, slot])
        total = part if total is None else total + part
    assert total is not None
    return total


def published_volume(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Value "t s m d", locations "q m p 3"."""
    volume = value.permute(2, 3, 0, 1).unflatten(3, VOLUME)
    grid = (2 * locations - 1).permute(1, 0, 2, 3).unsqueeze(3)
    samples = F.grid_sample(volume, grid, padding_mode="zeros", align_corners=False).squeeze(4)
    return (samples * weights.permute(1, 0, 2).unsqueeze(1)).sum(-1).permute(2, 0, 1)


# Inputs.


def centres(sizes: tuple[tuple[int, int], ...]) -> Tensor:
    """(x, y) of every cell, in rows of the value table."""
    parts = []
    for height, width in sizes:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        parts.append(torch.stack([x, y], -1).flatten(0, 1))
    return torch.cat(parts)


def spatial_inputs(queries: int | None, slots: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Every cell of every level is a query, or `queries` queries per frame look anywhere; slots = neighbours."""
    torch.manual_seed(0)
    rows = sum(h * w for h, w in LEVELS)
    value = torch.randn(FRAMES, rows, HEADS, CHANNELS)
    shape = (FRAMES, queries or rows, HEADS, slots, len(LEVELS), POINTS)
    if queries:
        locations = torch.rand(*shape, 2) * 1.1 - 0.05
    else:
        angle = torch.arange(HEADS) * (2 * torch.pi / HEADS)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        ring = direction[:, None, None, None] * torch.arange(1.0, POINTS + 1)[:, None]
        cells = ring + 1.5 * torch.randn(*shape, 2)
        size = torch.tensor([[w, h] for h, w in LEVELS], dtype=torch.float32)[:, None]
        locations = centres(LEVELS)[:, None, None, None, None] + cells / size
    weights = torch.randn(*shape[:3], slots * len(LEVELS) * POINTS).softmax(-1).view(shape)
    return value, locations, weights


def volume_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """One level of 36 frames, every cell a query, 32 points in space and time, 8 heads of 48 channels."""
    torch.manual_seed(0)
    rows = VOLUME[0] * VOLUME[1]
    value = torch.randn(VOLUME_FRAMES, rows, HEADS, VOLUME_CHANNELS)
    times = (torch.arange(VOLUME_FRAMES) + 0.5) / VOLUME_FRAMES
    cells = torch.cat([centres((VOLUME,)).repeat(VOLUME_FRAMES, 1), times.repeat_interleave(rows)[:, None]], -1)
    size = torch.tensor([VOLUME[1], VOLUME[0], VOLUME_FRAMES], dtype=torch.float32)
    shape = (VOLUME_FRAMES * rows, HEADS, VOLUME_POINTS)
    locations = cells[:, None, None] + 2.5 * torch.randn(*shape, 3) / size
    return value, locations, torch.randn(shape).softmax(-1)


# Both sides of every comparison.

Step = Callable[[], object]


def pair(
    inputs: tuple[Tensor, Tensor, Tensor], published: Callable, maps: Maps, is_head_major: bool
) -> dict[str, Step]:
    """Forward and forward with backward, of the published form and of ours."""
    value, locations, weights = inputs
    table = value.flatten(0, 1)[None]
    if is_head_major:
        table = table.transpose(1, 2).contiguous().transpose(1, 2)
    points = locations.flatten(3, -2) if locations.dim() > 4 else locations
    points = points.reshape(1, -1, *points.shape[-3:])
    ours = (table, points, weights.reshape(points.shape[:-1]))

    def step(function: Callable, arguments: tuple[Tensor, ...], with_backward: bool) -> Step:
        leaves = [x.detach().requires_grad_(with_backward) for x in arguments]
        upstream = torch.randn(function(*leaves).shape)

        def run() -> object:
            with torch.set_grad_enabled(with_backward):
                output = function(*leaves)
            return torch.autograd.grad(output, leaves, upstream) if with_backward else output

        return run

    def ours_form(*tensors: Tensor) -> Tensor:
        return sample(*tensors, maps=maps, backend="cpu")

    steps = {}
    for name, function, arguments in (("published", published, inputs), ("ours", ours_form, ours)):
        steps[f"{name} forward"] = step(function, arguments, False)
        steps[f"{name} both"] = step(function, arguments, True)
    return steps


def squeezed(form: Callable) -> Callable:
    """Spatial inputs have a neighbour axis of one, which the published form does not know."""
    return lambda value, locations, weights: form(value, locations[:, :, :, 0], weights[:, :, :, 0])


def cases() -> dict[str, Callable[[], dict[str, Step]]]:
    own = Maps.own_frame(LEVELS, num_frames=FRAMES)
    near = Maps(level_sizes=LEVELS, frames=NEIGHBOURS)
    volume = Maps.every_frame((VOLUME,), num_frames=VOLUME_FRAMES)
    spatial = squeezed(published_spatial)
    return {
        "encoder, head-major table": lambda: pair(spatial_inputs(None), spatial, own, True),
        "encoder, token-major table": lambda: pair(spatial_inputs(None), spatial, own, False),
        "decoder, 300 queries": lambda: pair(spatial_inputs(300), spatial, own, True),
        "decoder, token-major table": lambda: pair(spatial_inputs(300), spatial, own, False),
        "neighbour frames": lambda: pair(spatial_inputs(None, 4), published_neighbours, near, True),
        "space-time": lambda: pair(volume_inputs(), published_volume, volume, True),
    }


# Measuring.


class Calibration:
    """Two-threaded work of a few milliseconds that tells whether a neighbour holds a core right now."""

    def __init__(self) -> None:
        self.matrix = torch.randn(640, 640)
        self.best = min(self.once() for _ in range(50))

    def once(self) -> float:
        start = time.perf_counter()
        torch.mm(self.matrix, self.matrix)
        return time.perf_counter() - start

    def is_quiet(self) -> bool:
        now = min(self.once(), self.once())
        self.best = min(self.best, now)
        return now <= 1.35 * self.best

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.is_quiet():
                return True
            time.sleep(0.1)
        return False


def medians(steps: dict[str, Step], budget: float) -> dict[str, dict[str, float]]:
    """Median milliseconds of every step, all taking turns."""
    calibration = Calibration()
    good: dict[str, list[float]] = {name: [] for name in steps}
    every: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    end = time.monotonic() + budget
    while time.monotonic() < end and min(len(times) for times in good.values()) < SAMPLES:
        for name, step in steps.items():
            was_quiet = calibration.wait(2.0)
            start = time.perf_counter()
            step()
            took = 1e3 * (time.perf_counter() - start)
            every[name].append(took)
            if was_quiet and calibration.is_quiet():
                good[name].append(took)
    chosen = {name: good[name] if len(good[name]) >= 2 else every[name] for name in steps}
    return {
        name: {"ms": statistics.median(times), "best": min(times), "quiet": len(good[name]), "samples": len(times)}
        for name, times in chosen.items()
    }


def forward_memory() -> float:
    """MiB by which one forward pass of the decoder setting raises the peak of the process."""
    value, locations, weights = spatial_inputs(300)
    maps = Maps.own_frame(LEVELS, num_frames=FRAMES)
    arguments = (
        value.flatten(0, 1)[None],
        locations.flatten(3, 5).flatten(0, 1)[None],
        weights.flatten(3).flatten(0, 1)[None],
    )
    # Compilation has a peak of its own; what is compiled does not depend on sizes.
    sample(*(x[:, : x.shape[1] // FRAMES] for x in arguments), maps=Maps.own_frame(LEVELS, num_frames=1), backend="cpu")
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kib()
    sample(*arguments, maps=maps, backend="cpu")
    return (peak_kib() - before) / 1024


def peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(state: str, names: list[str], budget: float) -> dict:
    if state == "tuned" and not tune_allocator():
        sys.exit("no glibc here: there is nothing to tune")
    torch.set_num_threads(2)
    found = {"decoder forward memory MiB": forward_memory()}
    found |= {name: medians(make(), budget) for name, make in cases().items() if name in names}
    return found


def report(results: dict[str, dict]) -> str:
    lines = []
    for state, found in results.items():
        lines.append(f"{state} allocator; decoder forward adds {found['decoder forward memory MiB']:.0f} MiB")
        for name, steps in found.items():
            if not isinstance(steps, dict):
                continue
            for kind, label in (("forward", "forward"), ("both", "forward+backward")):
                slow, fast = steps[f"published {kind}"], steps[f"ours {kind}"]
                lines.append(
                    f"  {name:28s} {label:17s} published {slow['ms']:8.1f} ms   ours {fast['ms']:7.1f} ms   "
                    f"x{slow['ms'] / fast['ms']:5.1f}   best x{slow['best'] / fast['best']:5.1f}   "
                    f"(quiet samples {slow['quiet']}, {fast['quiet']})"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios of our CPU sampling over grid_sample.")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--cases", nargs="+", default=list(cases()), choices=list(cases()))
    parser.add_argument("--budget", type=float, default=20.0, help="seconds per case and allocator state")
    parser.add_argument("--state", choices=["stock", "tuned"], help="measure one allocator state in this process")
    args = parser.parse_args()
    if args.state:
        print(json.dumps(measure(args.state, args.cases, args.budget)))
        return
    results = {}
    for state in ("stock", "tuned"):
        command = [sys.executable, __file__, "--state", state, "--budget", str(args.budget), "--cases", *args.cases]
        environment = os.environ | {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        results[state] = json.loads(done.stdout)
    print(report(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
