# pyright: reportMissingImports=false
# Triton is not installed everywhere.
"""What a GPU session measures (`gpu_session.py`), at full scale on a CUDA device or at a tiny one on a CPU."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import profile_steps
import torch
from torch import Tensor

import maskreel
from maskreel.bench.model import measure_model, render_clip
from maskreel.bench.protocol import hardware, peak_mebibytes
from maskreel.bench.sampling import LEVELS, sample_arguments, spatial_inputs
from maskreel.checkpoints.class_names import numbered
from maskreel.inference.predictor import PredictorOptions, VideoPredictor
from maskreel.kernels import reference
from maskreel.kernels.maps import Maps
from maskreel.models.folder import build_model
from maskreel.recipes.catalog import RECIPES
from maskreel.rendered.dials import SyntheticDials
from maskreel.runtimes.precision import Precision
from maskreel.training.step import AUTOCAST

Item = tuple[str, float, Callable[[], dict[str, Any]]]
SYSTEMS = ("seqformer", "vistr", "deformable-vistr", "ms-sts", "taformer", "tt-spn")
ARITHMETIC: dict[str, tuple[Precision, bool]] = {
    "float32": ("float32", False),
    "tf32": ("float32", True),
    "bf16": ("bf16", False),
}
"""Number format, and whether float32 products may be computed in TF32."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is."""

    device: str
    heads: int
    queries: int
    """Of every frame, where the kernels are compared with the reference."""
    few_levels: tuple[tuple[int, int], ...]
    """Of the maps on which the kernels are compared with the reference."""
    levels: tuple[tuple[int, int], ...]
    frames: tuple[int, ...]
    """Of a clip, where they are timed."""
    recipes: tuple[str, ...]
    many: int
    """How many of them are measured in every arithmetic and compiled; the others are in float32."""
    clip_frames: int
    size: tuple[int, int]
    """Rows and columns of a frame."""
    samples: int
    copied: int
    """Numbers in the copy that tells the bandwidth."""
    compiler: str
    videos: int
    """To learn from."""
    rungs: tuple[int, ...]
    """Steps of the learning ladder."""
    patience: float
    """How long an item may take, as a share of what it may take on a device."""


def full_scale() -> Scale:
    return Scale(
        device="cuda",
        heads=8,
        queries=70,
        few_levels=((5, 7), (3, 2), (1, 1)),
        levels=LEVELS,
        frames=(5, 36),
        recipes=tuple(f"{name}-{'twins' if name == 'tt-spn' else 'r50'}-ytvis19" for name in SYSTEMS),
        many=len(SYSTEMS),
        clip_frames=36,
        size=(360, 640),
        samples=10,
        copied=2**28,
        compiler="inductor",
        videos=200,
        rungs=(100, 400, 1600, 6400),
        patience=1.0,
    )


def dry_scale() -> Scale:
    return Scale(
        device="cpu",
        heads=1,
        queries=1,
        few_levels=((1, 2), (1, 1)),
        levels=((1, 1),),
        frames=(1,),
        recipes=tuple(f"{name}-tiny" for name in SYSTEMS),
        many=1,
        clip_frames=2,
        size=(32, 64),
        samples=1,
        copied=2**12,
        compiler="eager",
        videos=2,
        rungs=(1, 2),
        patience=0.0,
    )


