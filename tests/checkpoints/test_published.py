"""Names, layout and counts of published checkpoints."""

import dataclasses
import json
import math

import pytest
import torch
from torch import Tensor

from maskreel.checkpoints.dialects.seqformer import QUERIES, SEQFORMER, published_name, to_seqformer
from maskreel.checkpoints.published import (
    PUBLISHED_MODELS,
    Counts,
    Layout,
    count,
    own_counts,
    published_counts,
)
from maskreel.checkpoints.published_counts import PUBLISHED_COUNTS, PublishedCount
from maskreel.models.catalog import CATALOG
from maskreel.models.parts.backbones import ResNetConfig
from maskreel.models.seqformer import SeqFormer, SeqFormerConfig
from tests.builders import golden_bytes
from tests.checkpoints.tables import TINY

CONVENTIONS = ("trainable", "parameters", "state_dict")


@pytest.fixture(scope="module")
def layouts() -> dict[str, Layout]:
    """Every published model written out, on the meta device."""
    return {name: model.layout() for name, model in PUBLISHED_MODELS.items()}


@pytest.fixture(scope="module")
def counts(layouts: dict[str, Layout]) -> dict[str, Counts]:
    """Every published model, counted in its published layout."""
    return {name: published_counts(layout) for name, layout in layouts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("known", PUBLISHED_COUNTS, ids=lambda known: f"{known.model} {known.part} {known.convention}")
def test_counts_in_the_published_layout_are_the_published_ones(
    known: PublishedCount, layouts: dict[str, Layout]
) -> None:
    assert count(layouts[known.model], known.convention, known.part) - known.published == 0


def test_every_published_model_is_counted() -> None:
    """In all three conventions where its authors' code can be instantiated."""
    counted = {(known.model, known.convention) for known in PUBLISHED_COUNTS}
    assert {model for model, _ in counted} == set(PUBLISHED_MODELS)
    runnable = ("seqformer-r50", "seqformer-r101", "seqformer-swin-l", "vistr-r50", "vistr-r101")
    assert counted >= {(model, convention) for model in runnable for convention in CONVENTIONS}


def test_published_counts_are_those_of_the_official_code() -> None:
    published = {(known.model, known.convention): known.published for known in PUBLISHED_COUNTS if not known.part}
    r50 = [published["seqformer-r50", convention] for convention in CONVENTIONS]
    r101 = [published["seqformer-r101", convention] for convention in CONVENTIONS]
    assert r50 == [48_181_773, 48_404_173, 49_306_085]
    assert r101 == [67_121_677, 67_344_077, 68_350_437]
    swin_l = [published["seqformer-swin-l", convention] for convention in CONVENTIONS]
    assert swin_l == [218_741_441, 218_741_441, 220_034_777]


@pytest.mark.parametrize(
    ("name", "published", "own"),
    [
        ("seqformer-swin-l", 220_034_777, 218_840_885),
        ("ms-sts-r50", 50_615_781, 49_422_273),
        ("taformer-r50-points1", 50_444_197, 49_250_689),
        ("taformer-r50-points2", 51_036_325, 49_842_817),
        ("taformer-r50-points3", 51_628_453, 50_434_945),
        ("taformer-r50-points4", 52_220_581, 51_027_073),
        ("taformer-r101", 71_264_933, 70_071_425),
        ("taformer-swin-l", 222_949_273, 221_755_381),
    ],
)
def test_elements_of_the_state_dict_in_the_published_layout_and_in_our_own(
    name: str, published: int, own: int, counts: dict[str, Counts]
) -> None:
    config = PUBLISHED_MODELS[name].config
    assert counts[name].state_dict == published
    with torch.device("meta"):
        assert own_counts(CATALOG[config.kind].model(config)).state_dict == own


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("seqformer-r50", Counts(trainable=47_783_937, parameters=48_006_337, state_dict=48_112_577)),
        ("seqformer-r101", Counts(trainable=66_723_841, parameters=66_946_241, state_dict=67_156_929)),
        ("seqformer-swin-l", Counts(trainable=218_343_221, parameters=218_343_221, state_dict=218_840_885)),
        ("ms-sts-r50", Counts(trainable=49_093_633, parameters=49_316_033, state_dict=49_422_273)),
        ("taformer-r50-points4", Counts(trainable=50_698_433, parameters=50_920_833, state_dict=51_027_073)),
    ],
)
def test_our_own_layout_has_no_dead_weights_and_no_alias(
    name: str, own: Counts, counts: dict[str, Counts], layouts: dict[str, Layout]
) -> None:
    config = PUBLISHED_MODELS[name].config
    with torch.device("meta"):
        assert own_counts(CATALOG[config.kind].model(config)) == own
    elements = {
        role: sum(entry.values.numel() for entry in layouts[name].values() if entry.role == role)
        for role in ("unused", "alias")
    }
    unused_logits = 2 * config.transformer.decoder_layers * (config.transformer.width + 1)
    assert own.parameters + elements["unused"] + unused_logits == counts[name].parameters
    assert own.state_dict + sum(elements.values()) + unused_logits == counts[name].state_dict


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "file"),
    [("seqformer-r50", "resnet50"), ("seqformer-r101", "resnet101"), ("seqformer-swin-l", "swin_l_p4w12")],
)
def test_names_shapes_and_aliases_are_those_of_the_official_state_dict(
    name: str, file: str, layouts: dict[str, Layout]
) -> None:
    text = golden_bytes(f"statedicts/seqformer_{file}.txt", "design").decode()
    aliases, entries = text.split("## entries that are one and the same tensor\n")[1].split(
        "## state_dict: key, shape, dtype\n"
    )
    shapes = dict(line.split("\t")[:2] for line in entries.splitlines() if line)
    layout = layouts[name]
    assert {key: list(entry.values.shape) for key, entry in layout.items()} == {
        key: json.loads(shape) for key, shape in shapes.items()
    }
    second_names = {line.split(" = ")[0] for line in aliases.splitlines() if line}
    assert {key for key, entry in layout.items() if entry.role == "alias"} == second_names


