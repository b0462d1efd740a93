"""Which source a foreign checkpoint is of, and what is refused by name."""

import pytest

from maskreel.checkpoints.conversion import find_dialect, named_dialect
from maskreel.checkpoints.dialects.catalog import DIALECTS
from maskreel.errors import DataError, UsageError
from tests.checkpoints.published_lists import LISTS, REFUSED
from tests.checkpoints.statedicts import hollow


def test_names_of_sources_are_known() -> None:
    assert named_dialect("auto") is None
    assert named_dialect("vistr") is DIALECTS["vistr"]
    with pytest.raises(UsageError, match="--from 'vister': no such system; did you mean 'vistr'"):
        named_dialect("vister")
    with pytest.raises(UsageError, match="--from 'zzz': no such system; known are auto, seqformer"):
        named_dialect("zzz")


def test_a_file_of_unknown_names_is_refused() -> None:
    with pytest.raises(DataError, match=r"its names \(a, b, \.\.\.\) fit no system that Maskreel knows: seqformer"):
        find_dialect(["b", "a"])


@pytest.mark.golden
def test_a_file_of_another_kind_than_named_is_refused_with_what_it_is() -> None:
    with pytest.raises(
        DataError, match=r"not VisTR, official: it has no vistr\..*; it looks like DETR \(--from detr\)"
    ):
        find_dialect(hollow("detr_resnet50"), DIALECTS["vistr"])
    with pytest.raises(DataError, match=r"not SeqFormer, official: it has .*temp_attn_box.*--from mssts"):
        find_dialect(hollow("mssts_resnet50"), DIALECTS["seqformer"])


@pytest.mark.golden
def test_every_list_is_recognised_as_one_source_alone() -> None:
    for name, expected in LISTS.items():
        names = set(hollow(name))
        found = [source.name for source in DIALECTS.values() if source.is_found_in(names)]
        assert found == [expected.source], name


@pytest.mark.golden
@pytest.mark.parametrize("name", REFUSED)
def test_what_maskreel_does_not_have_is_named_in_one_sentence(name: str) -> None:
    with pytest.raises(DataError, match=REFUSED[name]) as caught:
        find_dialect(hollow(name))
    assert "Maskreel" in str(caught.value)
    assert "\n" not in str(caught.value)