class Timer:
    """Median milliseconds of a step: replays of a CUDA graph between events, or the clock on a CPU.

    A step that cannot be captured, such as one that asks the device for a number, is called between events instead.
    """

    def __init__(self, device: str, samples: int) -> None:
        self.is_cuda, self.samples = device == "cuda", samples

    def __call__(self, step: Callable[[], object]) -> float:
        step()
        once = self._events(self._captured(step)) if self.is_cuda else _clock(step)
        return median(once() for _ in range(self.samples))

    def _captured(self, step: Callable[[], object]) -> Callable[[], object]:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                step()
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                step()
        except RuntimeError:
            torch.cuda.synchronize()
            return step
        return graph.replay

    @staticmethod
    def _events(step: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            step()
            end.record()
            torch.cuda.synchronize()
            return start.elapsed_time(end)

        return once


def _clock(step: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        start = time.perf_counter()
        step()
        return 1e3 * (time.perf_counter() - start)

    return once


def every_item(scale: Scale) -> Iterator[Item]:
    """All but the ladder, the most wanted first; seconds are what an item may take on a device."""

    def item(name: str, seconds: float, step: Callable[[], dict[str, Any]]) -> Item:
        return name, scale.patience * seconds, step

    yield item("machine", 1, lambda: hardware(scale.device))
    for use, maps in uses(scale.few_levels).items():
        yield item(f"agreement, {use}", 5, lambda use=use, maps=maps: agreement(scale, use, maps))
    for frames in scale.frames:
        for dtype in (torch.float32, torch.bfloat16):
            name = f"sampling, {frames} frames, {str(dtype).removeprefix('torch.')}"
            yield item(name, 5, lambda frames=frames, dtype=dtype: sampling(scale, frames, dtype))
    for form in ("as it is", "compiled"):
        # Compiling takes a minute, so it comes after everything else and in one arithmetic.
        for arithmetic in ARITHMETIC if form == "as it is" else ("bf16",):
            every = (form, arithmetic) == ("as it is", "float32")
            for recipe in scale.recipes if every else scale.recipes[: scale.many]:
                name = f"{recipe}, {arithmetic}, {form}"
                seconds = 8 if form == "as it is" else 60

                def step(recipe: str = recipe, arithmetic: str = arithmetic, form: str = form) -> dict[str, Any]:
                    return whole(scale, recipe, arithmetic, is_compiled=form == "compiled")

                yield item(name, seconds, step)
            if form == "as it is":
                name = f"training step, {scale.recipes[0]}, {arithmetic}"
                yield item(name, 8, lambda arithmetic=arithmetic: training_step(scale, arithmetic))


# The kernels.


def uses(levels: tuple[tuple[int, int], ...]) -> dict[str, Maps]:
    return {
        "spatial": Maps.own_frame(levels, num_frames=3),
        "neighbours": Maps(level_sizes=levels, frames=((0, 1), (0, 2), (1, 2))),
        "space-time": Maps.every_frame(levels[:1], num_frames=3),
    }


def agreement(scale: Scale, use: str, maps: Maps) -> dict[str, Any]:
    """Largest differences from the reference in float64, in largest values; fails where they are more than rounding."""
    from maskreel.kernels import triton

    draw = torch.Generator().manual_seed(0)
    coordinates = 3 if use == "space-time" else 2
    points = maps.num_slots if coordinates == 2 else 2
    shape = (1, scale.queries * maps.num_groups, scale.heads, points)
    value = torch.randn(1, 3 * maps.rows_per_frame, scale.heads, 32, generator=draw).to(scale.device)
    places = (torch.rand(*shape, coordinates, generator=draw) * 1.6 - 0.3).to(scale.device)
    weights = torch.randn(shape, generator=draw).to(scale.device)
    found: dict[str, float] = {}
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 2 * torch.finfo(torch.bfloat16).eps)):
        table = value.to(dtype)
        leaves = [x.double().requires_grad_() for x in (table, places, weights)]
        expected = reference.sample(leaves[0], leaves[1], leaves[2], maps)
        upstream = torch.cos(torch.arange(expected.numel(), device=scale.device)).view_as(expected)
        gradients = torch.autograd.grad(expected, leaves, upstream.double())
        ours = [triton.forward(table, places, weights, maps)]
        ours += triton.backward(upstream.to(dtype), table, places, weights, maps)
        for name, one, other in zip(
            ("output", "value", "location", "weight"), ours, (expected, *gradients), strict=True
        ):
            difference = (one.double() - other).abs().max() / other.abs().max()
            found[f"{name}, {str(dtype).removeprefix('torch.')}"] = difference.item()
            if difference > bound:
                raise ArithmeticError(f"{name} in {dtype} is {difference.item():.1e} off, more than {bound:.0e}")
    _same_bits(lambda: triton.backward(upstream.to(table.dtype), table, places, weights, maps))
    return found


def _same_bits(step: Callable[[], tuple[Tensor, ...]]) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        if not all(torch.equal(one, other) for one, other in zip(step(), step(), strict=True)):
            raise ArithmeticError("the deterministic backward pass gives other bits the second time")
    finally:
        torch.use_deterministic_algorithms(False)


