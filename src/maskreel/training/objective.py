"""A model and its loss as one module, so that the mask head runs inside the forward pass of data parallelism."""

from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskreel.criteria.cells import CellLoss
from maskreel.models.catalog import ModelConfig
from maskreel.models.folder import build_criterion, build_model
from maskreel.structures import ClipBatch, ClipTarget, VideoModel

MODEL_PREFIX = "model."


@runtime_checkable
class AdversarialStep(Protocol):
    """What a loss has beside its value when it trains a discriminator against the model.

    The discriminator gets an optimizer of its own. Its loss is one of those that the objective returns.
    """

    learning_rate: float
    """Of the discriminator, constant."""

    def discriminator_parameters(self) -> Iterator[nn.Parameter]: ...

    @property
    def is_active(self) -> bool:
        """Whether the discriminator learns in this step."""
        ...

    def after_step(self) -> None:
        """To be called after every optimizer step."""


class Objective(nn.Module):
    """From a batch with its targets to weighted losses by name; their sum is what training minimises."""

    def __init__(self, model: nn.Module, criterion: nn.Module, cells: CellLoss | None = None) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion
        self.cells = cells

    def forward(self, clip: ClipBatch, targets: list[ClipTarget]) -> dict[str, Float[Tensor, ""]]:
        if self.cells is None:
            return self.criterion(self.model(clip), targets, clip)
        model = cast(VideoModel, self.model)
        features = model.frame_features(clip)
        losses = self.criterion(model.clip(features), targets, clip)
        return losses | {"cells": self.cells(features.maps[-1], targets)}

    @property
    def adversarial_step(self) -> AdversarialStep | None:
        """The loss, where it trains a discriminator of its own against the model."""
        return self.criterion if isinstance(self.criterion, AdversarialStep) else None

    def parameters_by_name(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of the model under its own names, those of losses (if any) under `criterion.` and `cells.`."""
        for name, parameter in self.named_parameters():
            yield name.removeprefix(MODEL_PREFIX), parameter

    def state_by_name(self) -> dict[str, Tensor]:
        """Parameters and buffers under the names of `parameters_by_name`."""
        return {name.removeprefix(MODEL_PREFIX): tensor for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def load_state_by_name(self, state: dict[str, Tensor]) -> None:
        own = self.state_dict()
        renamed = {name: state[name.removeprefix(MODEL_PREFIX)] for name in own}
        self.load_state_dict(renamed)


def build_objective(config: ModelConfig, *, cells: float = 0.0) -> Objective:
    """With the model's own loss and, where `cells` is a weight above 0, one on its coarsest maps."""
    model, criterion = build_model(config), build_criterion(config)
    if cells == 0:
        return Objective(model, criterion)
    return Objective(model, criterion, CellLoss(config.transformer.width, config.num_classes, weight=cells))
