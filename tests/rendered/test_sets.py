"""Named sets: pinned to the bit, their seeds apart, their words in the files."""

from dataclasses import fields
from pathlib import Path

import pytest

from maskreel.rendered.dials import SyntheticDials
from maskreel.rendered.sets import RENDERED_SETS, SPLITS
from maskreel.rendered.synthetic import dataset_hash, write_dataset

PINNED_HASHES: dict[str, str] = {
    "rendered-default": "33702987d3237a292741f507feb061b5dc62cb258d38be1ac927367686df265b",
    "rendered-crossing": "c650bab76bd87ea6ba090ea45da3f6911ac082ae8104c7a7199d3a2ea5b8374d",
    "rendered-motion": "b6f2dc2d2de9727662e33c8d15bbb05ead69db51b027431aee66339056dc6241",
    "rendered-deform": "f2c465d13f7d86bc5d38aecce648a947ba01c73e7adb1949533232688d04480e",
    "rendered-hard": "564b7e80ded2626ecb7f9123a7771992f931c3d0c807fad9148da646de85db56",
    "rendered-return": "f4ba53a9c6498eb121e400b52b0b0d3121ed3dbbc7463618d195691e41e4fddf",
}
"""Of one video of the test split; they never change once figures refer to a set."""


def test_the_default_set_has_the_default_dials() -> None:
    assert RENDERED_SETS["rendered-default"].dials == SyntheticDials()


def test_seeds_of_splits_lie_in_their_ranges() -> None:
    assert SPLITS == {"train": (200, 0), "valid": (40, 10_000), "test": (100, 20_000)}


def test_new_dials_are_off_by_default() -> None:
    names = [dial.name for dial in fields(SyntheticDials)]
    new = names[names.index("lookalikes_meet") :]
    assert len(new) == 12
    assert not any(getattr(SyntheticDials(), name) for name in new)


@pytest.mark.parametrize("name", RENDERED_SETS)
def test_named_sets_are_pinned(name: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, "test", num_videos=1, seed=SPLITS["test"][1], dials=RENDERED_SETS[name].dials)
    assert dataset_hash(tmp_path, "test") == PINNED_HASHES[name]
