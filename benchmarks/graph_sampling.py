"""Deformable sampling in other runtimes, by GridSample and by Gather.

    python benchmarks/graph_sampling.py [--threads 2]

One encoder layer's samples of a 360x640 frame in a pyramid of four levels (4,820 queries, 8 heads, 4 points per level,
32 channels), as ONNX Runtime and OpenVINO compute them when the graph holds the reference form, one GridSample per
level, and when it holds four Gathers of all levels' corners; beside them PyTorch's reference and our kernel. All forms
agree to 1e-4 of the largest value, or the script fails. They take turns, round after round; the least time counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from maskreel.export.graphs import TracedGraph
from maskreel.export.writers import write_onnx, write_openvino
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.runtimes import onnx, openvino

LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
HEADS, POINTS, CHANNELS = 8, 4, 32
ROWS = sum(h * w for h, w in LEVELS)
NAMES = ("value", "locations", "weights")


class ByGridSample(nn.Module):
    def forward(self, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        maps = Maps.own_frame(LEVELS, num_frames=1)
        return sample(value, locations, weights, maps=maps, backend="reference")


class ByGather(nn.Module):
    """Rows of the value table by number, four for each sample."""

    def __init__(self) -> None:
        super().__init__()
        sides = torch.tensor(LEVELS).repeat_interleave(POINTS, 0)
        starts = torch.tensor([sum(h * w for h, w in LEVELS[:level]) for level in range(len(LEVELS))])
        self.register_buffer("height", sides[:, 0])
        self.register_buffer("width", sides[:, 1])
        self.register_buffer("start", starts.repeat_interleave(POINTS) + torch.arange(HEADS)[:, None] * ROWS)

    def forward(self, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        table = value[0].transpose(0, 1).flatten(0, 1)
        x, y = locations[0, ..., 0] * self.width - 0.5, locations[0, ..., 1] * self.height - 0.5
        left, top = x.floor(), y.floor()
        total = None
        for right in (0, 1):
            for down in (0, 1):
                column, row = left + right, top + down
                share = (1 - (x - column).abs()) * (1 - (y - row).abs()) * weights[0]
                is_inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
                nearest = row.clamp(min=0).minimum(self.height - 1) * self.width + column.clamp(min=0).minimum(
                    self.width - 1
                )
                part = table[(nearest.long() + self.start).flatten()].unflatten(0, share.shape)
                part = (part * (share * is_inside)[..., None]).sum(2)
                total = part if total is None else total + part
        assert total is not None
        return total[None]


def main() -> None:
    parser = argparse.ArgumentParser(description="Deformable sampling in other runtimes.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(1, ROWS, HEADS, CHANNELS, generator=generator)
    locations = 1.1 * torch.rand(1, ROWS, HEADS, len(LEVELS) * POINTS, 2, generator=generator) - 0.05
    weights = torch.rand(locations.shape[:-1], generator=generator).softmax(-1)
    inputs = dict(zip(NAMES, (value, locations, weights), strict=True))
    with tempfile.TemporaryDirectory() as name:
        ways = runtimes(Path(name), inputs)
        expected = ways["PyTorch, reference"]()
        for way, call in ways.items():
            assert (call() - expected).abs().max() <= 1e-4 * expected.abs().max(), way
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(args.rounds):
            for way, call in ways.items():
                begin = time.perf_counter()
                call()
                best[way] = min(best[way], time.perf_counter() - begin)
    for way, seconds in best.items():
        print(f"{way:28} {1000 * seconds:8.1f} ms")


@torch.no_grad()
def runtimes(folder: Path, inputs: dict[str, Tensor]) -> dict[str, Callable[[], Tensor]]:
    maps = Maps.own_frame(LEVELS, num_frames=1)
    ways: dict[str, Callable[[], Tensor]] = {
        "PyTorch, reference": lambda: ByGridSample()(*inputs.values()),
        "PyTorch, our kernel": lambda: sample(*inputs.values(), maps=maps),
    }
    for name, form in (("GridSample", ByGridSample()), ("Gather", ByGather())):
        path = folder / f"{name}.onnx"
        program = torch.export.export(form, tuple(inputs.values()))
        write_onnx(TracedGraph(program=program, inputs=NAMES, outputs=("sampled",)), path)
        write_openvino(path, path.with_suffix(".xml"))
        for runtime, graph in (
            ("ONNX Runtime", onnx.open_graph(path)),
            ("OpenVINO", openvino.open_graph(path.with_suffix(".xml"))),
        ):
            ways[f"{runtime}, {name}"] = lambda graph=graph: graph.run(inputs)["sampled"]
    return ways


if __name__ == "__main__":
    main()
