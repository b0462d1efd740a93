# pyright: reportMissingImports=false
# Triton and the rivals are not installed everywhere.
"""Times of the CUDA sampling backend and of SeqFormer R50 on a GPU: `python benchmarks/sampling_gpu.py [--json FILE]`.

Not run yet: no GPU was at hand when it was written.

- Forward and backward of spatial attention at 5 and 36 frames of 360x640 and 720x1280 (levels at strides 8 to 64, every
  cell a query, 8 heads of 32 channels, 4 points per level), float32 and bfloat16 tables: ours, the reference backend,
  and, where they can be imported, the original CUDA operator (`MultiScaleDeformableAttention`, float32 alone) and
  `deformops`. Medians of Triton's own timer, which clears the second-level cache between runs. The deterministic
  backward pass has a column of its own. A rival that fails leaves its reason in the table.
- SeqFormer R50 from a rendered video file of 36 frames of 360x640 to masklets, float32 and bf16: frames per second of
  network, post-processing and the whole, and the operators that the network's time goes to.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskreel.bench.model import measure_model, render_clip
from maskreel.bench.protocol import hardware
from maskreel.bench.sampling import CHANNELS, HEADS, LEVELS, POINTS, sample_arguments, spatial_inputs
from maskreel.checkpoints.class_names import numbered
from maskreel.inference.predictor import PredictorOptions, VideoPredictor
from maskreel.kernels import reference
from maskreel.kernels.maps import Maps
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES
from maskreel.runtimes.precision import Precision
from maskreel.structures import Clip
from maskreel.video.prepare import pad_clips

SIZES = {
    "360x640": LEVELS,
    "720x1280": ((90, 160), (45, 80), (23, 40), (12, 20)),
}
IM2COL_STEP = 64
"""Frames per launch of the original operator, its default."""
FRAMES = 36

Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def inputs(sizes: tuple[tuple[int, int], ...], frames: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Value "1 r m d", locations "1 q m p 2" around every cell's centre, weights "1 q m p"."""
    value, locations, weights = sample_arguments(*spatial_inputs(None, levels=sizes, frames=frames))
    return value.to("cuda", dtype), locations.cuda(), weights.cuda()


