"""Deformable sampling as the runtimes compute it: by GridSample, or by Gather and one product.

    python benchmarks/graph_sampling.py [--json graph_sampling.json] [--samples 9] [--threads 2]

Two uses at the sizes of the papers: the encoder of SeqFormer R50 (one frame of 360x640, four levels, four points) and
that of Deformable VisTR (a clip of 300x540, whose 32 points lie in the volume). Forms of the first: a GridSample per
level, as exported; one Gather of all corners, summed by one product. Forms of the second: two GridSamples of one tall
map, as exported; GridSample in five dimensions (opset 20); one Gather. Every form is one ONNX graph, run by ONNX
Runtime and by OpenVINO; all forms of a use take turns in one process, after they were found to say the same.
"""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from maskreel.bench.protocol import hardware, take_turns
from maskreel.export.forms import sample_volume
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.runtimes import onnx, openvino
from maskreel.runtimes.graphs import Graph, first_line

HEADS, WIDTH = 8, 32
LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
VOLUME = (10, 17)
Form = tuple[int, Callable[[Tensor, Tensor, Tensor], Tensor]]
"""The opset that a form needs, and the form: value, locations and weights as `sample` takes them."""


class FormGraph(nn.Module):
    def __init__(self, form: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.form = form

    def forward(self, value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return self.form(value, locations, weights)


def gather_levels(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Rows of all corners of all points at once."""
    sides = torch.tensor(LEVELS, dtype=torch.float32)
    starts = torch.tensor([0, *torch.tensor([h * w for h, w in LEVELS]).cumsum(0)[:-1].tolist()])
    points = locations.shape[3] // len(LEVELS)
    height, width = (side.repeat_interleave(points) for side in sides.unbind(-1))
    x, y = locations[..., 0] * width - 0.5, locations[..., 1] * height - 0.5
    start = starts.repeat_interleave(points)
    return _gathered(value, weights, ((x, width), (y, height)), start)


def gather_volume(value: Tensor, locations: Tensor, weights: Tensor, frames: int) -> Tensor:
    sides = [torch.tensor([float(side)]) for side in (VOLUME[1], VOLUME[0], frames)]
    axes = tuple((locations[..., n] * side - 0.5, side) for n, side in enumerate(sides))
    return _gathered(value, weights, axes, torch.tensor(0))


def _gathered(value: Tensor, weights: Tensor, axes: tuple[tuple[Tensor, Tensor], ...], start: Tensor) -> Tensor:
    corners = [(torch.zeros_like(weights, dtype=torch.int64), weights)]
    stride = torch.ones_like(axes[0][1])
    for position, side in axes:
        low = position.floor()
        nearer = position - low
        grown = []
        for row, share in corners:
            for cell, part in ((low, 1 - nearer), (low + 1, nearer)):
                is_inside = (cell >= 0) & (cell < side)
                inside = torch.where(is_inside, cell, torch.zeros_like(cell))
                grown.append((row + (inside * stride).long(), share * part * is_inside))
        corners, stride = grown, stride * side
    rows = torch.cat([row + start for row, _ in corners], -1)
    shares = torch.cat([share for _, share in corners], -1)
    b, r, m, d = value.shape
    table = value.transpose(1, 2).reshape(b * m * r, d)
    block = (torch.arange(b)[:, None] * m + torch.arange(m)) * r
    read = table[rows + block[:, None, :, None]]
    return (shares[..., None, :] @ read)[..., 0, :]


def five_dimensions(value: Tensor, locations: Tensor, weights: Tensor, frames: int) -> Tensor:
    volume = rearrange(value, "b (t h w) m d -> (b m) d t h w", t=frames, h=VOLUME[0])
    grid = rearrange(2 * locations - 1, "b q m p xyz -> (b m) q p 1 xyz")
    samples = nn.functional.grid_sample(volume, grid, align_corners=False).squeeze(-1)
    return rearrange((samples * rearrange(weights, "b q m p -> (b m) 1 q p")).sum(-1), "(b m) d q -> b q m d", m=HEADS)


def uses(frames: int) -> dict[str, tuple[tuple[Tensor, ...], dict[str, Form]]]:
    """By use: inputs and forms."""
    torch.manual_seed(0)
    rows = sum(h * w for h, w in LEVELS)
    one = Maps.own_frame(LEVELS, num_frames=1)
    rows3 = frames * VOLUME[0] * VOLUME[1]
    return {
        "levels of a frame": (
            _inputs(rows, rows, points=16, axes=2),
            {
                "GridSample per level": (18, lambda v, x, w: sample(v, x, w, maps=one, backend="reference")),
                "one Gather": (18, gather_levels),
            },
        ),
        "volume of a clip": (
            _inputs(rows3, rows3, points=32, axes=3),
            {
                "two GridSamples": (18, lambda v, x, w: sample_volume(v, x, w, (frames, *VOLUME))),
                "GridSample in 5-D": (20, lambda v, x, w: five_dimensions(v, x, w, frames)),
                "one Gather": (18, lambda v, x, w: gather_volume(v, x, w, frames)),
            },
        ),
    }


def _inputs(rows: int, queries: int, *, points: int, axes: int) -> tuple[Tensor, ...]:
    value = torch.randn(1, HEADS, rows, WIDTH).transpose(1, 2)
    # Learned points lie near their query: so do these, in raster order.
    near = torch.linspace(0, 1, queries)[None, :, None, None, None] + 0.1 * torch.randn(1, queries, HEADS, points, axes)
    return value, near, torch.randn(1, queries, HEADS, points).softmax(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forms of deformable sampling in the runtimes.")
    parser.add_argument("--samples", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=36, help="of the clip whose volume is sampled")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for use, (inputs, forms) in uses(args.frames).items():
            steps, expected = {}, None
            for name, (opset, form) in forms.items():
                path = Path(folder) / f"{len(report)}-{len(steps)}.onnx"
                expected = form(*inputs) if expected is None else expected
                torch.onnx.export(FormGraph(form), inputs, str(path), opset_version=opset, dynamo=True, verbose=False)
                for runtime, open_graph in (("ONNX Runtime", onnx.open_graph), ("OpenVINO", open_converted)):
                    step = opened(open_graph, path, inputs, expected)
                    if isinstance(step, str):
                        print(f"{use}: {name}, {runtime}: {step}")
                    else:
                        steps[f"{name}, {runtime}"] = step
            report[use] = {name: asdict(times) for name, times in take_turns(steps, samples=args.samples).items()}
            for name, times in report[use].items():
                print(f"{use:20} {name:36} {times['p50']:9.1f} ms", flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps({"hardware": hardware(), "uses": report}, indent=1) + "\n")


def opened(
    open_graph: Callable[[Path], Graph], path: Path, inputs: tuple[Tensor, ...], expected: Tensor
) -> Callable[[], object] | str:
    """A call of the graph; or why the runtime cannot compute it."""
    try:
        graph = open_graph(path)
        shown = dict(zip(graph.inputs, inputs, strict=True))
        (found,) = graph.run(shown).values()
    except Exception as error:  # runtimes have errors of their own
        return first_line(error)
    assert (found - expected).abs().max() <= 1e-3 * expected.abs().max(), path
    return lambda: graph.run(shown)


def open_converted(path: Path) -> Graph:
    import openvino as ov

    ov.save_model(ov.convert_model(path), path.with_suffix(".xml"), compress_to_fp16=False)
    return openvino.open_graph(path.with_suffix(".xml"))


if __name__ == "__main__":
    main()
