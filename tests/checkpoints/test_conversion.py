"""Published checkpoints, by the lists of their tensors: every tensor is explained, and arrives where it belongs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from maskreel.checkpoints.conversion import (
    Conversion,
    build_converted,
    convert_for,
    convert_state,
    find_source,
    named_source,
)
from maskreel.checkpoints.layout import Layout
from maskreel.checkpoints.sources.catalog import SOURCES
from maskreel.checkpoints.sources.mssts import DiscriminatorConfig
from maskreel.checkpoints.sources.seqformer import to_seqformer
from maskreel.checkpoints.sources.vistr import to_vistr
from maskreel.errors import DataError, UsageError
from maskreel.models.parts.backbones import TWINS_BASE, TWINS_LARGE, ResNetConfig, SwinConfig, TwinsConfig
from maskreel.models.parts.box_queries import BoxQueries, DeformableTransformer
from maskreel.models.parts.frame_queries import ClipTransformer
from maskreel.models.seqformer import SeqFormerConfig
from maskreel.models.tt_spn import TTSPNConfig
from maskreel.models.vistr import VisTRConfig
from tests.checkpoints import spot_checks
from tests.checkpoints.spot_checks import Rows
from tests.checkpoints.statedicts import hollow, made_up


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a list must be recognised as."""

    source: str
    config: object
    checks: dict[str, str]
    """Ours to theirs."""
    body: str
    """Prefix of the backbone's names there."""
    parts: dict[str, tuple[str, Rows]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Parts of ours that the list lacks."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Tensors of theirs by a word of the reason."""


R101 = ResNetConfig(depth=101)
DEAD = {"never calls": 12, "second name": 36}
START = ("classify.", "decoder.", "mask_head.")
NOT_BACKBONE = ("project.", "encoder.", "decoder.", "classify.", "boxes.", "mask_head.")
TWINS_DROPPED = {"classifier of ImageNet": 4}


def seqformer(source: str, config: SeqFormerConfig, dropped: dict[str, int]) -> Expected:
    return Expected(
        source=source,
        config=config,
        checks=spot_checks.SEQFORMER,
        body="detr.backbone.0.body.",
        parts=spot_checks.SEQFORMER_PARTS,
        dropped=dropped,
    )


def vistr(depth: ResNetConfig) -> Expected:
    return Expected(
        source="vistr",
        config=VisTRConfig(backbone=depth),
        checks=spot_checks.VISTR,
        body="vistr.backbone.0.body.",
        parts=spot_checks.VISTR_PARTS,
    )


def deformable_detr(config: SeqFormerConfig, second_names: int) -> Expected:
    return Expected(
        source="deformable-detr",
        config=config,
        checks=spot_checks.DEFORMABLE_DETR,
        body="backbone.0.body.",
        parts=spot_checks.DEFORMABLE_DETR_PARTS,
        missing=START,
        dropped={"COCO": 12, "second name": second_names},
    )


def twins(backbone: TwinsConfig) -> Expected:
    return Expected(
        source="twins",
        config=TTSPNConfig(backbone=backbone),
        checks={},
        body="",
        missing=NOT_BACKBONE,
        dropped=TWINS_DROPPED,
    )


def carried(config: TwinsConfig) -> TwinsConfig:
    return TwinsConfig(widths=config.widths, num_heads=config.num_heads, depths=config.depths, stage_norm="carried")


LISTS = {
    "seqformer_resnet50": seqformer("seqformer", SeqFormerConfig(), DEAD),
    "seqformer_resnet101": seqformer("seqformer", SeqFormerConfig(backbone=R101), DEAD),
    "seqformer_swin_l_p4w12": seqformer("seqformer", SeqFormerConfig(backbone=SwinConfig()), DEAD | {"nobody": 2}),
    "mssts_resnet50": seqformer(
        "mssts",
        SeqFormerConfig(transformer=DeformableTransformer(encoder_layers=3, decoder_layers=3)),
        {"builds and never calls": 9, "second name": 18},
    ),
    "vistr_resnet50": vistr(ResNetConfig(padding="masked")),
    "vistr_resnet101": vistr(ResNetConfig(depth=101, padding="masked")),
    "deformable_detr_resnet50": deformable_detr(SeqFormerConfig(queries=BoxQueries(refinement="none")), 30),
    "deformable_detr_resnet50_refine": deformable_detr(SeqFormerConfig(), 36),
    "detr_resnet50": Expected(
        source="detr",
        config=VisTRConfig(transformer=ClipTransformer(width=256)),
        checks=spot_checks.DETR,
        body="backbone.0.body.",
        missing=("classify.", "decoder.queries.", "mask_head."),
        dropped={"COCO": 2, "queries of an image": 1},
    ),
    "mssts_discriminator": Expected(
        source="mssts-discriminator", config=DiscriminatorConfig(), checks=spot_checks.DISCRIMINATOR, body="-"
    ),
    "twins_svt_small_cls": twins(TwinsConfig()),
    "twins_svt_small_det": twins(carried(TwinsConfig())),
    "twins_svt_base_cls": twins(TWINS_BASE),
    "twins_svt_base_det": twins(carried(TWINS_BASE)),
    "twins_svt_large_cls": twins(TWINS_LARGE),
    "twins_svt_large_det": twins(carried(TWINS_LARGE)),
}
REFUSED = {
    "ttspn_parts": "needs? that code's own feature extractor",
    "ttspn_twins": "needs attention over dense 7x7 convolutions",
    "twins_pcpvt_small_det": "needs a backbone of global attention in every block",
    "defvis_resnet50": "needs a level of learned identity tokens",
}


def group(name: str) -> str:
    """A name without its numbers and its last word."""
    return re.sub(r"\.\d+", "", name).rpartition(".")[0]


def built_state(conversion: Conversion) -> dict[str, Tensor]:
    """Tensors of the converted model. Large ones of which most would be drawn at random take what was read alone."""
    if isinstance(conversion.config, TTSPNConfig):
        with torch.device("meta"):
            model = build_converted(conversion.config)
        model.load_state_dict(conversion.taken, strict=False, assign=True)
        return model.state_dict()
    return conversion.build().state_dict()


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("name", LISTS)
def test_every_tensor_of_a_published_checkpoint_is_explained_and_arrives(name: str) -> None:
    expected, state = LISTS[name], made_up(name)
    conversion = convert_state(state, find_source(state))
    report = conversion.report
    assert (report.source, conversion.config) == (expected.source, expected.config)
    assert report.unexplained == ()
    assert len(report.entries) == len(built_names(conversion))
    assert all(entry.name.startswith(expected.missing) for entry in report.entries if entry.status == "missing")
    for word, number in expected.dropped.items():
        assert sum(count for reason, count in report.reasons().items() if word in reason) == number, word
    used = {entry.origin for entry in report.entries if entry.origin} | {remark.name for remark in report.dropped}
    assert used == set(state)
    check_values(built_state(conversion), state, expected)
    taken = {group(entry.name) for entry in report.entries if entry.status != "missing"}
    checked = {group(ours) for ours in (*expected.checks, *expected.parts)}
    assert {known for known in taken if not known.startswith("backbone")} <= checked


def built_names(conversion: Conversion) -> set[str]:
    with torch.device("meta"):
        return set(build_converted(conversion.config).state_dict())


def check_values(ours: dict[str, Tensor], theirs: dict[str, Tensor], expected: Expected) -> None:
    """By value: the listed tensors, and every tensor of the backbone, whose names are the same on both sides."""
    for name, origin in expected.checks.items():
        assert torch.equal(ours[name], theirs[origin].float()), name
    for name, (origin, rows) in expected.parts.items():
        assert torch.equal(ours[name], rows(theirs[origin]).float()), name
    backbone = [name for name in ours if name.startswith("backbone.")]
    assert bool(backbone) == (expected.body != "-")
    for name in backbone:
        values = theirs[expected.body + name.removeprefix("backbone.")]
        assert torch.equal(ours[name], values.to(ours[name].dtype)), name


@pytest.mark.golden
@pytest.mark.parametrize("name", REFUSED)
def test_what_maskreel_does_not_have_is_named_in_one_sentence(name: str) -> None:
    with pytest.raises(DataError, match=REFUSED[name]) as caught:
        find_source(hollow(name))
    assert "Maskreel" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("name", ["seqformer_resnet50", "mssts_resnet50", "vistr_resnet50"])
def test_a_checkpoint_comes_back_bit_by_bit(name: str) -> None:
    """Also unused logits, layers that nobody calls, and second names."""
    state = made_up(name)
    conversion = convert_state(state, find_source(state))
    write = to_vistr if name.startswith("vistr") else to_seqformer
    layout: Layout = write(conversion.build(), conversion.unused)
    assert layout.keys() == state.keys()
    assert all(torch.equal(layout[key].values.float(), values.float()) for key, values in state.items())


@pytest.mark.golden
@pytest.mark.parametrize("name", LISTS)
def test_a_single_extra_tensor_is_not_explained(name: str) -> None:
    state = hollow(name)
    conversion = convert_state(state | {"extra.weight": torch.zeros(3)}, SOURCES[LISTS[name].source])
    assert [remark.name for remark in conversion.report.unexplained] == ["extra.weight"]
    with pytest.raises(DataError, match=r"file: does not fit .*extra\.weight is left over"):
        conversion.check("file")


def near_misses() -> Iterator[tuple[str, str]]:
    """Keys that a drop rule must not cover, though they look like one that it covers."""
    for source in SOURCES.values():
        for drop in source.drops:
            for key in drop.keys:
                covered = key.replace("#", "3")
                head, _, last = covered.rpartition(".")
                others = [f"{covered}.extra", f"x{covered}", f"{head}.more.{last}", f"{head}_ema.{last}"]
                yield from ((source.name, other) for other in others)
                yield source.name, covered.replace("3", "three") if "3" in covered else f"{head}.0.{last}"


def test_drop_rules_name_full_keys() -> None:
    covered = [(source, key) for source, key in near_misses() if SOURCES[source].drop_reason(key)]
    assert covered == []
    assert SOURCES["mssts"].drop_reason("detr.transformer.decoder.layers.17.temp_attn_box.qkv.weight")


@pytest.mark.golden
def test_a_tensor_of_another_shape_and_a_missing_one_are_not_explained() -> None:
    state = hollow("vistr_resnet50")
    state["mask_head.gn3.bias"] = torch.zeros(95)
    del state["vistr.transformer.decoder.norm.weight"]
    problems = {remark.name: remark.reason for remark in convert_state(state, SOURCES["vistr"]).report.unexplained}
    assert problems.keys() == {"mask_head.gn3.bias", "vistr.transformer.decoder.norm.weight"}
    assert "has shape [95] instead of [96]" in problems["mask_head.gn3.bias"]
    assert "is missing" in problems["vistr.transformer.decoder.norm.weight"]


@pytest.mark.golden
def test_integers_do_not_stand_for_weights() -> None:
    state = hollow("detr_resnet50")
    state["input_proj.bias"] = torch.zeros(256, dtype=torch.int8)
    (problem,) = convert_state(state, SOURCES["detr"]).report.unexplained
    assert problem.reason == "holds int8 instead of float32 for project.bias"


@pytest.mark.golden
def test_a_tensor_without_which_the_model_cannot_be_made_out_is_named() -> None:
    state = hollow("seqformer_resnet50")
    del state["detr.class_embed.0.weight"]
    with pytest.raises(DataError, match=r"it has no detr\.class_embed\.0\.weight, which SeqFormer, official has"):
        convert_state(state, SOURCES["seqformer"])


@pytest.mark.golden
@pytest.mark.parametrize("kept", ["first", "second"])
def test_shared_tensors_may_be_stored_once_under_either_name(kept: str) -> None:
    state = hollow("mssts_resnet50")
    second = [name for name in state if name.startswith("detr.transformer.decoder.bbox_embed.")]
    for name in second:
        del state[name if kept == "first" else name.replace("transformer.decoder.", "")]
    conversion = convert_state(state, SOURCES["mssts"])
    assert conversion.report.unexplained == ()
    assert conversion.config.queries.refinement == "iterative"


@pytest.mark.golden
def test_a_second_name_with_other_values_is_not_explained() -> None:
    state = hollow("mssts_resnet50")
    name = "detr.transformer.decoder.bbox_embed.1.layers.2.bias"
    state[name] = -torch.ones(4)
    (problem,) = convert_state(state, SOURCES["mssts"]).report.unexplained
    assert problem.name == name
    assert problem.reason == "differs from detr.bbox_embed.1.layers.2.bias, whose second name it is"


# Sizes and classes.


@pytest.mark.golden
@pytest.mark.parametrize(
    ("logits", "num_classes", "ours", "first"),
    [(42, None, 40, 1), (40, None, 40, 0), (91, None, 90, 1), (26, None, 26, 0), (26, 25, 25, 1), (26, 24, 24, 1)],
)
def test_classes_are_the_rows_between_unused_logits(
    logits: int, num_classes: int | None, ours: int, first: int
) -> None:
    state = hollow("mssts_resnet50")
    for layer in range(3):
        state[f"detr.class_embed.{layer}.weight"] = torch.arange(logits)[:, None].expand(-1, 256).float()
        state[f"detr.class_embed.{layer}.bias"] = torch.arange(logits).float()
    conversion = convert_state(state, SOURCES["mssts"], num_classes=num_classes)
    assert conversion.report.unexplained == ()
    assert conversion.config.num_classes == ours
    assert conversion.taken["classify.2.bias"].tolist() == [first + k for k in range(ours)]
    status = {entry.status for entry in conversion.report.entries if entry.group == "classify"}
    assert status == {"renamed" if logits == ours else "sliced"}


@pytest.mark.golden
@pytest.mark.parametrize(("name", "classes"), [("mssts_resnet50", 30), ("vistr_resnet50", 42)])
def test_a_number_of_classes_that_does_not_fit_is_refused(name: str, classes: int) -> None:
    state = hollow(name)
    with pytest.raises(DataError, match=f"class head has 42 logits.*which {classes} classes do not fit"):
        convert_state(state, find_source(state), num_classes=classes)


@pytest.mark.golden
def test_heads_are_not_visible_and_decide_the_number_of_points() -> None:
    state = hollow("mssts_resnet50")
    config = convert_state(state, SOURCES["mssts"], heads=4).config.transformer
    assert (config.num_heads, config.num_points) == (4, 8)
    with pytest.raises(DataError, match=r"7 attention heads do not fit its 256 channels .*--heads"):
        convert_state(state, SOURCES["mssts"], heads=7)
    with pytest.raises(DataError, match=r"7 attention heads do not fit its 384 channels; .*--heads"):
        convert_state(hollow("vistr_resnet50"), SOURCES["vistr"], heads=7)


# Recognising.


def test_names_of_sources_are_known() -> None:
    assert named_source("auto") is None
    assert named_source("vistr") is SOURCES["vistr"]
    with pytest.raises(UsageError, match="--from 'vister': no such source; did you mean 'vistr'"):
        named_source("vister")
    with pytest.raises(UsageError, match="--from 'zzz': no such source; known are auto, seqformer"):
        named_source("zzz")


def test_a_file_of_unknown_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"its names \(a, b, \.\.\.\) fit no source that Maskreel knows: seqformer"):
        find_source(["b", "a"])


