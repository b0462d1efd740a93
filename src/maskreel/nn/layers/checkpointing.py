"""Trading time for memory in training: activations are computed again in the backward pass instead of being kept."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Module):
    """A stage made of steps that can be recomputed one by one; `run` calls a step."""

    is_checkpointed = False

    def run(self, step: Callable[..., Any], *inputs: Any) -> Any:
        if self.is_checkpointed and self.training and torch.is_grad_enabled():
            return checkpoint(step, *inputs, use_reentrant=False)
        return step(*inputs)


def checkpoint_activations(model: nn.Module) -> int:
    """Switch recomputation on in every stage of a model that offers it; returns how many do."""
    stages = [module for module in model.modules() if isinstance(module, Checkpointed)]
    for stage in stages:
        stage.is_checkpointed = True
    return len(stages)
