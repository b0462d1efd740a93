"""Weights averaged over the steps of a training, `--training.ema`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a model's parameters and buffers.

    In step n (from 1) the average moves by 1 - min(decay, n / (n + 9)) towards the weights, so that it soon leaves
    those that training began with. Counters, such as those of batch norm, are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state: dict[str, Tensor] = {name: one.detach().clone() for name, one in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """After optimizer step number `step`, counted from 1."""
        weight = 1 - min(self._decay, step / (step + 9))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, weight)
            else:
                self.state[name].copy_(tensor)

    @contextmanager
    def in_place_in(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights meanwhile."""
        own = {name: one.detach().clone() for name, one in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(own)