def sampling(scale: Scale, frames: int, dtype: torch.dtype) -> dict[str, Any]:
    """Times of the spatial use, every cell a query, and of the reference; shares of the bandwidth of a copy."""
    from maskreel.kernels import triton

    timer = Timer(scale.device, scale.samples)
    maps = Maps.own_frame(scale.levels, num_frames=frames)
    inputs = sample_arguments(*spatial_inputs(None, levels=scale.levels, frames=frames))
    value, places, weights = (x.to(scale.device) for x in inputs)
    value = value.to(dtype)
    source = torch.empty(scale.copied, device=scale.device)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / timer(lambda: target.copy_(source))
    upstream = torch.randn_like(triton.forward(value, places, weights, maps))
    # What must be read and written at least; the gradient of the table is cleared and written in float32.
    forward = 2 * value.nbytes + places.nbytes + weights.nbytes
    backward = 2 * value.nbytes + 2 * 4 * value.numel() + 2 * (places.nbytes + weights.nbytes)
    row: dict[str, Any] = {"copy GB/s": copy / 1e6}
    for name, traffic, step in (
        ("forward", forward, lambda: triton.forward(value, places, weights, maps)),
        ("backward", backward, lambda: triton.backward(upstream, value, places, weights, maps)),
    ):
        row[f"{name} ms"] = timer(step)
        row[f"{name}, share of copy"] = traffic / row[f"{name} ms"] / copy
    row["reference forward ms"] = timer(lambda: reference.sample(value, places, weights, maps))
    return row


# Whole models.


def whole(scale: Scale, name: str, arithmetic: str, *, is_compiled: bool) -> dict[str, Any]:
    """From a video file to run-length codes: frames per second and peak memory of every stage."""
    precision, has_tf32 = ARITHMETIC[arithmetic]
    config = RECIPES[name]().model
    torch.manual_seed(0)
    options = PredictorOptions(
        clip_frames=scale.clip_frames, clip_overlap=0, short_side=min(scale.size), precision=precision
    )
    predictor = VideoPredictor(build_model(config), numbered(config.num_classes), options, device=scale.device)
    if is_compiled:
        runtime: Any = predictor.runtime
        form = runtime.model
        form.frame_features = torch.compile(form.frame_features, backend=scale.compiler)
        form.clip = torch.compile(form.clip, backend=scale.compiler)
    with tempfile.TemporaryDirectory() as folder, _products(has_tf32=has_tf32):
        video = Path(folder) / "rendered.mp4"
        render_clip(video, frames=scale.clip_frames, size=scale.size)
        stages = measure_model(predictor, video, samples=scale.samples)
    return {
        stage.stage: {"frames per second": stage.frames_per_second, "peak MiB": stage.peak_memory_mib}
        for stage in stages
    }


def training_step(scale: Scale, arithmetic: str) -> dict[str, Any]:
    """One clip of 5 frames: forward, loss, backward, optimizer."""
    precision, has_tf32 = ARITHMETIC[arithmetic]
    step = profile_steps.training_step(scale.recipes[0], scale.size, device=scale.device, dtype=AUTOCAST[precision])
    with _products(has_tf32=has_tf32):
        return {
            "ms": Timer(scale.device, scale.samples)(step),
            "peak MiB": peak_mebibytes(step, scale.device),
        }


@contextmanager
def _products(*, has_tf32: bool) -> Iterator[None]:
    """Whether float32 products are computed in TF32, inside a block."""
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = has_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# Learning.


def ladder(scale: Scale, seconds_left: Callable[[], float]) -> Iterator[Item]:
    """seqformer-tiny on rendered video, rung by rung as long as the time of the one before leaves room for the next."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        seconds_a_step = 0.2 * scale.patience
        for steps in scale.rungs:

            def rung(steps: int = steps) -> dict[str, Any]:
                nonlocal seconds_a_step
                _render(data, scale)
                start = time.monotonic()
                options = {"data.workers": 0, "training.validate_every": steps, "training.warmup": min(100, steps)}
                out = Path(folder) / f"run-{steps}"
                run = maskreel.train(
                    "seqformer-tiny", data, out=out, steps=steps, device=scale.device, options=options, quiet=True
                )
                seconds_a_step = scale.patience * (time.monotonic() - start) / steps
                found = maskreel.evaluate(run, data, device=scale.device).overall
                return {"steps": steps, "AP": found["AP"], "AP50": found["AP50"]}

            yield f"ladder, {steps} steps", seconds_a_step * steps + 20 * scale.patience, rung


def _render(data: Path, scale: Scale) -> None:
    """Once: videos to learn from, and a fifth as many to measure."""
    if not data.exists():
        dials = SyntheticDials(frames=12 if scale.device == "cuda" else 4)
        maskreel.render_dataset(data, videos=scale.videos, split="train", dials=dials)
        maskreel.render_dataset(data, videos=max(1, scale.videos // 5), split="valid", seed=10_000, dials=dials)
