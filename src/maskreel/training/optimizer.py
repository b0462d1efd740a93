"""AdamW in the published parameter groups, and the learning rate as a function of the step."""

import math
from collections.abc import Iterable
from typing import Literal

from torch import nn
from torch.optim import AdamW

from maskreel.training.recipe import TrainingConfig

Group = Literal["rest", "backbone", "sampling"]

DROP_FACTOR = 0.1


def parameter_group(name: str) -> Group:
    """Which of the three published groups a parameter belongs to, by its name in the model."""
    if "reference_points" in name or "sampling_offsets" in name:
        return "sampling"
    return "backbone" if name.startswith("backbone.") else "rest"


def build_optimizer(parameters: Iterable[tuple[str, nn.Parameter]], config: TrainingConfig) -> AdamW:
    """AdamW over (name, parameter) pairs; frozen parameters are left out."""
    rates = {
        "rest": config.learning_rate,
        "backbone": config.learning_rate * config.backbone_factor,
        "sampling": config.learning_rate * config.sampling_factor,
    }
    groups: dict[Group, list[nn.Parameter]] = {"rest": [], "backbone": [], "sampling": []}
    for name, parameter in parameters:
        if parameter.requires_grad:
            groups[parameter_group(name)].append(parameter)
    return AdamW(
        [
            {"params": members, "lr": rates[group], "name": group, "base_lr": rates[group]}
            for group, members in groups.items()
        ],
        weight_decay=config.weight_decay,
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
