"""Every model of the library: its config record, its class and its training loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskreel.models import deformable_vistr, ms_sts, seqformer, taformer, tt_spn, vistr


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to build one kind of model."""

    config: type
    model: Callable[[Any], nn.Module]
    criterion: Callable[[Any], nn.Module]


CATALOG: dict[str, Entry] = {
    "seqformer": Entry(config=seqformer.SeqFormerConfig, model=seqformer.SeqFormer, criterion=seqformer.criterion),
    "ms_sts": Entry(config=ms_sts.MSSTSConfig, model=ms_sts.MSSTS, criterion=ms_sts.criterion),
    "taformer": Entry(config=taformer.TAFormerConfig, model=taformer.TAFormer, criterion=taformer.criterion),
    "vistr": Entry(config=vistr.VisTRConfig, model=vistr.VisTR, criterion=vistr.criterion),
    "deformable_vistr": Entry(
        config=deformable_vistr.DeformableVisTRConfig,
        model=deformable_vistr.DeformableVisTR,
        criterion=deformable_vistr.criterion,
    ),
    "tt_spn": Entry(config=tt_spn.TTSPNConfig, model=tt_spn.TTSPN, criterion=tt_spn.criterion),
}

ModelConfig = (
    seqformer.SeqFormerConfig
    | ms_sts.MSSTSConfig
    | taformer.TAFormerConfig
    | vistr.VisTRConfig
    | deformable_vistr.DeformableVisTRConfig
    | tt_spn.TTSPNConfig
)
"""Union of all config records, told apart by `kind`."""
