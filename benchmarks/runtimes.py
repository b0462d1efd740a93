"""Seconds per clip and peak memory of one model in every form that it can run in, each in a process of its own.

    maskreel export RUN model-onnx --format onnx     # and so on: openvino, torch, --precision int8
    python benchmarks/runtimes.py RUN model-onnx model-openvino model-onnx-int8 [--json runtimes.json]

RUN is what PyTorch runs as `predict` has it: a run, a model folder, or a recipe, whose weights are drawn at random as
`maskreel export` draws them. All forms have the allocator of the command line. The clip has the frames and the size
that the first exported folder was written for. A call is the whole of it: features of every frame, the clip, and masks
of ten queries. Forms take turns, one call each, round after round, so that what else happens on the machine meets all
of them; the least time of a form counts.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from maskreel.bench.protocol import hardware, process_peak, reset_peak
from maskreel.cli.export import loaded_model
from maskreel.export.proof import most_certain
from maskreel.kernels.allocator import tune_allocator
from maskreel.models.folder import is_exported
from maskreel.runtimes.folder import load_runnable
from maskreel.runtimes.protocol import Runtime
from maskreel.runtimes.pytorch import PyTorchRuntime
from maskreel.video.prepare import pad_frames


def main() -> None:
    parser = argparse.ArgumentParser(description="One model in every form that it can run in.")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--serve", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.runs[0], json.loads(args.serve), args.threads)
        return
    shape = next(json.loads((Path(run) / "graphs.json").read_text()) for run in args.runs if is_exported(Path(run)))
    clip = json.dumps({"frames": shape["frames"], "size": shape["size"]})
    servers = {run: start(run, clip, args.threads) for run in args.runs}
    rows = {run: {"run": run, "seconds": float("inf"), **json.loads(ask(server))} for run, server in servers.items()}
    for _ in range(args.rounds):
        for run, server in servers.items():
            answer = json.loads(ask(server, "go\n"))
            rows[run] |= {"seconds": min(rows[run]["seconds"], answer["seconds"]), "peak_mib": answer["peak_mib"]}
    for server in servers.values():
        server.communicate("")
    print(f"{shape['frames']} frames of {shape['size'][0]}x{shape['size'][1]}, {args.threads} threads")
    for row in rows.values():
        print(f"{row['run']:40} {row['form']:22} {row['seconds']:9.3f} s {row['peak_mib']:8.0f} MiB")
    if args.json is not None:
        report = {"hardware": hardware(), "clip": json.loads(clip), "rows": list(rows.values())}
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def start(run: str, clip: str, threads: int) -> "subprocess.Popen[str]":
    words = [sys.executable, __file__, run, "--serve", clip, "--threads", str(threads)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(server: "subprocess.Popen[str]", word: str = "") -> str:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(word)
    server.stdin.flush()
    return server.stdout.readline()


def serve(run: str, clip: dict[str, Any], threads: int) -> None:
    """Opens one form, computes the clip once, and then once more for every line on stdin."""
    tune_allocator()
    torch.set_num_threads(threads)
    reset_peak()
    runtime, form = opened(run)
    generator = torch.Generator().manual_seed(0)
    batch = pad_frames([torch.randn(clip["frames"], 3, *clip["size"], generator=generator)])

    def call() -> float:
        begin = time.perf_counter()
        prediction = runtime.clip(runtime.frame_features(batch))
        runtime.masks(prediction, 0, most_certain(prediction, 0))
        return time.perf_counter() - begin

    call()
    print(json.dumps({"form": form}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": call(), "peak_mib": process_peak()}), flush=True)


def opened(run: str) -> tuple[Runtime, str]:
    if is_exported(Path(run)):
        shape = json.loads((Path(run) / "graphs.json").read_text())
        runtime = load_runnable(run).model
        assert isinstance(runtime, Runtime)
        return runtime, f"{shape['format']} {shape['precision']}"
    return PyTorchRuntime(loaded_model(run).model), "PyTorch"


if __name__ == "__main__":
    main()
