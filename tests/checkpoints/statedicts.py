"""Made-up checkpoints with the names, shapes and shared tensors of published ones."""

import json
import zlib
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from maskreel.checkpoints.conversion import Conversion, build_converted
from tests.builders import golden_bytes

POOL = 1 << 20
_DTYPES = {"float32": torch.bfloat16, "int64": torch.int64}


@dataclass(frozen=True, kw_only=True)
class StateList:
    """What a published state dict holds."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    """As made up: bfloat16 for numbers, to save memory."""
    first_names: dict[str, str]
    """Second names of shared tensors, to their first."""


@cache
def state_list(name: str) -> StateList:
    """A list of the shared data, such as `seqformer_resnet50`."""
    text = golden_bytes(f"statedicts/{name}.txt", "design").decode()
    head, entries = text.split("## state_dict: key, shape, dtype\n")
    rows = [line.split("\t") for line in entries.splitlines() if line]
    _, _, shared = head.partition("## entries that are one and the same tensor\n")
    groups = [line.split(" = ") for line in shared.splitlines() if " = " in line]
    return StateList(
        shapes={key: tuple(json.loads(shape)) for key, shape, _ in rows},
        dtypes={key: _DTYPES[dtype] for key, _, dtype in rows},
        first_names={second: group[0] for group in groups for second in group[1:]},
    )


@cache
def _pool() -> Tensor:
    return torch.randn(POOL, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)


def made_up_tensor(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Values that differ from name to name and within a tensor."""
    count, place = int(torch.Size(shape).numel()), zlib.crc32(name.encode())
    if dtype == torch.int64:
        return ((torch.arange(count) + place) % 97).reshape(shape)
    turned = _pool().roll(-(place % POOL))
    return turned.repeat(count // POOL + 1)[:count].reshape(shape)


def made_up(name: str) -> dict[str, Tensor]:
    """A checkpoint after a list, values made up; shared tensors are shared."""
    known = state_list(name)
    state: dict[str, Tensor] = {}
    for key, shape in known.shapes.items():
        first = known.first_names.get(key)
        state[key] = state[first] if first in state else made_up_tensor(key, shape, known.dtypes[key])
    return state


def hollow(name: str) -> dict[str, Tensor]:
    """The same with one number per tensor, which takes no memory: enough where names and shapes matter."""
    known = state_list(name)
    return {
        key: torch.tensor(zlib.crc32(known.first_names.get(key, key).encode()) % 1000, dtype=known.dtypes[key]).expand(
            shape
        )
        for key, shape in known.shapes.items()
    }


def built_names(conversion: Conversion) -> set[str]:
    with torch.device("meta"):
        return set(build_converted(conversion.config).state_dict())
