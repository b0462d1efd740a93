"""The golden set that is shipped is a part of the full one, bit for bit, and stays small."""

import lzma
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from tests.builders import SMALL, shared_path
from tests.golden.shrink import FILES, LISTS, TEXTS

pytestmark = pytest.mark.golden

MEGABYTE = 10**6
PACKED = sorted(SMALL.rglob("*.xz"))


def name_of(path: Path) -> str:
    return path.relative_to(SMALL).as_posix().removesuffix(".xz")


@pytest.mark.golden(shipped=True)
def test_it_holds_at_most_8_mb_in_files_of_at_most_2() -> None:
    sizes = [path.stat().st_size for path in SMALL.rglob("*") if path.is_file()]
    assert max(sizes) <= 2 * MEGABYTE
    assert sum(sizes) <= 8 * MEGABYTE


@pytest.mark.golden(shipped=True)
def test_it_holds_the_listed_files_and_no_others() -> None:
    assert [name_of(path) for path in PACKED] == sorted([*FILES, *TEXTS, *LISTS])


def test_what_is_shipped_equals_the_full_set_bit_for_bit() -> None:
    for path in PACKED:
        name, small = name_of(path), lzma.decompress(path.read_bytes())
        full = shared_path(f"{'design' if name in LISTS else 'golden'}/{name}").read_bytes()
        if name.endswith(".safetensors"):
            assert_part(load(small), load(full), name)
        else:
            assert small == full, name


def assert_part(shipped: dict[str, Tensor], recorded: dict[str, Tensor], name: str) -> None:
    assert shipped, name
    for key, tensor in shipped.items():
        theirs = recorded[key]
        assert (tensor.dtype, tensor.shape) == (theirs.dtype, theirs.shape), f"{name}: {key}"
        ours, bits = (x.reshape(-1).view(torch.uint8) for x in (tensor, theirs))
        assert torch.equal(ours, bits), f"{name}: {key}"
