"""A training step, and clips of 36 frames, beside the public form of the same model: seconds and peak memory.

    python benchmarks/public_forms.py                       # all cases
    python benchmarks/public_forms.py --cases training --repeats 1

The public form, so named because it is not the authors' code: the same model as it is written, with the reference
backend (`grid_sample` by level), attention written out, eager, contiguous float32, stock allocator; training steps have
our losses and optimizer on both sides. Ours is what the commands run; `stages` and `layers` are choices of
`--training.checkpointing`.

- `training`: a step of SeqFormer R50 on 2 clips of 5 frames of 360x640, three objects each.
- `vistr`, `tt-spn`: forward pass with the masks of all objects, 36 frames of 300x540.

Every line is a process of its own; the least of the repeats counts, after a call that does not where there are several.
The peak is that of the whole process from start to end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any, Literal

import profile_steps
import torch
from states import enter, environment
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskreel.kernels.backend import use_backend
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES
from maskreel.runtimes.pytorch import inference_form
from maskreel.video.prepare import pad_frames

Side = Literal["public", "ours", "stages", "layers"]
CASES: dict[str, tuple[Side, ...]] = {
    "training": ("public", "ours", "stages", "layers"),
    "vistr": ("public", "ours"),
    "tt-spn": ("public", "ours"),
}
FORWARD = {"vistr": "vistr-r50-ytvis19", "tt-spn": "tt-spn-twins-ytvis19"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps and clips beside the public form of the same model.")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--sides", nargs="+", default=None, help="only these")
    parser.add_argument("--frames", type=int, default=36, help="of the forward passes")
    parser.add_argument("--clips", type=int, default=2, help="of a training step")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(measure(json.loads(args.child))))
        return
    for case in args.cases:
        results: dict[str, dict[str, float]] = {}
        for side in args.sides or CASES[case]:
            task = {"case": case, "side": side, "frames": args.frames, "clips": args.clips}
            task |= {"repeats": args.repeats, "threads": args.threads}
            results[side] = run(task)
            print(line(case, side, results), flush=True)


def line(case: str, side: str, results: dict[str, dict[str, float]]) -> str:
    found = results[side]
    text = f"{case:9} {side:7} {found['seconds']:7.2f} s, {found['cpu']:7.2f} s of processors, {found['peak']:6.0f} MiB"
    if side != "public" and "public" in results:
        public = results["public"]
        text += f"; {public['seconds'] / found['seconds']:.2f} times as fast"
        text += f", {found['peak'] / public['peak']:.2f} of the memory"
    return text


def run(task: dict[str, Any]) -> dict[str, float]:
    """What a process of its own measures, with its peak in MiB."""
    words = [sys.executable, __file__, "--child", json.dumps(task)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(task["threads"])) as process:
        assert process.stdout is not None, "a pipe was asked for"
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{task['case']}, {task['side']}: exit code {process.returncode}, perhaps for want of memory")
    return {**json.loads(output), "peak": usage.ru_maxrss / 1024}


def measure(task: dict[str, Any]) -> dict[str, float]:
    is_public = task["side"] == "public"
    enter("stock" if is_public else "tuned", threads=task["threads"])
    # Gradients of noise fall below the smallest normal number; those of real training do not.
    torch.set_flush_denormal(True)
    step, best = (training if task["case"] == "training" else forward)(task), {"seconds": float("inf"), "cpu": 0.0}
    with ExitStack() as stack:
        stack.enter_context(use_backend("reference") if is_public else nullcontext())
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]) if is_public else nullcontext())
        for turn in range(task["repeats"] + (task["repeats"] > 1)):
            begun = time.perf_counter(), time.process_time()
            step()
            taken = {"seconds": time.perf_counter() - begun[0], "cpu": time.process_time() - begun[1]}
            if turn or task["repeats"] == 1:
                best = min(best, taken, key=lambda one: one["seconds"])
    return best


def training(task: dict[str, Any]) -> Callable[[], object]:
    side = task["side"]
    return profile_steps.training_step(
        "seqformer-r50-ytvis19",
        (360, 640),
        clips=task["clips"],
        checkpointing="none" if side in ("public", "ours") else side,
    )


def forward(task: dict[str, Any]) -> Callable[[], object]:
    torch.manual_seed(0)
    config = RECIPES[FORWARD[task["case"]]]().model
    model, clip = build_model(config).eval(), pad_frames([torch.randn(task["frames"], 3, 300, 540)])
    model = model if task["side"] == "public" else inference_form(model)

    @torch.inference_mode()
    def step() -> object:
        final = model(clip).final
        return final.masks.select(0, torch.arange(config.queries.count))

    return step


if __name__ == "__main__":
    main()
