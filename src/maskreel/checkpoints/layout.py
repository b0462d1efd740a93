"""A model written out as a published checkpoint: its tensors under their names there, and the part each plays."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

Role = Literal["trained", "frozen", "buffer", "alias", "unused"]
"""In the published set-up: trained or frozen parameter, buffer, second name of a parameter, parameter never used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedTensor:
    """One entry of a checkpoint in the published layout."""

    values: Tensor
    role: Role


Layout = dict[str, PublishedTensor]
Rules = Sequence[tuple[str, str]]
"""Regular expressions on our names, each with its replacement; the first that matches counts."""


def parse_rules(table: str) -> Rules:
    """Rules from lines that hold the beginning of our names and of theirs, up to a dot; `#` is a layer in both."""
    rules = []
    for ours, theirs in (line.split() for line in table.strip().splitlines()):
        pattern = re.escape(ours).replace(re.escape("#"), r"(\d+)")
        rules.append((rf"^{pattern}\.", theirs.replace("#", r"\1") + "."))
    return rules


def own_tensors(model: nn.Module) -> Iterator[tuple[str, PublishedTensor]]:
    """Every tensor of a model's state under our names."""
    parameters = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, values in model.state_dict().items():
        role: Role = "buffer" if name not in parameters else "trained" if parameters[name] else "frozen"
        yield name, PublishedTensor(values=values, role=role)


def rename(name: str, rules: Rules, source: str) -> str:
    """The published name of one of our tensors; KeyError when `source` has none."""
    for pattern, replacement in rules:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    raise KeyError(f"{name} has no counterpart in {source}'s layout")