def rivals(sizes: tuple[tuple[int, int], ...], frames: int, maps: Maps) -> dict[str, Form]:
    """Every other way to compute the same, by name, as far as it can be imported."""
    shapes = torch.tensor(sizes, device="cuda")
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    found: dict[str, Form] = {
        "reference": lambda value, locations, weights: reference.sample(value, locations, weights, maps)
    }

    def split(value: Tensor, locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        per_frame = (frames, -1, HEADS)
        places = locations[0].reshape(*per_frame, len(sizes), POINTS, 2)
        return value[0].reshape(*per_frame, CHANNELS), places, weights[0].reshape(*per_frame, len(sizes), POINTS)

    original = imported("MultiScaleDeformableAttention")
    if original is not None:

        class Original(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> Tensor:
                ctx.save_for_backward(*tensors)
                value, places, shares = tensors
                return original.ms_deform_attn_forward(value, shapes, starts, places, shares, IM2COL_STEP)

            @staticmethod
            def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
                value, places, shares = ctx.saved_tensors
                return tuple(
                    original.ms_deform_attn_backward(
                        value, shapes, starts, places, shares, grad_outputs[0].contiguous(), IM2COL_STEP
                    )
                )

        found["original"] = lambda *tensors: Original.apply(*(x.contiguous() for x in split(*tensors)))
    deformops = imported("deformops.registry")
    if deformops is not None:

        def fastest(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
            table, places, shares = split(value, locations, weights)
            return deformops.msda(table, shapes, starts, places, shares.to(table.dtype))

        found["deformops"] = fastest
    return found


def imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def measure_sampling(size: str, frames: int, dtype: torch.dtype) -> dict[str, Any]:
    from triton.testing import do_bench

    from maskreel.kernels import triton

    def time(step: Callable[[], object]) -> float:
        return do_bench(step, return_mode="median")

    maps = Maps.own_frame(SIZES[size], num_frames=frames)
    tensors = inputs(SIZES[size], frames, dtype)
    upstream = torch.randn_like(triton.forward(*tensors, maps))
    row: dict[str, Any] = {"size": size, "frames": frames, "dtype": str(dtype).removeprefix("torch.")}
    row["forward ms"] = time(lambda: triton.forward(*tensors, maps))
    row["backward ms"] = time(lambda: triton.backward(upstream, *tensors, maps))
    torch.use_deterministic_algorithms(True)
    try:
        row["deterministic backward ms"] = time(lambda: triton.backward(upstream, *tensors, maps))
    finally:
        torch.use_deterministic_algorithms(False)
    expected = triton.forward(*tensors, maps).float().flatten()
    for name, rival in rivals(SIZES[size], frames, maps).items():
        try:
            with torch.no_grad():
                difference = (rival(*tensors).float().flatten() - expected).abs().max() / expected.abs().max()
                row[f"{name} forward ms"] = time(lambda rival=rival: rival(*tensors))
            row[f"{name} difference"] = difference.item()
            row[f"{name} backward ms"] = time(gradients(rival, tensors))
        except (RuntimeError, TypeError, ValueError) as error:  # such as out of memory, or a type it does not take
            row[f"{name} failed"] = str(error).splitlines()[0][:80]
        torch.cuda.empty_cache()
    return row


def gradients(form: Form, tensors: tuple[Tensor, Tensor, Tensor]) -> Callable[[], object]:
    """The backward pass alone."""
    leaves = [x.detach().requires_grad_() for x in tensors]
    output = form(*leaves)
    upstream = torch.ones_like(output)
    return lambda: torch.autograd.grad(output, leaves, upstream, retain_graph=True)


def measure_seqformer(precision: Precision) -> dict[str, Any]:
    recipe = RECIPES["seqformer-r50-ytvis19"]()
    torch.manual_seed(0)
    options = PredictorOptions(clip_frames=FRAMES, clip_overlap=0, precision=precision)
    predictor = VideoPredictor(build_model(recipe.model), numbered(recipe.model.num_classes), options, device="cuda")
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "rendered.mp4"
        render_clip(video, frames=FRAMES, size=(360, 640))
        stages = measure_model(predictor, video, samples=10)
    frames = torch.zeros(FRAMES, 3, 360, 640, dtype=torch.uint8)
    clip = Clip(frames=frames, frame_index=torch.arange(FRAMES), video_id=0, size=(360, 640))
    batch = pad_clips([clip]).to("cuda")
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    runtime = predictor.runtime
    with torch.profiler.profile(activities=activities) as profiler:
        runtime.clip(runtime.frame_features(batch))
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    profile = {event.key: event.self_device_time_total / 1e3 for event in events[:15]}
    return {"precision": precision, "stages": [asdict(stage) for stage in stages], "device ms by operator": profile}


def main() -> None:
    parser = argparse.ArgumentParser(description="Times of the CUDA sampling backend and of SeqFormer R50.")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.exit(1, "this machine has no CUDA device\n")
    report: dict[str, Any] = {"hardware": hardware("cuda"), "sampling": [], "seqformer": []}
    print(report["hardware"])
    for size in SIZES:
        for frames in (5, 36):
            for dtype in (torch.float32, torch.bfloat16):
                row = measure_sampling(size, frames, dtype)
                report["sampling"].append(row)
                shown = (f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
                print("  ".join(shown), flush=True)
    for precision in ("float32", "bf16"):
        found = measure_seqformer(precision)
        report["seqformer"].append(found)
        for stage in found["stages"]:
            print(f"SeqFormer R50 {precision}, {stage['stage']}: {stage['frames_per_second']:.1f} frames per second")
        for name, spent in found["device ms by operator"].items():
            print(f"  {name[:60]:60s} {spent:8.2f} ms")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
