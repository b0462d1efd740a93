"""Every model of the library: its config record, its class and its training loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskreel.models import seqformer


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to build one kind of model."""

    config: type
    model: Callable[[Any], nn.Module]
    criterion: Callable[[Any], nn.Module]


CATALOG: dict[str, Entry] = {
    "seqformer": Entry(config=seqformer.SeqFormerConfig, model=seqformer.SeqFormer, criterion=seqformer.criterion),
}

ModelConfig = seqformer.SeqFormerConfig
"""Union of all config records, told apart by `kind`."""
