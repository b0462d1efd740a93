"""Published checkpoints as a start for models of other kinds."""

import pytest

from maskreel.checkpoints.conversion import convert_for, convert_state, find_dialect
from maskreel.errors import DataError
from tests.checkpoints.statedicts import built_names, hollow


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "kind", "taken"),
    [
        ("detr_resnet50", "tt_spn", {"backbone", "project", "encoder", "decoder"}),
        ("detr_resnet50", "deformable_vistr", {"backbone", "project", "encoder", "decoder", "boxes"}),
        ("mssts_resnet50", "ms_sts", {"backbone", "pyramid", "encoder", "decoder", "classify", "mask_head"}),
        ("deformable_detr_resnet50_refine", "taformer", {"backbone", "pyramid", "encoder", "decoder"}),
        ("seqformer_resnet101", "vistr", {"backbone"}),
    ],
)
def test_relatives_take_all_that_has_a_place_in_them(name: str, kind: str, taken: set[str]) -> None:
    state = hollow(name)
    conversion = convert_for(convert_state(state, find_dialect(state)), kind)
    report = conversion.report
    assert (conversion.config.kind, report.model["kind"], report.unexplained) == (kind, kind, ())
    assert {name.split(".")[0] for name in conversion.taken} == taken
    used = {entry.origin for entry in report.entries if entry.origin} | {remark.name for remark in report.dropped}
    assert used == set(state)
    assert len(report.entries) == len(built_names(conversion))


@pytest.mark.golden
def test_models_without_anything_in_common_are_refused() -> None:
    state = hollow("twins_svt_small_cls")
    conversion = convert_state(state, find_dialect(state))
    with pytest.raises(DataError, match="has nothing that a model of kind seqformer could start from"):
        convert_for(conversion, "seqformer")
