"""Where the time of one prediction and of one training step goes, and what the floor is.

`python benchmarks/profile_steps.py [--model RECIPE] [--json FILE]`, on the CPU, with the allocator tuned as the command
line does it. A step is timed, then run once under PyTorch's profiler, whose operators are summed by kind: each kind's
share of them is its share of the time. The floor is what the processor's matrix rate, measured here by a product of
2048 x 2048 float32 matrices, needs for the convolutions and matrix products of the step, which are counted; everything
else would be free.
"""

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from maskreel.bench.protocol import hardware
from maskreel.inference.postprocess import clip_detections
from maskreel.kernels.allocator import tune_allocator
from maskreel.models.folder import build_criterion, build_model
from maskreel.nn.layers.checkpointing import checkpoint_activations
from maskreel.recipes.catalog import RECIPES
from maskreel.runtimes.precision import Precision
from maskreel.runtimes.pytorch import inference_form, number_format
from maskreel.structures import ClipBatch, ClipTarget
from maskreel.training.objective import Objective
from maskreel.training.optimizer import Optimizers
from maskreel.training.recipe import Checkpointing
from maskreel.video.prepare import pad_frames

FRAMES = 5
KINDS = {
    "convolutions": r"aten::(mkldnn_convolution|_?convolution|convolution_backward|thnn_conv.*)$",
    "matrix products": r"aten::(addmm|mm|bmm|baddbmm|linear|_scaled_dot_product.*|mkldnn_linear)$",
    "deformable sampling": r"maskreel::.*",
    "norms and softmax": r"aten::.*(norm|softmax).*",
    "copies and layouts": r"aten::(copy_|_to_copy|cat|stack|contiguous|clone|index|index_put_|gather|fill_|zero_)$",
    "optimizer": r"aten::_foreach.*|aten::_fused.*",
}
"""Kinds of operators by name; the rest is element-wise."""
REPEATS = 5


def clip(size: tuple[int, int], clips: int = 1) -> ClipBatch:
    torch.manual_seed(0)
    return pad_frames([torch.randn(FRAMES, 3, *size) for _ in range(clips)])


def target(size: tuple[int, int], objects: int = 3) -> ClipTarget:
    masks = torch.zeros(objects, FRAMES, *size, dtype=torch.bool)
    masks[..., : size[0] // 2, : size[1] // 3] = True
    return ClipTarget(
        labels=torch.arange(objects),
        boxes=torch.tensor([1 / 6, 0.25, 1 / 3, 0.5]).expand(objects, FRAMES, 4).clone(),
        masks=masks,
        is_visible=torch.ones(objects, FRAMES, dtype=torch.bool),
        track_id=torch.arange(objects),
    )


def prediction_step(name: str, size: tuple[int, int], precision: Precision) -> Callable[[], object]:
    torch.manual_seed(0)
    form, batch = inference_form(build_model(RECIPES[name]().model)).requires_grad_(False), clip(size)

    # Not inference mode, in which operations cannot be counted.
    @torch.no_grad()
    def step() -> object:
        with number_format(precision, torch.device("cpu")):
            return clip_detections(form(batch), top_k=10, source_size=size, network_size=size)

    return step


def training_step(
    name: str,
    size: tuple[int, int],
    *,
    clips: int = 1,
    checkpointing: Checkpointing = "none",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Callable[[], object]:
    """Forward, loss, backward and optimizer over a batch of clips, the forward pass in `dtype`."""
    torch.manual_seed(0)
    recipe = RECIPES[name]()
    objective = Objective(build_model(recipe.model), build_criterion(recipe.model)).to(device).train()
    if checkpointing != "none":
        checkpoint_activations(objective, checkpointing)
    optimizers = Optimizers(objective, recipe.training)
    batch, wanted = clip(size, clips).to(device), [target(size).to(device) for _ in range(clips)]

    def step() -> object:
        objective.zero_grad()
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            losses = objective(batch, wanted)
        torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        return optimizers.step(torch.amp.GradScaler(device, enabled=False))

    return step


def matrix_rate() -> float:
    """Floating-point operations per second of a large float32 product."""
    a = torch.randn(2048, 2048)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def measure(step: Callable[[], object], rate: float) -> dict:
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    whole = median(times)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    kinds: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, event.key)), None)
        if kind is None:
            kind = "element-wise and the rest" if event.key.startswith("aten::") else "outside of operators"
        kinds[kind] += event.self_cpu_time_total / 1e3
    operations, total = counter.get_total_flops(), sum(kinds.values())
    return {
        "ms": whole,
        "shares": {kind: spent / total for kind, spent in kinds.items()},
        "gflop": operations / 1e9,
        "floor_ms": 1e3 * operations / rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the time goes, and what the floor is.")
    parser.add_argument("--model", default="seqformer-r50-ytvis19", choices=list(RECIPES))
    parser.add_argument("--size", nargs=2, type=int, default=(360, 640), help="rows and columns of the frames")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tune_allocator()
    torch.set_num_threads(args.threads)
    # After a few steps on noise gradients fall below the smallest normal number, which takes the processor ten times as
    # long; those of real training do not.
    torch.set_flush_denormal(True)
    rate, size = matrix_rate(), tuple(args.size)
    print(f"{args.model}, {FRAMES} frames of {size[0]}x{size[1]}; matrix rate {rate / 1e9:.0f} GFLOP/s")
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        "prediction": lambda: prediction_step(args.model, size, "float32"),
        "prediction, bf16": lambda: prediction_step(args.model, size, "bf16"),
        "training step": lambda: training_step(args.model, size),
    }
    results = {}
    for name, make in makers.items():
        figures = results[name] = measure(make(), rate)
        print(f"{name}: {figures['ms']:.0f} ms; floor {figures['floor_ms']:.0f} ms for {figures['gflop']:.0f} GFLOP")
        for kind, share in sorted(figures["shares"].items(), key=lambda pair: -pair[1]):
            print(f"  {kind:28s} {share * figures['ms']:8.0f} ms  {100 * share:4.0f} %", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"hardware": hardware(), "gflops": rate / 1e9, "results": results}, indent=1))


if __name__ == "__main__":
    main()
