"""ResNets: sizes, frozen parts, norms."""

import pytest
import torch
from torch import nn

from maskreel.nn.backbones.resnet import Depth, ResNet
from maskreel.nn.layers.normalize import FrozenBatchNorm, build_norm
from tests.builders import clip_batch

TORCHVISION_COUNTS: dict[Depth, int] = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160}
"""Parameters of torchvision's networks without their classifier."""


@pytest.mark.parametrize("depth", TORCHVISION_COUNTS)
def test_parameter_counts_are_those_of_torchvision(depth: Depth) -> None:
    with torch.device("meta"):
        model = ResNet(depth, norm="batch", frozen_stages=0)
    assert sum(p.numel() for p in model.parameters()) == TORCHVISION_COUNTS[depth]
    assert model.channels == ((64, 128, 256, 512) if depth < 50 else (256, 512, 1024, 2048))


def test_maps_have_strides_4_to_32_and_round_up() -> None:
    maps = ResNet(18, width=8)(clip_batch([(33, 70), (64, 40)], padded=(65, 70)))
    assert [level.stride for level in maps] == [4, 8, 16, 32]
    assert [tuple(level.values.shape) for level in maps] == [
        (2, 3, 8, 17, 18),
        (2, 3, 16, 9, 9),
        (2, 3, 32, 5, 5),
        (2, 3, 64, 3, 3),
    ]
    assert all(level.is_padding.shape[-2:] == level.values.shape[-2:] for level in maps)


@pytest.mark.parametrize("depth", [18, 50])
def test_the_last_stage_can_stay_at_stride_16_with_the_same_parameters(depth: Depth) -> None:
    coarse, fine = (ResNet(depth, width=8, last_stride=last) for last in (32, 16))
    assert {n: p.shape for n, p in coarse.state_dict().items()} == {n: p.shape for n, p in fine.state_dict().items()}
    clip = clip_batch([(33, 70)], padded=(33, 70))
    before, after = coarse(clip), fine(clip)
    assert [level.stride for level in after] == [4, 8, 16, 16]
    assert after[3].values.shape[-2:] == after[2].values.shape[-2:] == after[3].is_padding.shape[-2:] == (3, 5)
    assert before[3].values.shape[-2:] == (2, 3)
    fine.load_state_dict(coarse.state_dict())
    for level, same in list(zip(before, fine(clip), strict=True))[:3]:
        assert torch.equal(level.values, same.values)


@pytest.mark.parametrize("frozen_stages", range(6))
def test_frozen_stages_are_counted_from_the_stem(frozen_stages: int) -> None:
    model = ResNet(18, width=8, norm="batch", frozen_stages=frozen_stages)
    parts = [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]]
    frozen = {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert frozen == {name for part in parts[:frozen_stages] for name in part}
    assert trained == {name for part in parts[frozen_stages:] for name in part}


def test_training_leaves_the_statistics_of_frozen_parts_alone() -> None:
    model = ResNet(18, width=8, norm="batch", frozen_stages=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "running" in name}
    model.train().stages(torch.randn(2, 3, 64, 64))
    moved = {
        name.split(".")[0]
        for name, tensor in model.state_dict().items()
        if name in before and not torch.equal(before[name], tensor)
    }
    assert moved == {"layer2", "layer3", "layer4"}
    assert model.eval().layer2.training is False


def test_a_frozen_norm_is_batch_norm_in_evaluation_mode() -> None:
    frozen, batch = FrozenBatchNorm(6), nn.BatchNorm2d(6)
    for tensor in (batch.weight, batch.bias, batch.running_mean):
        assert tensor is not None
        nn.init.normal_(tensor)
    assert batch.running_var is not None
    nn.init.uniform_(batch.running_var, 0.1, 2)
    state = {name: tensor for name, tensor in batch.state_dict().items() if name != "num_batches_tracked"}
    frozen.load_state_dict(state)
    x = torch.randn(2, 6, 5, 4)
    torch.testing.assert_close(frozen.train()(x), batch.eval()(x), rtol=1e-5, atol=1e-5)
    assert list(frozen.parameters()) == []


def test_group_norms_hold_eight_channels_each() -> None:
    norm = build_norm("group", 48)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == 6
