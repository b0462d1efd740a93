"""Times of the CUDA sampling backend: `python benchmarks/sampling_gpu.py [--json FILE]`, on a machine with a GPU.

Forward and backward of spatial attention at 5 and 36 frames of 360x640 and 720x1280 (levels at strides 8 to 64, every
cell a query, 8 heads of 32 channels, 4 points per level), float32 and bfloat16 tables, against grid_sample (the
reference backend) and against `deformops` where that package is installed. Medians of Triton's own timer, which clears
the second-level cache between runs. The deterministic backward pass has a column of its own.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from maskreel.kernels import reference
from maskreel.kernels.maps import Maps

HEADS, CHANNELS, POINTS = 8, 32, 4
LEVELS = {
    "360x640": ((45, 80), (23, 40), (12, 20), (6, 10)),
    "720x1280": ((90, 160), (45, 80), (23, 40), (12, 20)),
}


def inputs(sizes: tuple[tuple[int, int], ...], frames: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Value "1 r m d", locations "1 q m p 2" around every cell's centre, weights "1 q m p"."""
    draw = torch.Generator("cuda").manual_seed(0)
    centres = []
    for height, width in sizes:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        centres.append(torch.stack([x, y], -1).flatten(0, 1))
    centre = torch.cat(centres).cuda()
    shape = (frames, len(centre), HEADS, len(sizes), POINTS)
    angle = torch.arange(HEADS, device="cuda") * (2 * torch.pi / HEADS)
    direction = torch.stack([angle.cos(), angle.sin()], -1)
    direction = direction / direction.abs().amax(-1, keepdim=True)
    ring = direction[:, None, None] * torch.arange(1.0, POINTS + 1, device="cuda")[:, None]
    cells = ring + 1.5 * torch.randn(*shape, 2, generator=draw, device="cuda")
    extent = torch.tensor([[w, h] for h, w in sizes], dtype=torch.float32, device="cuda")[:, None]
    locations = (centre[:, None, None, None] + cells / extent).flatten(3, 4).flatten(0, 1)[None]
    weights = torch.randn(locations.shape[:-1], generator=draw, device="cuda").softmax(-1)
    value = torch.randn(1, frames * len(centre), HEADS, CHANNELS, generator=draw, device="cuda")
    return value.to(dtype), locations, weights


def deformops_form(
    sizes: tuple[tuple[int, int], ...], frames: int
) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """The rival's operator on our inputs, None where it is not installed."""
    try:
        from deformops.registry import msda  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    shapes = torch.tensor(sizes, device="cuda")
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])

    def run(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        split = (frames, -1, HEADS)
        places = locations[0].view(*split, len(sizes), POINTS, 2)
        shares = weights[0].view(*split, len(sizes), POINTS).to(value.dtype)
        return msda(value[0].view(*split, CHANNELS), shapes, starts, places, shares)

    return run


def measure(size: str, frames: int, dtype: torch.dtype) -> dict:
    from triton.testing import do_bench

    from maskreel.kernels import triton

    def time(step: Callable[[], object]) -> float:
        return do_bench(step, return_mode="median")

    def both(function: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [x.detach().requires_grad_() for x in tensors]
        output = function(*leaves)
        return lambda: torch.autograd.grad(output, leaves, torch.ones_like(output), retain_graph=True)

    maps = Maps.own_frame(LEVELS[size], num_frames=frames)
    tensors = inputs(LEVELS[size], frames, dtype)
    upstream = torch.randn_like(triton.forward(*tensors, maps))
    row: dict = {"size": size, "frames": frames, "dtype": str(dtype).removeprefix("torch.")}
    row["forward ms"] = time(lambda: triton.forward(*tensors, maps))
    row["backward ms"] = time(lambda: triton.backward(upstream, *tensors, maps))
    torch.use_deterministic_algorithms(True)
    row["deterministic backward ms"] = time(lambda: triton.backward(upstream, *tensors, maps))
    torch.use_deterministic_algorithms(False)
    rivals = {"deformops": deformops_form(LEVELS[size], frames)}
    if frames * len(LEVELS[size]) * LEVELS[size][0][0] < 2000:  # the stacked samples of longer clips do not fit
        rivals["grid_sample"] = lambda value, locations, weights: reference.sample(value, locations, weights, maps)
    for name, rival in rivals.items():
        if rival is not None:
            row[f"{name} forward ms"] = time(lambda rival=rival: rival(*tensors))
            row[f"{name} backward ms"] = time(both(rival))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="Times of the CUDA sampling backend.")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    device = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "python": platform.python_version()}
    print(device)
    rows = []
    for size in LEVELS:
        for frames in (5, 36):
            for dtype in (torch.float32, torch.bfloat16):
                rows.append(measure(size, frames, dtype))
                print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in rows[-1].items()))
    if args.json:
        args.json.write_text(json.dumps({"device": device, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
