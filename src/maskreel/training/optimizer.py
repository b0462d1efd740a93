"""AdamW in the published parameter groups, and the learning rate as a function of the step."""

import math
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from maskreel.nn.layers.parameter_groups import ParameterGroups
from maskreel.training.objective import Objective
from maskreel.training.recipe import TrainingConfig

DROP_FACTOR = 0.1


class Grouped(Protocol):
    """A model that says which of its parameters learn at a pace of their own."""

    def parameter_groups(self) -> ParameterGroups: ...


def build_optimizer(groups: ParameterGroups, config: TrainingConfig) -> AdamW:
    """AdamW over the groups of a model; frozen parameters are left out."""
    members = {"rest": groups.rest, "backbone": groups.backbone, "sampling": groups.sampling}
    factors = {"rest": 1.0, "backbone": config.backbone_factor, "sampling": config.sampling_factor}
    rates = {name: config.learning_rate * factor for name, factor in factors.items()}
    return AdamW(
        [
            {
                "params": [parameter for parameter in parameters if parameter.requires_grad],
                "lr": rates[name],
                "name": name,
                "base_lr": rates[name],
            }
            for name, parameters in members.items()
        ],
        weight_decay=config.weight_decay,
        fused=True,
    )


def learning_rate_factor(config: TrainingConfig, step: int) -> float:
    """What the learning rates are multiplied by in the optimizer step number `step`, counted from 0."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.schedule == "cosine":
        progress = (step - config.warmup) / max(1, config.steps - config.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return DROP_FACTOR ** sum(step >= drop for drop in config.drops)


def set_learning_rates(optimizer: AdamW, config: TrainingConfig, step: int) -> None:
    """Schedule every group; a pure function of the step, so a resumed run needs no scheduler state."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * learning_rate_factor(config, step)


class Optimizers:
    """AdamW of the model and, where a loss trains a discriminator against it, a second one for the discriminator.

    The discriminator has a constant learning rate, its gradient is not clipped, and it rests during its warm-up.
    """

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        groups = cast(Grouped, objective.model).parameter_groups()
        if objective.cells is not None:
            groups = replace(groups, rest=(*groups.rest, *objective.cells.parameters()))
        self.model = build_optimizer(groups, config)
        self._clip_norm = config.clip_norm or float("inf")
        self._adversarial = objective.adversarial_step
        self._all = [self.model]
        if self._adversarial is not None:
            parameters, rate = self._adversarial.discriminator_parameters(), self._adversarial.learning_rate
            self._all.append(AdamW(parameters, lr=rate, weight_decay=config.weight_decay, fused=True))

    def zero_grad(self) -> None:
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    def unscale_and_clip(self, scaler: torch.amp.GradScaler) -> Float[Tensor, ""]:
        """Undo the loss scale, clip the model's gradient; returns the norm before, the larger one of two sides."""
        norms = []
        for optimizer in self._stepping():
            scaler.unscale_(optimizer)
            limit = self._clip_norm if optimizer is self.model else float("inf")
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norms.append(nn.utils.clip_grad_norm_(parameters, limit))
        return torch.stack(norms).max()

    def step(self, scaler: torch.amp.GradScaler) -> None:
        for optimizer in self._stepping():
            scaler.step(optimizer)
        scaler.update()
        if self._adversarial is not None:
            self._adversarial.after_step()

    def state(self, parameter: nn.Parameter) -> dict[str, Any]:
        """What is remembered about a parameter; empty before its first step."""
        return next((optimizer.state[parameter] for optimizer in self._all if parameter in optimizer.state), {})

    def set_state(self, parameter: nn.Parameter, state: dict[str, Any]) -> None:
        for optimizer in self._all:
            if any(parameter is own for group in optimizer.param_groups for own in group["params"]):
                optimizer.state[parameter] = state

    def _stepping(self) -> list[AdamW]:
        is_resting = self._adversarial is not None and not self._adversarial.is_active
        return self._all[:1] if is_resting else self._all
