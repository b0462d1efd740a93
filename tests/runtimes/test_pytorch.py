"""The form for inference: the same numbers as the model, and the model untouched."""

import copy

import pytest
import torch
from torch import nn

from maskreel.models.folder import build_model
from maskreel.nn.backbones.resnet import ResNet
from maskreel.nn.layers.normalize import FrozenBatchNorm, fold_norm
from maskreel.runtimes.protocol import Runtime
from maskreel.runtimes.pytorch import PyTorchRuntime, inference_form, number_format
from maskreel.structures import select_masks
from tests.builders import clip_batch
from tests.checkpoints.tables import TINY

SIZES = ((64, 96), (50, 70))


def with_statistics(model: nn.Module) -> nn.Module:
    """Norms as after training: no statistic and no factor at its first value."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm | nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model


@pytest.mark.parametrize("name", list(TINY))
@torch.no_grad()
def test_every_model_predicts_the_same_in_its_inference_form(name: str) -> None:
    torch.manual_seed(0)
    model = with_statistics(build_model(TINY[name])).eval()
    clip = clip_batch(SIZES)
    expected, found = model(clip).final, inference_form(model)(clip).final
    queries = torch.arange(3)
    for a, b in (
        (found.class_logits, expected.class_logits),
        (found.boxes, expected.boxes),
        (found.masks.select(1, queries), expected.masks.select(1, queries)),
    ):
        assert (a - b).abs().max() <= 1e-3 * b.abs().max()


@pytest.mark.parametrize("name", list(TINY))
@torch.inference_mode()
def test_every_model_predicts_nearly_the_same_in_bfloat16(name: str) -> None:
    torch.manual_seed(0)
    form, clip = inference_form(with_statistics(build_model(TINY[name]))), clip_batch(SIZES)
    expected = form(clip).final
    masks = expected.masks.select(1, torch.arange(3))
    with number_format("bf16", torch.device("cpu")):
        found = form(clip).final
        found_masks = found.masks.select(1, torch.arange(3))
    for a, b in ((found.class_logits, expected.class_logits), (found.boxes, expected.boxes), (found_masks, masks)):
        assert (a.float() - b).abs().max() <= 0.1 * b.abs().max()


@pytest.mark.parametrize("kind", [FrozenBatchNorm, nn.BatchNorm2d])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_folded_convolution_does_what_convolution_and_norm_do(kind: type[nn.Module], has_bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 8, 3, stride=2, padding=1, dilation=2, groups=2, bias=has_bias).double()
    norm = with_statistics(kind(8)).double().eval()
    assert isinstance(norm, FrozenBatchNorm | nn.BatchNorm2d)
    x = torch.randn(2, 6, 11, 9, dtype=torch.float64)
    torch.testing.assert_close(fold_norm(conv, norm)(x), norm(conv(x)))


def test_the_form_leaves_the_model_and_its_training_alone() -> None:
    model = with_statistics(build_model(TINY["vistr"])).train()
    before = copy.deepcopy(model.state_dict())
    form = inference_form(model)
    backbone = form.get_submodule("backbone")
    assert isinstance(backbone, ResNet)
    assert isinstance(backbone.bn1, nn.Identity)
    assert isinstance(model.get_submodule("backbone.bn1"), nn.BatchNorm2d)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not form.training


def test_unchanged_weights_are_shared_and_convolutions_stand_channels_last() -> None:
    model = build_model(TINY["seqformer"])
    form = inference_form(model)
    own, shared = dict(model.named_parameters()), dict(form.named_parameters())
    name = "encoder.layers.0.feedforward.linear1.weight"
    assert shared[name] is own[name]
    convolutions = [module for module in form.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in convolutions)


@pytest.mark.parametrize("name", list(TINY))
def test_the_runtime_gives_the_bits_of_the_form_without_gradients(name: str) -> None:
    torch.manual_seed(0)
    model = with_statistics(build_model(TINY[name]))
    runtime, clip, queries = PyTorchRuntime(model), clip_batch(SIZES), torch.arange(3)
    assert isinstance(runtime, Runtime)
    prediction = runtime.clip(runtime.frame_features(clip))
    with torch.no_grad():
        expected = inference_form(model)(clip)
        masks = select_masks(expected, 1, queries)
    assert torch.equal(prediction.final.class_logits, expected.final.class_logits)
    assert torch.equal(prediction.final.boxes, expected.final.boxes)
    assert torch.equal(runtime.masks(prediction, 1, queries), masks)
    assert prediction.final.class_logits.is_inference()


def test_the_runtime_computes_and_decodes_masks_in_its_number_format() -> None:
    torch.manual_seed(0)
    model, clip, queries = with_statistics(build_model(TINY["seqformer"])), clip_batch(SIZES), torch.arange(3)
    runtime = PyTorchRuntime(model, precision="bf16")
    prediction = runtime.clip(runtime.frame_features(clip))
    found = runtime.masks(prediction, 0, queries)
    form = inference_form(model)
    with torch.inference_mode(), number_format("bf16", torch.device("cpu")):
        expected = select_masks(form(clip), 0, queries)
    assert torch.equal(found, expected)
    exact = PyTorchRuntime(model)
    assert not torch.equal(found.float(), exact.masks(exact.clip(exact.frame_features(clip)), 0, queries))


def test_a_module_without_the_three_calls_is_no_model() -> None:
    with pytest.raises(AssertionError, match="Linear does not have the three calls"):
        PyTorchRuntime(nn.Linear(2, 2))
