"""The sampling primitive against a plain loop, grid_sample in float64 and numerical derivatives, in all its uses."""

import itertools
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from maskreel.kernels.maps import ABSENT, Maps
from maskreel.kernels.sampling import sample

LEVELS = ((5, 7), (3, 2), (1, 1))
FRAMES = 3

USES = {
    "spatial": (Maps.own_frame(LEVELS, num_frames=FRAMES), 2),
    "one level": (Maps.own_frame(((4, 6),), num_frames=FRAMES), 2),
    "one cell": (Maps.own_frame(((1, 1),), num_frames=FRAMES), 2),
    "neighbours": (Maps(level_sizes=LEVELS, frames=((0, 1), (0, 2), (1, 2))), 2),
    "clamped neighbours": (Maps(level_sizes=LEVELS, frames=((0, 0), (0, 2), (2, 2))), 2),
    "absent neighbours": (Maps(level_sizes=LEVELS, frames=((ABSENT, 1), (0, ABSENT), (ABSENT, ABSENT))), 2),
    "some levels": (Maps(level_sizes=LEVELS, frames=((1,), (2,), (0,)), levels=(2, 0)), 2),
    "frames as levels": (Maps.every_frame(((4, 3),), num_frames=FRAMES), 2),
    "space-time": (Maps.every_frame(((4, 3),), num_frames=FRAMES), 3),
    "space-time windows": (Maps(level_sizes=LEVELS, frames=((0, 1), (1, 2)), levels=(1,)), 3),
    "space-time, one frame": (Maps.every_frame(((4, 3),), num_frames=1), 3),
}


def inputs(
    maps: Maps, coordinates: int, *, per_slot=2, queries=3, heads=2, channels=5, clips=2, seed=0
) -> list[Tensor]:
    """Value, locations (a good part of them outside) and weights, float64."""
    draw = torch.Generator().manual_seed(seed)
    frames = max(max(group) for group in maps.frames) + 1
    points = per_slot * (maps.num_slots if coordinates == 2 else 1)
    shape = (clips, queries * maps.num_groups, heads, points)
    value = torch.randn(clips, frames * maps.rows_per_frame, heads, channels, generator=draw, dtype=torch.float64)
    locations = torch.rand(*shape, coordinates, generator=draw, dtype=torch.float64) * 1.6 - 0.3
    return [value, locations, torch.randn(shape, generator=draw, dtype=torch.float64)]