@pytest.fixture
def tiny() -> SeqFormer:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY["seqformer"], backbone=ResNetConfig(depth=18, width=8))
    model = SeqFormer(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.fixture
def config() -> SeqFormerConfig:
    return dataclasses.replace(TINY["seqformer"], backbone=ResNetConfig(depth=18, width=8))


def checkpoint(model: SeqFormer) -> dict[str, Tensor]:
    return {name: entry.values for name, entry in to_seqformer(model).items()}


def test_a_model_comes_back_from_its_published_layout(tiny: SeqFormer, config: SeqFormerConfig) -> None:
    state = tiny.state_dict()
    written = checkpoint(tiny)
    back = {name: SEQFORMER.read(name, written, config) for name in state}
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], values) for name, values in state.items())


def test_checkpoints_without_unused_logits_load_too(tiny: SeqFormer, config: SeqFormerConfig) -> None:
    written = checkpoint(tiny)
    for name in [name for name in written if name.startswith("detr.class_embed.")]:
        written[name] = written[name][1:-1]
    back = SEQFORMER.read("classify.1.weight", written, config)
    assert torch.equal(back, tiny.state_dict()["classify.1.weight"])


def test_unused_logits_start_as_in_the_official_code(tiny: SeqFormer) -> None:
    written = checkpoint(tiny)
    weight, bias = written["detr.class_embed.0.weight"], written["detr.class_embed.0.bias"]
    assert weight.shape == (5, 32)
    assert not weight[[0, -1]].any()
    torch.testing.assert_close(bias[[0, -1]], torch.full((2,), -math.log(99)))


def test_queries_are_joined_position_first(tiny: SeqFormer) -> None:
    joined = checkpoint(tiny)[QUERIES]
    assert torch.equal(joined[:, :32], tiny.decoder.query_position.weight)
    assert torch.equal(joined[:, 32:], tiny.decoder.query_content.weight)


def test_a_name_without_counterpart_is_refused() -> None:
    with pytest.raises(KeyError, match=r"sparkles\.weight"):
        published_name("sparkles.weight")
