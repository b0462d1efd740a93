"""What time costs in the encoder: MS-STS and TAFormer beside SeqFormer, `python benchmarks/temporal_encoders.py`.

Setting: the published encoders (width 256, 6 layers, 4 levels of 5 frames of 360x640), forward pass in inference mode,
CPU backend on all sides, allocator tuned as the command line does it. The encoders take turns in one process; the least
of the repeats counts. Memory: growth of the peak of a process that does one pass, one process each. `--profile` says
where the time goes, operator by operator.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from maskreel.bench.protocol import process_peak, reset_peak
from maskreel.bench.sampling import FRAMES, LEVELS
from maskreel.kernels.allocator import tune_allocator
from maskreel.models import ms_sts, taformer
from maskreel.models.parts.box_queries import DeformableTransformer
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.parts.split_scale import SplitScale
from maskreel.nn.encoders.framewise import FramewiseEncoder
from maskreel.structures import FeatureMap

WIDTH = 256


def framewise() -> nn.Module:
    return FramewiseEncoder(**DeformableTransformer().encoder_sizes())


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "seqformer": framewise,
    "ms_sts": lambda: ms_sts.build_encoder(ms_sts.MSSTSConfig()),
    "ms_sts, intra only": lambda: ms_sts.build_encoder(ms_sts.MSSTSConfig(split=SplitScale(inter=None))),
    "taformer": lambda: taformer.build_encoder(taformer.TAFormerConfig()),
    "taformer, fusion add": lambda: taformer.build_encoder(
        taformer.TAFormerConfig(neighbours=Neighbours(fusion="add"))
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Encoder time and memory of the temporal systems.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--memory-of", choices=tuple(ENCODERS), default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    tune_allocator()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.memory_of is not None:
        print(json.dumps(memory_of(args.memory_of)))
        return
    seconds = in_turns(args.repeats)
    words = [sys.executable, __file__, "--threads", str(args.threads), "--memory-of"]
    rows: dict[str, dict[str, Any]] = {}
    for name, value in seconds.items():
        megabytes = json.loads(subprocess.run([*words, name], stdout=subprocess.PIPE, text=True, check=True).stdout)
        rows[name] = {"seconds": value, "ratio": value / seconds["seqformer"], "megabytes": megabytes}
    print("| encoder | ms | of SeqFormer's | extra peak MB |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {1000 * row['seconds']:.0f} | {row['ratio']:.2f} | {row['megabytes']:.0f} |")
    if args.profile:
        for name in ENCODERS:
            print(f"\n{name}\n{profiled(name)}")
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


def clip(sizes: Sequence[tuple[int, int]] = LEVELS) -> tuple[FeatureMap, ...]:
    return tuple(
        FeatureMap(
            values=torch.randn(1, FRAMES, WIDTH, *size),
            is_padding=torch.zeros(1, FRAMES, *size, dtype=torch.bool),
            stride=8 << level,
        )
        for level, size in enumerate(sizes)
    )


def ready(name: str) -> nn.Module:
    """An encoder in evaluation mode whose attention has left its first, regular pattern."""
    model = ENCODERS[name]().eval()
    for module_name, parameter in model.named_parameters():
        if "sampling_offsets.weight" in module_name or "attention_weights.weight" in module_name:
            nn.init.normal_(parameter, std=0.02)
    return model


def in_turns(repeats: int) -> dict[str, float]:
    """Least seconds of a pass of every encoder, after one to warm up."""
    pyramid = clip()
    models = {name: ready(name) for name in ENCODERS}
    best = dict.fromkeys(models, float("inf"))
    with torch.inference_mode():
        for index in range(repeats + 1):
            for name, model in models.items():
                start = time.perf_counter()
                model(pyramid)
                if index:
                    best[name] = min(best[name], time.perf_counter() - start)
    return best


def memory_of(name: str) -> float:
    """Growth of the peak in MB by one forward pass, after a pass over a clip of a few cells."""
    model, pyramid = ready(name), clip()
    with torch.inference_mode():
        model(clip(((8, 8), (4, 4), (2, 2), (1, 1))))
        reset_peak()
        before = process_peak()
        model(pyramid)
        return process_peak() - before


def profiled(name: str, rows: int = 9) -> str:
    model, pyramid = ready(name), clip()
    with torch.inference_mode():
        model(pyramid)
        with profile(activities=[ProfilerActivity.CPU]) as record:
            model(pyramid)
    events = sorted(record.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    return "\n".join(
        f"  {event.key:40} {event.self_cpu_time_total / 1000:8.1f} ms {100 * event.self_cpu_time_total / whole:5.1f} %"
        for event in events[:rows]
    )


if __name__ == "__main__":
    main()