def by_hand(value: Tensor, locations: Tensor, weights: Tensor, maps: Maps) -> Tensor:
    """The definition, point by point and corner by corner."""
    clips, queries, heads, points = weights.shape
    output = torch.zeros(clips, queries, heads, value.shape[3], dtype=value.dtype)
    for b, q, m, p in itertools.product(range(clips), range(queries), range(heads), range(points)):
        group = maps.frames[q // (queries // maps.num_groups)]
        if locations.shape[4] == 3:
            start, height, width = maps.sampled[0]
            depth = len(group)
        else:
            slot = p // (points // maps.num_slots)
            start, height, width = maps.sampled[slot % len(maps.sampled)]
            group, depth = group[slot // len(maps.sampled) :][:1], 1
        sizes = (width, height, depth)[: locations.shape[4]]
        cell = [float(c) * size - 0.5 for c, size in zip(locations[b, q, m, p], sizes, strict=True)]
        low = [int(torch.tensor(c).floor()) for c in cell]
        for corner in itertools.product((0, 1), repeat=len(cell)):
            place = [i + step for i, step in zip(low, corner, strict=True)]
            if not all(0 <= i < size for i, size in zip(place, sizes, strict=True)):
                continue
            share = 1.0
            for c, i, step in zip(cell, low, corner, strict=True):
                share *= (c - i) if step else 1 - (c - i)
            frame = group[place[2] if len(place) == 3 else 0]
            if frame != ABSENT:
                row = frame * maps.rows_per_frame + start + place[1] * width + place[0]
                output[b, q, m] += weights[b, q, m, p] * share * value[b, row, m]
    return output


def run(tensors: list[Tensor], maps: Maps, backend) -> list[Tensor]:
    """Output and the three gradients."""
    leaves = [x.detach().requires_grad_() for x in tensors]
    output = sample(*leaves, maps=maps, backend=backend)
    upstream = torch.cos(torch.arange(output.numel(), dtype=torch.float64)).view_as(output).to(output)
    return [output.detach(), *torch.autograd.grad(output, leaves, upstream)]


def assert_close_to_largest(ours: list[Tensor], theirs: list[Tensor], bound: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.to(other.dtype), other, rtol=0, atol=bound * float(other.abs().max()))


@pytest.mark.parametrize("use", USES)
def test_reference_equals_the_definition(use):
    maps, coordinates = USES[use]
    tensors = inputs(maps, coordinates)
    value, locations, weights = tensors
    expected = by_hand(value, locations, weights, maps)
    torch.testing.assert_close(sample(value, locations, weights, maps=maps), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("use", USES)
def test_reference_has_the_numerical_gradients(use):
    maps, coordinates = USES[use]
    tensors = [x.requires_grad_() for x in inputs(maps, coordinates, queries=1, heads=1, channels=2, clips=1)]
    assert torch.autograd.gradcheck(lambda *x: sample(*x, maps=maps), tensors, eps=1e-7, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "channels", "per_slot"), [(2, 5, 2), (1, 32, 1), (3, 53, 17)])
@pytest.mark.parametrize("use", USES)
def test_cpu_backend_agrees_with_float64_grid_sample(use, heads, channels, per_slot):
    maps, coordinates = USES[use]
    tensors = inputs(maps, coordinates, heads=heads, channels=channels, per_slot=per_slot, queries=5)
    expected = run(tensors, maps, "reference")
    assert_close_to_largest(run([x.float() for x in tensors], maps, "cpu"), expected, 1e-5)


@pytest.mark.parametrize("use", USES)
def test_it_agrees_where_queries_are_many_too(use):
    maps, coordinates = USES[use]
    tensors = inputs(maps, coordinates, heads=2, channels=8, queries=1101)
    expected = run(tensors, maps, "reference")
    assert_close_to_largest(run([x.float() for x in tensors], maps, "cpu"), expected, 1e-5)


@pytest.mark.parametrize("use", ["spatial", "neighbours", "space-time"])
def test_a_head_major_table_gives_the_same_bits_and_keeps_its_layout(use):
    maps, coordinates = USES[use]
    value, locations, weights = [x.float() for x in inputs(maps, coordinates)]
    head_major = value.transpose(1, 2).contiguous().transpose(1, 2)
    plain, turned = (run([table, locations, weights], maps, "cpu") for table in (value, head_major))
    for one, other in zip(plain, turned, strict=True):
        assert torch.equal(one, other)
    assert turned[1].stride() == head_major.stride()


def test_a_slice_of_a_wider_table_is_read_in_place():
    maps, coordinates = USES["spatial"]
    value, locations, weights = [x.float() for x in inputs(maps, coordinates)]
    wide = torch.cat([torch.full_like(value, torch.nan), value, torch.full_like(value, torch.nan)], -1)
    sliced = wide[..., value.shape[3] : 2 * value.shape[3]]
    whole, part = (run([table, locations, weights], maps, "cpu") for table in (value, sliced))
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("use", ["spatial", "neighbours", "space-time"])
def test_repeats_are_bit_equal_whatever_the_number_of_threads(use, threads):
    maps, coordinates = USES[use]
    tensors = [x.float() for x in inputs(maps, coordinates, queries=40)]
    once = run(tensors, maps, "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        again = run(tensors, maps, "cpu")
    finally:
        torch.set_num_threads(before)
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("coordinates", [2, 3])
@pytest.mark.parametrize("far", [1e4, 1e30, float("inf"), -float("inf")])
def test_points_far_outside_contribute_nothing_and_make_no_nan(backend, coordinates, far):
    maps = Maps.every_frame(((4, 3),), num_frames=2)
    value, locations, weights = [x.float() for x in inputs(maps, coordinates)]
    output, grad_value, grad_locations, grad_weights = run(
        [value, torch.full_like(locations, far), weights], maps, backend
    )
    for tensor in (output, grad_value, grad_locations, grad_weights):
        assert torch.equal(tensor, torch.zeros_like(tensor))


def test_undefined_locations_do_not_leave_the_table():
    maps = Maps.own_frame(((4, 3),), num_frames=1)
    value, locations, weights = [x.float() for x in inputs(maps, 2)]
    output = sample(value, torch.full_like(locations, torch.nan), weights, maps=maps, backend="cpu")
    assert output.shape == (*locations.shape[:3], value.shape[3])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("empty", ["queries", "clips", "points", "heads"])
def test_empty_sets_give_empty_or_zero_results(backend, empty):
    maps = Maps.own_frame(((4, 3),), num_frames=2)
    sizes = {"queries": 2, "clips": 1, "heads": 2, "per_slot": 2} | {"per_slot" if empty == "points" else empty: 0}
    value, locations, weights = [x.float() for x in inputs(maps, 2, **sizes)]
    output, *gradients = run([value, locations, weights], maps, backend)
    assert output.shape == (*locations.shape[:3], value.shape[3])
    for tensor in (output, *gradients):
        assert torch.equal(tensor, torch.zeros_like(tensor))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_low_precision_table_is_summed_in_float32(dtype):
    maps, coordinates = USES["spatial"]
    value, locations, weights = inputs(maps, coordinates)
    low = value.to(dtype)
    expected = run([low.double(), locations, weights], maps, "reference")
    found = run([low, locations.float(), weights.float()], maps, "cpu")
    assert found[0].dtype == found[1].dtype == dtype
    assert found[2].dtype == found[3].dtype == torch.float32
    # Only the rounding of results to the table's type is left.
    bound = 2 * torch.finfo(dtype).eps
    assert_close_to_largest([x.double() for x in found], expected, bound)


def test_locations_and_weights_stay_float32_under_autocast():
    maps, coordinates = USES["spatial"]
    tensors = [x.float() for x in inputs(maps, coordinates)]
    value, locations, weights = tensors
    for backend in ("reference", "cpu"):
        expected = sample(value, locations, weights, maps=maps, backend=backend)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(sample(value, locations, weights, maps=maps, backend=backend), expected)


def test_second_derivatives_through_the_cpu_backend_equal_those_of_the_reference():
    maps, coordinates = USES["spatial"]
    tensors = inputs(maps, coordinates)

    def second(backend, dtype):
        leaves = [x.to(dtype).requires_grad_() for x in tensors]
        first = torch.autograd.grad(
            sample(*leaves, maps=maps, backend=backend).square().sum(), leaves, create_graph=True
        )
        return torch.autograd.grad([g.square().sum() for g in first], leaves)

    assert_close_to_largest(list(second("cpu", torch.float32)), list(second("reference", torch.float64)), 1e-4)


def test_float64_takes_the_reference_and_float32_the_fast_path():
    maps, coordinates = USES["spatial"]
    tensors = inputs(maps, coordinates)
    single = [x.float() for x in tensors]
    assert torch.equal(sample(*tensors, maps=maps), sample(*tensors, maps=maps, backend="reference"))
    assert torch.equal(sample(*single, maps=maps), sample(*single, maps=maps, backend="cpu"))
    assert not torch.equal(sample(*single, maps=maps), sample(*single, maps=maps, backend="reference"))


def test_a_skipped_backend_is_reported_once(monkeypatch, caplog):
    maps, coordinates = USES["spatial"]
    tensors = [x.float() for x in inputs(maps, coordinates)]
    monkeypatch.setattr("maskreel.kernels.backend._is_installed", lambda package: False)
    monkeypatch.setattr("maskreel.kernels.backend._reported", set())
    for _ in range(2):
        assert torch.equal(sample(*tensors, maps=maps), sample(*tensors, maps=maps, backend="reference"))
    assert len(caplog.records) == 1
    assert "'numba' is not installed" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 1}, r"a value table of \d+ rows"),
        ({"frames": 2}, "names frame 2, but the value table holds 2 frames"),
        ({"queries": 1}, "7 queries cannot be divided among the 3 groups"),
        ({"points": 1}, r"\d+ points cannot be divided among 3 slots"),
        ({"coordinates": 2}, "4 coordinates|got 4"),
        ({"time": 1}, "takes one level"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_numbers(change, message):
    maps = Maps.own_frame(LEVELS, num_frames=3)
    rows, queries, points, coordinates = 3 * maps.rows_per_frame, 6, 6, 2
    rows = maps.rows_per_frame * change.get("frames", 3) + change.get("rows", 0)
    queries, points = queries + change.get("queries", 0), points + change.get("points", 0)
    coordinates += change.get("coordinates", 0) + change.get("time", 0)
    locations, weights = torch.zeros(1, queries, 2, points, coordinates), torch.zeros(1, queries, 2, points)
    with pytest.raises(ValueError, match=message):
        sample(torch.zeros(1, rows, 2, 4), locations, weights, maps=maps)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level_sizes": ()}, "at least one level"),
        ({"level_sizes": ((0, 3),)}, r"got \(\(0, 3\),\)"),
        ({"frames": ()}, "at least one group"),
        ({"frames": ((0,), (0, 1))}, "equally many frames"),
        ({"frames": ((-2,),)}, "ABSENT"),
        ({"levels": (1,)}, r"levels \(1,\)"),
    ],
)
def test_maps_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Maps(**({"level_sizes": ((2, 2),), "frames": ((0,),)} | fields))


