"""Published checkpoints, by the lists of their tensors: every tensor is explained, and arrives where it belongs."""

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from maskreel.checkpoints.conversion import Conversion, build_converted, convert_state, find_dialect
from maskreel.checkpoints.dialects.catalog import DIALECTS
from maskreel.errors import DataError
from maskreel.models.tt_spn import TTSPNConfig
from tests.checkpoints.published_lists import LISTS, Expected
from tests.checkpoints.statedicts import built_names, hollow, made_up


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
    conversion = convert_state(state, find_dialect(state))
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
@pytest.mark.parametrize("name", LISTS)
def test_a_single_extra_tensor_is_not_explained(name: str) -> None:
    state = hollow(name)
    conversion = convert_state(state | {"extra.weight": torch.zeros(3)}, DIALECTS[LISTS[name].source])
    assert [remark.name for remark in conversion.report.unexplained] == ["extra.weight"]
    with pytest.raises(DataError, match=r"file: does not fit .*extra\.weight is left over"):
        conversion.check("file")


def near_misses() -> Iterator[tuple[str, str]]:
    """Keys that a drop rule must not cover, though they look like one that it covers."""
    for source in DIALECTS.values():
        for drop in source.drops:
            for key in drop.keys:
                covered = key.replace("#", "3")
                head, _, last = covered.rpartition(".")
                others = [f"{covered}.extra", f"x{covered}", f"{head}.more.{last}", f"{head}_ema.{last}"]
                yield from ((source.name, other) for other in others)
                yield source.name, covered.replace("3", "three") if "3" in covered else f"{head}.0.{last}"


def test_drop_rules_name_full_keys() -> None:
    covered = [(source, key) for source, key in near_misses() if DIALECTS[source].drop_reason(key)]
    assert covered == []
    assert DIALECTS["mssts"].drop_reason("detr.transformer.decoder.layers.17.temp_attn_box.qkv.weight")


@pytest.mark.golden
@pytest.mark.parametrize(("name", "classes"), [("mssts_resnet50", 30), ("vistr_resnet50", 42)])
def test_a_number_of_classes_that_does_not_fit_is_refused(name: str, classes: int) -> None:
    state = hollow(name)
    with pytest.raises(DataError, match=f"class head has 42 logits.*which {classes} classes do not fit"):
        convert_state(state, find_dialect(state), num_classes=classes)
