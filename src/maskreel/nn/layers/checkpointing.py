"""Trading time for memory in training: activations are computed again in the backward pass instead of being kept."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Granularity = Literal["layers", "stages"]
"""What is computed again as one: a layer or block, of backbone and transformer; or a stage of the backbone, alone."""


class Checkpointed(nn.Module):
    """A part made of steps that can be recomputed one by one; `run` calls a step, `run_stage` a stage of a backbone."""

    checkpointed: Granularity | None = None
    has_stages = False

    def run(self, step: Callable[..., Any], *inputs: Any) -> Any:
        return self._call(step, inputs, "layers")

    def run_stage(self, stage: Callable[..., Any], *inputs: Any) -> Any:
        return self._call(stage, inputs, "stages")

    def _call(self, step: Callable[..., Any], inputs: tuple[Any, ...], granularity: Granularity) -> Any:
        if self.checkpointed == granularity and self.training and torch.is_grad_enabled():
            return checkpoint(step, *inputs, use_reentrant=False)
        return step(*inputs)


def checkpoint_activations(model: nn.Module, granularity: Granularity = "layers") -> int:
    """Switch recomputation on in every part of a model that offers it; returns how many do."""
    parts = [module for module in model.modules() if isinstance(module, Checkpointed)]
    if granularity == "stages":
        parts = [part for part in parts if part.has_stages]
    for part in parts:
        part.checkpointed = granularity
    return len(parts)
