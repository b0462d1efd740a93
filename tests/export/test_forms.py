"""Layers as they stand in a graph give what the layers themselves give."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import nn

from maskreel.export.forms import FORMS, GraphGroupNorm, graph_form, neighbour_numbers, sample_volume
from maskreel.kernels.maps import ABSENT, Maps
from maskreel.kernels.sampling import sample
from maskreel.nn.layers.neighbours import Border, neighbour_frames
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY, replaced
from tests.models.test_contract import drawn


@pytest.mark.parametrize("border", ["clamp", "reflect", "shift", "mask"])
@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("frames", [2, 3, 4, 5, 9])
def test_neighbours_by_arithmetic_are_those_of_the_table(border: Border, radius: int, frames: int) -> None:
    expected = torch.tensor(neighbour_frames(frames, radius, border))
    numbers, is_absent = neighbour_numbers(frames, radius, border)
    assert torch.equal(is_absent, expected == ABSENT)
    assert torch.equal(numbers[~is_absent], expected[~is_absent])
    assert numbers.min() >= 0
    assert numbers.max() < frames


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_two_samples_of_a_tall_map_are_a_sample_of_the_volume(frames: int) -> None:
    torch.manual_seed(0)
    height, width, heads = 3, 4, 2
    value = torch.randn(2, frames * height * width, heads, 5)
    locations = 1.6 * torch.rand(2, 40, heads, 6, 3) - 0.3
    weights = torch.randn(2, 40, heads, 6)
    maps = Maps.every_frame(((height, width),), num_frames=frames)
    expected = sample(value, locations, weights, maps=maps, backend="reference")
    found = sample_volume(value, locations, weights, (frames, height, width))
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_norm_over_a_long_clip_stays_exact_in_a_graph(tmp_path: Path) -> None:
    """PyTorch's own form of it is off by 1.4e-5 there."""
    torch.manual_seed(0)
    norm = GraphGroupNorm(4, 12).requires_grad_(False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 1 + 0.3 * torch.randn(1, 12, 36, 75, 135)
    torch.onnx.export(norm, (x,), tmp_path / "norm.onnx", dynamo=True, verbose=False)
    (found,) = onnxruntime.InferenceSession(tmp_path / "norm.onnx").run(None, {"input": x.numpy()})
    expected = norm.double()(x.double())
    torch.testing.assert_close(expected, nn.functional.group_norm(x.double(), 4, norm.weight, norm.bias, norm.eps))
    assert (torch.from_numpy(found) - expected).abs().max() < 2e-6 * expected.abs().max()


@pytest.mark.parametrize("name", list(TINY))
@torch.no_grad()
def test_every_model_says_the_same_in_its_graph_form(name: str) -> None:
    config = TINY[name]
    if hasattr(config.queries, "frames"):
        config = replaced(config, "queries.frames", 4)
    model, clip = drawn(config, 0.1).eval(), clip_batch(((64, 96), (50, 70)), num_frames=4)
    form = graph_form(model)
    assert any(type(module) in FORMS.values() for module in form.modules())
    assert not any(type(module) in FORMS.values() for module in model.modules())
    ours, theirs = form(clip).final, model(clip).final
    queries = torch.tensor([3, 0])
    for a, b in (
        (ours.class_logits, theirs.class_logits),
        (ours.boxes, theirs.boxes),
        (ours.masks.select(1, queries), theirs.masks.select(1, queries)),
    ):
        assert b.std() > 0
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()
