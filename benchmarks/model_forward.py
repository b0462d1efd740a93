"""Ratios of whole models and layers: `python benchmarks/model_forward.py [--json FILE]`.

SeqFormer R50 with random weights on a clip of 5 frames of 360x640 (shown as 384x640, as `predict` pads it):

- Its forward pass, as `predict` runs it (tuned allocator, inference form, fast sampling; float32 and bf16), against the
  model as it is written with the reference backend (eager, contiguous float32, stock allocator). Allocator states
  exclude each other, so each side has a process of its own; the processes take turns, one call at a time.
- One encoder layer on 5 x 4,820 tokens, fast sampling against the reference backend, both in one process per allocator
  state.

Also prints how far the outputs of the inference form are from those of the model, in shares of the largest value.
Samples are taken as `maskreel.bench.protocol` says, except that the two processes share one calibration.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from states import STATES, State, enter, environment, in_each_state
from torch import Tensor, nn

from maskreel.bench.protocol import Step, hardware, take_turns
from maskreel.bench.sampling import FRAMES, LEVELS
from maskreel.geometry.grids import encoder_reference_points
from maskreel.kernels.backend import use_backend
from maskreel.models.folder import build_model
from maskreel.nn.encoders.framewise import FramewiseEncoderLayer
from maskreel.recipes.catalog import RECIPES
from maskreel.runtimes.precision import Precision
from maskreel.runtimes.pytorch import inference_form, number_format
from maskreel.structures import ClipBatch, ClipMemory, ClipPrediction
from maskreel.video.prepare import pad_frames

SIZE = (360, 640)
SIDES = ("reference", "float32", "bf16")


def clip() -> ClipBatch:
    torch.manual_seed(0)
    return pad_frames([torch.randn(FRAMES, 3, *SIZE)])


def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model(RECIPES["seqformer-r50-ytvis19"]().model).eval()


def forward(side: str) -> Callable[[], ClipPrediction]:
    batch = clip()
    if side == "reference":
        published = model()

        def reference() -> ClipPrediction:
            with torch.inference_mode(), use_backend("reference"):
                return published(batch)

        return reference
    form, precision = inference_form(model()), side

    def ours() -> ClipPrediction:
        with torch.inference_mode(), number_format(_precision(precision), torch.device("cpu")):
            return form(batch)

    return ours


def _precision(side: str) -> Precision:
    return "bf16" if side == "bf16" else "float32"


def outputs(prediction: ClipPrediction) -> dict[str, Tensor]:
    final = prediction.final
    assert final.masks is not None, "SeqFormer predicts masks"
    return {
        "classes": final.class_logits.float(),
        "boxes": final.boxes.float(),
        "masks": final.masks.select(0, torch.arange(20)).float(),
    }


class Worker:
    """A side in a process of its own, which makes one call whenever it is told to."""

    def __init__(self, side: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", side, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads),
        )  # fmt: skip

    def __call__(self) -> None:
        assert self._process.stdin is not None, "the process was started with pipes"
        assert self._process.stdout is not None, "the process was started with pipes"
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            sys.exit("a measured process ended before its time")

    def close(self) -> None:
        assert self._process.stdin is not None, "the process was started with pipes"
        self._process.stdin.close()
        self._process.wait()


def serve(side: str, *, threads: int) -> None:
    enter("stock" if side == "reference" else "tuned", threads=threads)
    step = forward(side)
    for _ in sys.stdin:
        step()
        print("done", flush=True)


def layer_steps() -> dict[str, Step]:
    torch.manual_seed(0)
    layer = FramewiseEncoderLayer(256, hidden=1024, num_levels=4, num_heads=8, num_points=4, dropout=0.1).eval()
    tokens = sum(h * w for h, w in LEVELS)
    memory = ClipMemory(
        tokens=torch.randn(1, FRAMES, tokens, 256),
        is_padding=torch.zeros(1, FRAMES, tokens, dtype=torch.bool),
        level_sizes=LEVELS,
        valid_ratios=torch.ones(1, 4, 2),
    )
    position = torch.randn(1, FRAMES, tokens, 256)
    references = encoder_reference_points(LEVELS, memory.valid_ratios)[:, None].expand(-1, FRAMES, -1, -1, -1)

    def run(backend: str) -> Step:
        def step() -> object:
            with torch.inference_mode(), use_backend("reference" if backend == "reference" else "cpu"):
                return layer(memory, position, references)

        return step

    return {"reference": run("reference"), "ours": run("cpu")}


def measure_layer(state: State, *, samples: int, threads: int) -> dict:
    enter(state, threads=threads)
    return {name: asdict(times) for name, times in take_turns(layer_steps(), samples=samples).items()}


def agreement() -> dict[str, dict[str, float]]:
    expected = outputs(forward("reference")())
    found = {}
    for side in SIDES[1:]:
        values = outputs(forward(side)())
        found[side] = {
            name: ((values[name] - tensor).abs().max() / tensor.abs().max()).item() for name, tensor in expected.items()
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios of whole models and layers.")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--samples", type=int, default=5, help="quiet samples per step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--state", choices=STATES, help="measure the layer in one allocator state in this process")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, threads=args.threads)
        return
    if args.state:
        print(json.dumps(measure_layer(args.state, samples=args.samples, threads=args.threads)))
        return
    torch.set_num_threads(args.threads)
    results: dict = {}
    for state, times in in_each_state(__file__, ["--samples", str(args.samples)], threads=args.threads):
        results[f"encoder layer, {state}"] = times
        print(f"encoder layer, {state} allocator: {line(times, 'ours')}", flush=True)
    workers = {side: Worker(side, args.threads) for side in SIDES}
    times = {name: asdict(t) for name, t in take_turns(workers, samples=args.samples).items()}
    for worker in workers.values():
        worker.close()
    results["forward"] = times
    for side in SIDES[1:]:
        print(f"SeqFormer R50 forward, {side}: {line(times, side)}", flush=True)
    results["difference"] = agreement()
    for side, shares in results["difference"].items():
        print(f"difference from the reference, {side}: " + ", ".join(f"{k} {v:.1e}" for k, v in shares.items()))
    if args.json:
        args.json.write_text(json.dumps({"hardware": hardware(), "results": results}, indent=1))


def line(times: dict, side: str) -> str:
    slow, fast = times["reference"], times[side]
    return (
        f"reference {slow['p50']:.0f} ms, ours {fast['p50']:.0f} ms, x{slow['p50'] / fast['p50']:.1f}, "
        f"best x{slow['best'] / fast['best']:.1f} (quiet samples {slow['quiet']}, {fast['quiet']})"
    )


if __name__ == "__main__":
    main()