@pytest.mark.slow
def test_the_operator_meets_the_contract_of_custom_operators():
    maps, coordinates = USES["neighbours"]
    tensors = [x.float().requires_grad_() for x in inputs(maps, coordinates)]
    sizes = [side for size in maps.level_sizes for side in size]
    arguments = (*tensors, sizes, [frame for group in maps.frames for frame in group], 2, [])
    torch.library.opcheck(torch.ops.maskreel.sample.default, arguments)


@pytest.mark.parametrize("operator", ["maskreel::sample", "maskreel::sample_backward"])
@pytest.mark.parametrize("device", ["CPU", "CUDA", "Meta"])
def test_every_device_with_a_fast_backend_has_a_kernel(operator, device):
    assert torch._C._dispatch_has_kernel_for_dispatch_key(operator, device)


COMPILED = """
import torch
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample
from maskreel.kernels.backend import use_backend

maps = Maps.own_frame(((5, 7), (3, 2)), num_frames=2)
value, locations, weights = torch.randn(2, 82, 2, 8), torch.rand(2, 6, 2, 4, 2), torch.rand(2, 6, 2, 4)

def attend(value, locations, weights):
    return sample(value * 2, locations, weights.softmax(-1), maps=maps)

def results(function):
    leaves = [x.clone().requires_grad_() for x in (value, locations, weights)]
    output = function(*leaves)
    return [output, *torch.autograd.grad(output.square().sum(), leaves)]

compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
for ours, theirs in zip(results(compiled), results(attend), strict=True):
    torch.testing.assert_close(ours, theirs)
with use_backend("reference"):
    torch.testing.assert_close(compiled(value, locations, weights), attend(value, locations, weights), rtol=0, atol=0)

class Module(torch.nn.Module):
    def forward(self, value, locations, weights):
        return attend(value, locations, weights)

program = torch.export.export(Module(), (value, locations, weights))
assert sum(node.target is torch.ops.maskreel.sample.default for node in program.graph.nodes) == 1
torch.testing.assert_close(program.module()(value, locations, weights), attend(value, locations, weights))
"""


@pytest.mark.slow
def test_compilation_and_export_see_one_node_and_give_the_same_result():
    environment = {"JAXTYPING_DISABLE": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr


FORKED = """
import multiprocessing
import torch
from maskreel.kernels.maps import Maps
from maskreel.kernels.sampling import sample

maps = Maps.own_frame(((5, 7),), num_frames=4)
arguments = torch.randn(1, 140, 2, 8), torch.rand(1, 400, 2, 4, 2), torch.rand(1, 400, 2, 4)
torch.set_num_threads(2)

def work(queue):
    torch.set_num_threads(2)
    queue.put(sample(*arguments, maps=maps).sum().item())

expected = sample(*arguments, maps=maps).sum().item()
context = multiprocessing.get_context("fork")
queue = context.Queue()
child = context.Process(target=work, args=(queue,))
child.start()
assert queue.get(timeout=60) == expected
child.join()
assert child.exitcode == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="fork is the default on Linux only")
def test_a_forked_process_samples_on():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