@pytest.mark.golden
def test_a_file_of_another_kind_than_named_is_refused_with_what_it_is() -> None:
    with pytest.raises(
        DataError, match=r"not VisTR, official: it has no vistr\..*; it looks like DETR \(--from detr\)"
    ):
        find_source(hollow("detr_resnet50"), SOURCES["vistr"])
    with pytest.raises(DataError, match=r"not SeqFormer, official: it has .*temp_attn_box.*--from mssts"):
        find_source(hollow("mssts_resnet50"), SOURCES["seqformer"])


@pytest.mark.golden
def test_every_list_is_recognised_as_one_source_alone() -> None:
    for name, expected in LISTS.items():
        names = set(hollow(name))
        found = [source.name for source in SOURCES.values() if source.is_found_in(names)]
        assert found == [expected.source], name


# In models of other kinds.


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "kind", "taken"),
    [
        ("detr_resnet50", "tt_spn", {"encoder", "decoder"}),
        ("detr_resnet50", "deformable_vistr", {"backbone", "project", "encoder", "decoder", "boxes"}),
        ("mssts_resnet50", "ms_sts", {"backbone", "pyramid", "encoder", "decoder", "classify", "mask_head"}),
        ("deformable_detr_resnet50_refine", "taformer", {"backbone", "pyramid", "encoder", "decoder"}),
        ("seqformer_resnet101", "vistr", {"backbone"}),
    ],
)
def test_relatives_take_all_but_what_depends_on_the_backbone(name: str, kind: str, taken: set[str]) -> None:
    state = hollow(name)
    conversion = convert_for(convert_state(state, find_source(state)), kind)
    report = conversion.report
    assert (conversion.config.kind, report.model["kind"], report.unexplained) == (kind, kind, ())
    assert {name.split(".")[0] for name in conversion.taken} == taken
    used = {entry.origin for entry in report.entries if entry.origin} | {remark.name for remark in report.dropped}
    assert used == set(state)
    assert len(report.entries) == len(built_names(conversion))


@pytest.mark.golden
def test_models_without_anything_in_common_are_refused() -> None:
    state = hollow("detr_resnet50")
    alone = {name.removeprefix("backbone.0.body."): values for name, values in state.items() if "body" in name}
    conversion = convert_state(alone, find_source(alone))
    with pytest.raises(DataError, match="has nothing that a model of kind tt_spn could start from"):
        convert_for(conversion, "tt_spn")
