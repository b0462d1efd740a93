"""Ratios of the CPU sampling backend over grid_sample, in all uses: `python benchmarks/sampling.py [--json FILE]`.

One process per allocator state (stock, and tuned as the command line does it); inside it both sides take turns, as
`maskreel.bench.protocol` says. Settings and slow sides are those of `maskreel.bench.sampling`.
"""

import argparse
import ctypes
import json
from dataclasses import asdict
from pathlib import Path

from states import STATES, State, enter, in_each_state

from maskreel.bench.protocol import hardware, process_peak, reset_peak, take_turns
from maskreel.bench.sampling import FRAMES, LEVELS, cases, sample_arguments, spatial_inputs
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample


def forward_memory(queries: int | None) -> float:
    """MiB by which one forward pass raises the peak of the process, its output included."""
    arguments = sample_arguments(*spatial_inputs(queries))
    maps = Maps.own_frame(LEVELS, num_frames=FRAMES)
    # Compilation has a peak of its own; what is compiled does not depend on sizes.
    sample(*(x[:, : x.shape[1] // FRAMES] for x in arguments), maps=Maps.own_frame(LEVELS, num_frames=1))
    ctypes.CDLL(None).malloc_trim(0)  # or the pass would be served from what the inputs' making has left over
    reset_peak()
    before = process_peak()
    sample(*arguments, maps=maps)
    return process_peak() - before


def measure(state: State, names: list[str], *, samples: int, threads: int) -> dict:
    enter(state, threads=threads)
    found: dict = {}
    if state == "stock":  # the tuned allocator keeps what earlier calls used
        settings = (("encoder", None), ("decoder", 300))
        found["forward memory MiB"] = {setting: forward_memory(queries) for setting, queries in settings}
    for name, make in cases().items():
        if name in names:
            found[name] = {step: asdict(times) for step, times in take_turns(make(), samples=samples).items()}
    return found


def report(results: dict[State, dict]) -> str:
    lines = []
    for state, found in results.items():
        memory = found.pop("forward memory MiB", {})
        added = [f"{size:.1f} MiB are added by a forward pass ({setting})" for setting, size in memory.items()]
        lines.append("; ".join([f"{state} allocator", *added]))
        for name, steps in found.items():
            for kind, label in (("forward", "forward"), ("both", "forward+backward")):
                slow, fast = steps[f"published {kind}"], steps[f"ours {kind}"]
                lines.append(
                    f"  {name:28s} {label:17s} published {slow['p50']:8.1f} ms   ours {fast['p50']:7.1f} ms   "
                    f"x{slow['p50'] / fast['p50']:5.1f}   best x{slow['best'] / fast['best']:5.1f}   "
                    f"(quiet samples {slow['quiet']}, {fast['quiet']})"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios of our CPU sampling over grid_sample.")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--cases", nargs="+", default=list(cases()), choices=list(cases()))
    parser.add_argument("--samples", type=int, default=5, help="quiet samples per step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--state", choices=STATES, help="measure one allocator state in this process")
    args = parser.parse_args()
    if args.state:
        print(json.dumps(measure(args.state, args.cases, samples=args.samples, threads=args.threads)))
        return
    options = ["--samples", str(args.samples), "--cases", *args.cases]
    results = dict(in_each_state(__file__, options, threads=args.threads))
    if args.json:
        args.json.write_text(json.dumps({"hardware": hardware(), "results": results}, indent=1))
    print(report(results))


if __name__ == "__main__":
    main()
