"""What there is to know about one kind of foreign checkpoint, as data.

A new dialect is one module with one `Dialect` in it, and a line in the catalog beside. Full keys are written with `#`
for a number, such as the place of a layer; nothing else in them varies.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from torch import Tensor

from maskreel.checkpoints.layout import Rules

State = Mapping[str, Tensor]
"""Tensors of a checkpoint by their names there."""


@cache
def key_pattern(key: str) -> re.Pattern[str]:
    """Matches a full key whose numbers are written as `#`."""
    return re.compile(re.escape(key).replace(re.escape("#"), r"(\d+)"))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Tensors of ours that hold a part of one of theirs."""

    pattern: str
    """Regular expression that matches our whole name."""
    take: Callable[[Tensor, Any], Tensor]
    """From their values and our config to our values."""
    words: str
    """What is taken, for the report."""


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Tensors of theirs that we have no use for."""

    keys: tuple[str, ...]
    """Full keys."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A second name of a tensor: both must hold the same values."""

    second: str
    """Full key; its last numbers go to the places of `first`."""
    first: str
    may_stand_alone: bool = False
    """Whether a file that stores shared tensors once may have kept the second name."""


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """Tensors of ours that no checkpoint of the dialect holds."""

    pattern: str
    """Regular expression that matches the start of our name."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A checkpoint that is recognised, and needs what Maskreel does not have."""

    name: str
    keys: tuple[str, ...]
    """Keys that tell it from all others."""
    absent: tuple[str, ...] = ()
    """Keys that it must not have."""
    needs: str
    """One sentence without its subject: "is ..., which needs ..."."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One kind of foreign checkpoint: how to tell it, what model it is, and where each of our tensors stands in it."""

    name: str
    """As typed after `--from`."""
    title: str
    """For people."""
    keys: tuple[str, ...]
    """Keys that tell it from all other dialects."""
    absent: tuple[str, ...] = ()
    """Keys that it must not have."""
    config: Callable[[State, int, int | None], Any]
    """From the tensors, the number of attention heads and the number of classes (None: as the shapes say) to the config
    of our model."""
    rules: Rules
    """Our names to theirs."""
    parts: tuple[Part, ...] = ()
    aliases: tuple[Alias, ...] = ()
    drops: tuple[Drop, ...] = ()
    fresh: tuple[Fresh, ...] = ()
    keeps_unused: bool = False
    """Whether what is dropped is kept beside the model, because the weights can be written back."""

    def is_found_in(self, names: Iterable[str]) -> bool:
        """Whether a file with these names is of this kind."""
        return has_keys(names, self.keys, self.absent)

    def origin(self, name: str) -> str | None:
        """Their name of one of our tensors; None where they have none."""
        for pattern, replacement in self.rules:
            renamed, count = re.subn(pattern, replacement, name)
            if count:
                return renamed
        return None

    def part(self, name: str) -> Part | None:
        """The part of their tensor that one of our names stands for; None for all of it."""
        return next((part for part in self.parts if re.fullmatch(part.pattern, name)), None)

    def read(self, name: str, state: State, config: Any) -> Tensor:
        """The values of one of our tensors, whose origin must be there."""
        origin = self.origin(name)
        assert origin is not None, f"{name} has no counterpart in {self.title}"
        part = self.part(name)
        return state[origin] if part is None else part.take(state[origin], config)

    def first_name(self, name: str, *, alone: bool = False) -> str | None:
        """The first name of what `name` is a second name of; with `alone` where it may stand without it."""
        for alias in self.aliases:
            if alone and not alias.may_stand_alone:
                continue
            if found := key_pattern(alias.second).fullmatch(name):
                numbers = iter(found.groups()[-alias.first.count("#") :])
                return re.sub("#", lambda _, numbers=numbers: next(numbers), alias.first)
        return None

    def drop_reason(self, name: str) -> str | None:
        return next((drop.reason for keys, drop in self._drops if keys.fullmatch(name)), None)

    def fresh_reason(self, name: str) -> str | None:
        return next((fresh.reason for fresh in self.fresh if re.match(fresh.pattern, name)), None)

    @cached_property
    def _drops(self) -> tuple[tuple[re.Pattern[str], Drop], ...]:
        return tuple((key_pattern(key), drop) for drop in self.drops for key in drop.keys)


def has_keys(names: Iterable[str], keys: Iterable[str], absent: Iterable[str] = ()) -> bool:
    names = set(names)
    return names >= set(keys) and names.isdisjoint(absent)


def layers(state: State, prefix: str) -> int:
    """How many numbered modules stand right behind `prefix`."""
    found = {name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)}
    return sum(word.isdigit() for word in found)


def named_classes(num_classes: int | None) -> dict[str, Any]:
    """The option of a model without a head of its own for these classes; the default when they are not named."""
    return {} if num_classes is None else {"num_classes": num_classes}
