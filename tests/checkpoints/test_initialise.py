"""Weights to start a training from: what is taken, what is new, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from maskreel.checkpoints.class_names import numbered
from maskreel.checkpoints.dialects.mssts import DiscriminatorConfig
from maskreel.checkpoints.dialects.seqformer import to_seqformer
from maskreel.checkpoints.initialise import Initial, fit, read_initial
from maskreel.config import to_dict
from maskreel.criteria.adversarial import AdversarialLoss, Discriminator
from maskreel.errors import DataError, UsageError
from maskreel.models.folder import FORMAT, build_criterion, build_model, save_model, write_model_folder
from maskreel.models.ms_sts import Adversary, MSSTSConfig
from maskreel.models.parts.backbones import SWIN_T, ResNetConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.parts.frame_queries import ClipTransformer, FrameQueries
from maskreel.models.parts.neighbours import Neighbours
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.taformer import TAFormerConfig
from maskreel.models.vistr import VisTRConfig

SMALL: dict[str, Any] = {
    "backbone": ResNetConfig(depth=18, width=8, norm="batch", frozen_stages=0),
    "num_classes": 3,
    "transformer": DeformableTransformer(width=32, hidden=16, num_heads=4, encoder_layers=1, decoder_layers=2),
    "queries": BoxQueries(count=5),
}
CONFIG = SeqFormerConfig(**SMALL)
CLASSES = ((1, "fox"), (2, "owl"), (5, "newt"))


def drawn(config: Any, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return drawn(CONFIG)


@pytest.fixture
def folder(model: nn.Module, tmp_path: Path) -> Path:
    save_model(tmp_path / "model", model, CONFIG, CLASSES)
    return tmp_path / "model"


def filled(initial: Initial, config: Any, classes: tuple[tuple[int, str], ...] = CLASSES) -> nn.Module:
    start, other = fit(initial, config, classes), drawn(config, seed=1)
    start.fill(other, build_criterion(config))
    return other


@pytest.mark.slow
def test_the_same_model_is_taken_whole(folder: Path, model: nn.Module) -> None:
    initial = read_initial(str(folder))
    start = fit(initial, CONFIG, CLASSES)
    assert (start.new, start.unused, start.notes) == ((), (), ())
    other = filled(initial, CONFIG)
    assert all(torch.equal(other.state_dict()[name], values) for name, values in model.state_dict().items())
    assert start.lines()[0] == f"initial weights: {folder} (a model of kind seqformer)"


@pytest.mark.parametrize(
    "classes",
    [((1, "fox"), (2, "owl")), ((1, "fox"), (2, "newt"), (5, "owl")), ((1, "fox"), (2, "owl"), (5, "toad"))],
    ids=["fewer", "another order", "another name"],
)
def test_a_head_for_other_classes_is_drawn_anew_and_nothing_else(
    folder: Path, model: nn.Module, classes: tuple[tuple[int, str], ...]
) -> None:
    config = replace(CONFIG, num_classes=len(classes))
    initial = read_initial(str(folder))
    start = fit(initial, config, classes)
    assert {name.split(".")[0] for name in start.new} == {"classify"}
    assert any(
        f"class head: drawn anew, for its 3 classes are not the {len(classes)}" in line for line in start.lines()
    )
    fresh, other = drawn(config, seed=1).state_dict(), filled(initial, config, classes).state_dict()
    for name, values in other.items():
        expected = fresh if name.startswith("classify.") else model.state_dict()
        assert torch.equal(values, expected[name]), name


def test_classes_are_the_same_by_name_whatever_their_ids(folder: Path) -> None:
    start = fit(read_initial(str(folder)), CONFIG, ((10, "Fox"), (20, "owl"), (30, "newt")))
    assert (start.new, start.notes) == ((), ())


def test_an_official_file_is_read_as_it_is(model: nn.Module, tmp_path: Path) -> None:
    """Whose classes nobody names, so they are taken for those of the data."""
    config = replace(CONFIG, backbone=ResNetConfig(depth=18, width=8))
    written = {name: entry.values for name, entry in to_seqformer(drawn(config)).items()}
    for name in written:
        if ".class_embed." in name:
            written[name] = written[name][1:-1]
    torch.save({"model": written}, tmp_path / "weights.pth")
    initial = read_initial(str(tmp_path / "weights.pth"), heads=4)
    start = fit(initial, config, CLASSES)
    assert (start.new, start.unused) == ((), ())
    assert start.notes == ("class head: taken; nothing says which 3 classes it is for, or in which order",)
    start = fit(initial, replace(config, num_classes=2), CLASSES[:2])
    assert start.notes == ("class head: drawn anew, for its 3 classes are not the 2 of the data",)


def test_relatives_take_what_they_share(folder: Path) -> None:
    config = TAFormerConfig(**SMALL, neighbours=Neighbours(num_points=2))
    start = fit(read_initial(str(folder)), config, CLASSES)
    assert start.unused == ()
    assert {name.split(".")[0] for name in start.new} <= {"encoder", "decoder", "embed"}
    assert "not in it, drawn as in a new model" in start.lines()[-1]


def test_a_backbone_alone_is_taken_and_the_rest_reported(model: nn.Module, tmp_path: Path) -> None:
    prefix = "backbone."
    states = model.state_dict().items()
    backbone = {name.removeprefix(prefix): values for name, values in states if name.startswith(prefix)}
    torch.save(backbone | {"fc.weight": torch.zeros(2, 64), "fc.bias": torch.zeros(2)}, tmp_path / "resnet.pth")
    initial = read_initial(str(tmp_path / "resnet.pth"), heads=3)
    start = fit(initial, CONFIG, CLASSES)
    assert {name.split(".")[0] for name in start.taken} == {"backbone"}
    counters = {name for name in start.new if name.startswith(prefix)}
    assert all(name.endswith("num_batches_tracked") for name in counters)
    assert f"{len(start.new)} tensors" in start.lines()[-1]
    vistr = VisTRConfig(
        backbone=SMALL["backbone"],
        transformer=ClipTransformer(width=32, hidden=16, encoder_layers=1),
        queries=FrameQueries(frames=2),
    )
    notes = fit(initial, vistr, numbered(40)).notes
    assert notes == ("a vistr shares no more than the backbone with a seqformer",)


def test_another_kind_of_backbone_leaves_the_rest_usable(folder: Path) -> None:
    start = fit(read_initial(str(folder)), replace(CONFIG, backbone=SWIN_T), CLASSES)
    assert {name.split(".")[0] for name in start.new} == {"backbone", "pyramid"}
    assert start.notes == ("another backbone: resnet there, swin here",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": ResNetConfig(depth=34, width=8, norm="batch")}, r"its backbone is .*depth=18.*--model\.backbone"),
        ({"backbone": ResNetConfig(depth=18, width=8, norm="group")}, r"its backbone is .*norm='batch'.*norm='group'"),
        (
            {"transformer": replace(CONFIG.transformer, width=64)},
            r"has shape \[.*\] in it and \[.*\] here \(\d+ tensors differ\); give the model the same sizes",
        ),
        ({"queries": BoxQueries(count=6)}, r"query_position\.weight has shape \[5, 32\] in it and \[6, 32\] here"),
    ],
    ids=["depth", "norm", "width", "queries"],
)
def test_weights_of_other_sizes_are_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        fit(read_initial(str(folder)), replace(CONFIG, **change), CLASSES)
    assert "\n" not in str(caught.value)


def test_weights_without_anything_in_common_are_refused(folder: Path) -> None:
    initial = read_initial(str(folder))
    without = {name: values for name, values in initial.tensors.items() if not name.startswith("backbone.")}
    initial = replace(initial, tensors=without)
    with pytest.raises(DataError, match="a model of kind seqformer has nothing that a vistr could start from"):
        fit(initial, VisTRConfig(transformer=ClipTransformer(width=32), queries=FrameQueries(frames=2)), numbered(40))


def test_a_wrong_path_is_a_typing_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such file"):
        read_initial(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="neither a run folder nor a model folder"):
        read_initial(str(tmp_path))


def test_a_damaged_folder_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="its SHA-256 differs"):
        read_initial(str(folder))


# The adversary.


@pytest.fixture
def adversary(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    description = {"format": FORMAT, "model": to_dict(DiscriminatorConfig(width=32))}
    write_model_folder(tmp_path / "adversary", description, Discriminator(32), unused={})
    return tmp_path / "adversary"


def test_a_discriminator_loads_into_the_adversary(adversary: Path) -> None:
    config = MSSTSConfig(**SMALL, adversary=Adversary())
    start = fit(read_initial(str(adversary)), config, CLASSES)
    model, criterion = drawn(config), build_criterion(config)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    start.fill(model, criterion)
    assert isinstance(criterion, AdversarialLoss)
    torch.manual_seed(0)
    expected = Discriminator(32).state_dict()
    assert all(torch.equal(criterion.discriminator.state_dict()[name], values) for name, values in expected.items())
    assert all(torch.equal(model.state_dict()[name], values) for name, values in before.items())
    assert start.notes == ("loaded into the adversary",)


def test_a_model_without_an_adversary_refuses_one(adversary: Path) -> None:
    initial = read_initial(str(adversary))
    with pytest.raises(DataError, match="weights of an adversary, and a seqformer as it is configured has none"):
        fit(initial, CONFIG, CLASSES)
    with pytest.raises(DataError, match="an adversary of width 32, where the model has width 64"):
        fit(
            initial,
            MSSTSConfig(**SMALL | {"transformer": DeformableTransformer(width=64)}, adversary=Adversary()),
            CLASSES,
        )
