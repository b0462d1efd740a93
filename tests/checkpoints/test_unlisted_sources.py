"""Published checkpoints of which no list of tensors is at hand: their names are made from ours."""

import re

import pytest
import torch
from torch import Tensor

from maskreel.checkpoints.conversion import convert_state, find_dialect
from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.errors import DataError
from maskreel.models.folder import build_model
from maskreel.models.parts.backbones import SWIN_T, ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.seqformer import SeqFormerConfig

SHALLOW = DeformableTransformer(width=32, hidden=8, encoder_layers=1, decoder_layers=1)


def test_the_port_to_detectron2_is_read() -> None:
    """Other prefixes, detectron2's names of a ResNet, 40 logits."""
    torch.manual_seed(0)
    model = build_model(small_seqformer())
    port = {to_port(name): entry.values for name, entry in to_seqformer(model).items()}
    for name in port:
        if ".class_embed." in name:
            port[name] = port[name][1:-1]
    assert "detr.detr.backbone.0.backbone.res3.0.shortcut.norm.running_var" in port
    assert "detr.detr.backbone.0.backbone.stem.conv1.norm.weight" in port
    conversion = convert_state(port, find_dialect(port), heads=4)
    assert conversion.report.source == "seqformer-detectron2"
    assert conversion.report.unexplained == ()
    assert conversion.config == small_seqformer()
    state = conversion.build().state_dict()
    assert all(torch.equal(state[name], values) for name, values in model.state_dict().items())


def small_seqformer() -> SeqFormerConfig:
    return SeqFormerConfig(
        backbone=ResNetConfig(depth=50, width=8),
        transformer=DeformableTransformer(
            width=32, hidden=16, num_heads=4, num_points=2, encoder_layers=1, decoder_layers=2
        ),
        queries=BoxQueries(count=5),
    )


def to_port(name: str) -> str:
    name = f"detr.{name}".replace("detr.detr.backbone.0.body.", "detr.detr.backbone.0.backbone.")
    name = re.sub(r"layer(\d)", lambda found: f"res{int(found[1]) + 1}", name)
    name = name.replace("backbone.conv1.", "backbone.stem.conv1.").replace("backbone.bn1.", "backbone.stem.conv1.norm.")
    name = re.sub(r"(res\d\.\d+)\.bn(\d)\.", r"\1.conv\2.norm.", name)
    return name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_resnets_of_torchvision_are_read(depth: int) -> None:
    backbone = ResNetConfig(depth=depth, width=8, norm="batch", frozen_stages=0)
    model = build_model(SeqFormerConfig(backbone=backbone, transformer=SHALLOW))
    classifier = backbone_of(model) | {"fc.weight": torch.zeros(5, 8), "fc.bias": torch.zeros(5)}
    conversion = convert_state(classifier, find_dialect(classifier))
    assert conversion.report.source == "resnet"
    assert conversion.report.unexplained == ()
    assert conversion.config == SeqFormerConfig(backbone=ResNetConfig(depth=depth, width=8))
    reasons = conversion.report.reasons()
    assert reasons["classifier of ImageNet"] == 2
    assert all(torch.equal(conversion.taken[f"backbone.{name}"], classifier[name]) for name in ("conv1.weight",))
    assert {name.split(".")[0] for name in conversion.taken} == {"backbone"}


def test_resnets_that_maskreel_does_not_have_are_named() -> None:
    model = build_model(SeqFormerConfig(backbone=ResNetConfig(width=8), transformer=SHALLOW))
    grouped = backbone_of(model)
    for name in grouped:
        if name.endswith("conv2.weight"):
            grouped[name] = grouped[name][:, :2]
    with pytest.raises(DataError, match="ResNeXt \\(4 groups of channels\\), which Maskreel does not have"):
        convert_state(grouped, find_dialect(grouped))
    deeper = backbone_of(model)
    deeper["layer3.6.conv1.weight"] = torch.zeros(1)
    with pytest.raises(DataError, match=r"its ResNet has \(3, 4, 7, 3\) blocks .* none of the depths 18, 34, 50, 101"):
        convert_state(deeper, find_dialect(deeper))


def backbone_of(model: torch.nn.Module) -> dict[str, Tensor]:
    prefix = "backbone."
    return {name.removeprefix(prefix): values for name, values in model.state_dict().items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def swin() -> dict[str, Tensor]:
    """An official Swin-T classifier, on few values: every tensor is one number repeated."""
    with torch.device("meta"):
        names = backbone_of(build_model(SeqFormerConfig(backbone=SWIN_T)))
    state = {
        name: torch.tensor(place, dtype=values.dtype).expand(values.shape)
        for place, (name, values) in enumerate(names.items())
        if not re.match(r"norm\d", name)
    }
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    return state | {"norm.weight": torch.zeros(768), "norm.bias": torch.zeros(768)}


def test_official_swins_are_read(swin: dict[str, Tensor]) -> None:
    state = swin | {"head.weight": torch.zeros(1000, 768), "head.bias": torch.zeros(1000)}
    conversion = convert_state(state, find_dialect(state))
    assert (conversion.report.source, conversion.report.unexplained) == ("swin", ())
    assert conversion.config == SeqFormerConfig(backbone=SWIN_T)
    assert torch.equal(
        conversion.taken["backbone.layers.1.downsample.norm.bias"], swin["layers.1.downsample.norm.bias"]
    )
    norms = [entry for entry in conversion.report.entries if re.match(r"backbone\.norm\d", entry.name)]
    assert {entry.words for entry in norms} == {
        "norm of a map that a classifier does not hand over: starts as the identity"
    }


def test_swins_of_timm_begin_their_stages_with_the_step_down(swin: dict[str, Tensor]) -> None:
    state = {
        re.sub(r"layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) + 1}.downsample", name): values
        for name, values in swin.items()
        if "relative_position_index" not in name and "attn_mask" not in name
    } | {"head.fc.weight": torch.zeros(1000, 768), "head.fc.bias": torch.zeros(1000)}
    conversion = convert_state(state, find_dialect(state))
    assert (conversion.report.source, conversion.report.unexplained) == ("swin-timm", ())
    ours = conversion.taken["backbone.layers.1.downsample.reduction.weight"]
    assert torch.equal(ours, swin["layers.1.downsample.reduction.weight"])
    index = [entry for entry in conversion.report.entries if entry.name.endswith("relative_position_index")]
    assert {entry.words for entry in index} == {"follows from the window's size: computed"}
