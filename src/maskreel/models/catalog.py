"""Every model of the library: its config record, its class and its training loss.

A paper's module holds `NameConfig`, `Name` and `criterion`; naming its config here is all that makes it known.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from torch import nn

from maskreel.models import deformable_vistr, ms_sts, seqformer, taformer, tt_spn, vistr

ModelConfig = (
    seqformer.SeqFormerConfig
    | ms_sts.MSSTSConfig
    | taformer.TAFormerConfig
    | vistr.VisTRConfig
    | deformable_vistr.DeformableVisTRConfig
    | tt_spn.TTSPNConfig
)
"""Union of all config records, told apart by `kind`."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to build one kind of model."""

    config: type
    model: Callable[[Any], nn.Module]
    criterion: Callable[[Any], nn.Module]


def _entry(config: type) -> Entry:
    paper = sys.modules[config.__module__]
    return Entry(config=config, model=getattr(paper, config.__name__.removesuffix("Config")), criterion=paper.criterion)


CATALOG: dict[str, Entry] = {config.kind: _entry(config) for config in get_args(ModelConfig)}
"""By kind."""
